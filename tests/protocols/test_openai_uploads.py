"""OpenAI's uploads through OpenAI's SDK: parts that become a file, or do not."""

from __future__ import annotations

import hashlib
import io
import json
import time

import openai
import pytest

from ogam import config as configuration
from ogam.config import Config
from ogam.errors import InvalidRequestError, OutputError, TooLargeError
from ogam.protocols.openai import storage, uploads
from ogam.protocols.openai import wire_uploads as wire

from .conftest import running


@pytest.fixture(scope="module")
def client(fake_server):
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made


def begin(client, size, **asked):
    asked = {"filename": "a b.bin", "mime_type": "text/plain", "purpose": "user_data", **asked}
    return client.uploads.create(bytes=size, **asked)


def add(client, upload, data):
    return client.uploads.parts.create(upload.id, data=data)


def test_the_sdk_uploads_a_file_in_chunks(client, tmp_path):
    data = bytes(range(256)) * 8000
    place = tmp_path / "in.bin"
    place.write_bytes(data)
    done = client.uploads.upload_file_chunked(
        file=place,
        mime_type="text/plain",
        purpose="user_data",
        part_size=500_000,
        md5=hashlib.md5(data).hexdigest(),
    )
    assert (done.status, done.bytes, done.filename) == ("completed", len(data), "in.bin")
    assert done.expires_at == done.created_at + 3600
    assert client.files.retrieve(done.file.id).to_dict() == done.file.to_dict()
    assert client.files.content(done.file.id).read() == data


def test_parts_stand_in_the_order_they_are_named(client):
    upload = begin(client, 6)
    assert (upload.status, upload.file, upload.object) == ("pending", None, "upload")
    one, two, three = (add(client, upload, data) for data in (b"one", b"no", b"two"))
    assert (one.upload_id, one.object) == (upload.id, "upload.part")
    done = client.uploads.complete(upload.id, part_ids=[three.id, one.id])
    assert client.files.content(done.file.id).read() == b"twoone"
    assert two.id not in done.file.id
    for over in (
        lambda: client.uploads.complete(upload.id, part_ids=[three.id, one.id]),
        lambda: client.uploads.cancel(upload.id),
        lambda: add(client, upload, b"x"),
    ):
        with pytest.raises(openai.BadRequestError, match="The upload is completed") as refused:
            over()
        assert refused.value.param == "upload_id"


def test_a_batch_reads_an_upload(client):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    data = json.dumps(line).encode()
    done = client.uploads.upload_file_chunked(
        file=data,
        filename="in.jsonl",
        bytes=len(data),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=50,
    )
    assert done.file.expires_at == done.file.created_at + 30 * 24 * 3600
    batch = client.batches.create(
        input_file_id=done.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    end = time.monotonic() + 20
    while batch.status != "completed" and time.monotonic() < end:
        time.sleep(0.01)
        batch = client.batches.retrieve(batch.id)
    assert batch.request_counts.completed == 1


def test_how_long_the_file_is_kept(client):
    upload = begin(client, 1, expires_after={"anchor": "created_at", "seconds": 7200})
    part = add(client, upload, b"x")
    file = client.uploads.complete(upload.id, part_ids=[part.id]).file
    assert file.expires_at == file.created_at + 7200


def test_a_cancelled_upload_is_over(client):
    upload = begin(client, 1)
    part = add(client, upload, b"x")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="The upload is cancelled"):
        client.uploads.complete(upload.id, part_ids=[part.id])


def test_a_wrong_end_is_refused_and_can_be_mended(client):
    upload = begin(client, 4)
    one, two = add(client, upload, b"ab"), add(client, upload, b"cd")
    good = hashlib.md5(b"abcd").hexdigest()
    wrong = {
        "part_ids": [
            {"part_ids": [one.id]},
            {"part_ids": []},
            {"part_ids": [one.id, two.id, one.id]},
            {"part_ids": [one.id, "part_" + "0" * 24]},
            {"part_ids": [one.id, "../about.json"]},
        ],
        "md5": [
            {"part_ids": [two.id, one.id], "md5": good},
            {"part_ids": [one.id, two.id], "md5": ""},
        ],
    }
    before = {one.id for one in client.files.list()}
    for param, every in wrong.items():
        for asked in every:
            with pytest.raises(openai.BadRequestError) as refused:
                client.uploads.complete(upload.id, **asked)
            assert refused.value.param == param
    assert {one.id for one in client.files.list()} == before
    done = client.uploads.complete(upload.id, part_ids=[one.id, two.id], md5=good.upper())
    assert done.status == "completed"


def test_more_bytes_than_were_announced_are_refused(client):
    upload = begin(client, 4)
    with pytest.raises(openai.APIStatusError) as refused:
        add(client, upload, b"abcde")
    assert (refused.value.status_code, refused.value.param) == (413, "data")
    for _ in range(2):  # one may be sent again
        add(client, upload, b"abcd")
    with pytest.raises(openai.APIStatusError, match="announced") as refused:
        add(client, upload, b"a")
    assert refused.value.status_code == 413


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 8 * 1024**3 + 1},
        {"purpose": "unknown"},
        {"expires_after": {"anchor": "created_at", "seconds": 1}},
        {"extra_body": {"colour": "red"}},
    ],
)
def test_a_wrong_beginning_is_refused(client, wrong):
    with pytest.raises(openai.BadRequestError):
        begin(client, **{"size": 1, **wrong})


def test_a_part_without_data_is_refused(client):
    upload = begin(client, 1)
    with pytest.raises(openai.BadRequestError) as refused:
        client.post(f"/uploads/{upload.id}/parts", body={"x": 1}, cast_to=object)
    assert refused.value.param == "data"


def test_no_id_leads_out_of_the_folder(client):
    for identity in ("..%2F..%2Fetc", "upload_%2e%2e", "upload_" + "g" * 24, "upload_" + "0" * 24):
        with pytest.raises(openai.NotFoundError):
            client.post(f"/uploads/{identity}/cancel", cast_to=object)


def test_uploads_outlive_a_restart_and_belong_to_one_key(tmp_path):
    own = configuration.Server(keys=("one", "two"), data=str(tmp_path))
    known = []
    for _ in range(2):
        with running(Config(server=own), grpc=False) as server:
            base = f"{server.http}/v1"
            with (
                openai.OpenAI(base_url=base, api_key="one", max_retries=0) as one,
                openai.OpenAI(base_url=base, api_key="two", max_retries=0) as two,
            ):
                if not known:
                    upload = begin(one, 4)
                    known.append(upload)
                known.append(add(one, upload, b"ab"))
                with pytest.raises(openai.NotFoundError):
                    two.uploads.cancel(upload.id)
                with pytest.raises(openai.NotFoundError):
                    add(two, upload, b"ab")
                if len(known) == 3:
                    ids = [part.id for part in known[1:]]
                    done = one.uploads.complete(upload.id, part_ids=ids)
                    assert one.files.content(done.file.id).read() == b"abab"
                    with pytest.raises(openai.NotFoundError):
                        two.files.content(done.file.id)


@pytest.fixture
def store(tmp_path):
    return uploads.Uploads(tmp_path / "uploads", storage.Files(tmp_path / "files"))


def body(size):
    return wire.UploadBody(bytes=size, filename="x", mime_type="text/plain", purpose="user_data")


def changed(store, upload, **times):
    about = store._folder / upload.id / "about.json"
    kept = json.loads(about.read_bytes())
    kept["upload"].update(times)
    about.write_text(json.dumps(kept))


def test_an_upload_that_waits_too_long_expires(store):
    upload = store.create(body(2), "me")
    part = store.add(upload.id, "me", io.BytesIO(b"ab"))
    changed(store, upload, expires_at=int(time.time()) - 1)
    with pytest.raises(InvalidRequestError, match="The upload is expired"):
        store.complete(upload.id, "me", wire.CompleteBody(part_ids=[part.id]))
    with pytest.raises(InvalidRequestError, match="The upload is expired"):
        store.add(upload.id, "me", io.BytesIO(b"ab"))
    store.create(body(1), "me")  # clears what is left
    place = store._folder / upload.id
    assert [one.name for one in place.iterdir()] == ["about.json"]
    changed(store, upload, expires_at=int(time.time()) - 25 * 3600)
    store.create(body(1), "me")
    assert not place.exists()


def test_there_is_room_for_what_is_begun(store, monkeypatch):
    monkeypatch.setattr(storage, "MOST_BYTES", 100)
    upload = store.create(body(60), "me")
    with pytest.raises(TooLargeError):
        store.create(body(60), "me")
    store.cancel(upload.id, "me")
    store.create(body(60), "me")
    monkeypatch.setattr(uploads, "MOST", 2)
    with pytest.raises(TooLargeError):
        store.create(body(1), "me")


def test_a_server_that_died_in_between_makes_the_same_file(store, monkeypatch):
    upload = store.create(body(2), "me")
    part = store.add(upload.id, "me", io.BytesIO(b"ab"))
    wanted = wire.CompleteBody(part_ids=[part.id])

    def dies(kept):
        raise OutputError("It died.")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_save", dies)
        with pytest.raises(OutputError):
            store.complete(upload.id, "me", wanted)
    made = store._files.list("me")
    done = store.complete(upload.id, "me", wanted)
    assert [done.file] == made == store._files.list("me")
    assert [one.name for one in (store._folder / upload.id).iterdir()] == ["about.json"]


def test_one_completes_at_a_time(store):
    upload = store.create(body(2), "me")
    with store._alone(upload.id), pytest.raises(InvalidRequestError, match="being completed"):
        store.cancel(upload.id, "me")
    assert store.cancel(upload.id, "me").status == "cancelled"
