"""OpenAI's files through OpenAI's SDK: kept on disk, each key's own, gone when told."""

from __future__ import annotations

import io
import json
import time

import openai
import pytest

from ogam import config as configuration
from ogam.config import Config
from ogam.errors import NotFoundError, OutputError, TooLargeError
from ogam.protocols.openai import storage

from .conftest import running


@pytest.fixture(scope="module")
def client(fake_server):
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made


def test_a_file_comes_back_as_it_went(client):
    data = bytes(range(256)) * 20_000  # over what a form keeps in memory
    made = client.files.create(file=("a b.bin", data), purpose="user_data")
    assert (made.filename, made.bytes, made.purpose) == ("a b.bin", len(data), "user_data")
    assert (made.expires_at, made.object) == (None, "file")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == data
    assert client.files.delete(made.id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(made.id)


def test_files_are_listed_page_by_page(client):
    made = [client.files.create(file=b"x", purpose="evals").id for _ in range(3)]
    found = [one.id for one in client.files.list(limit=1, purpose="evals")]
    assert sorted(found) == sorted(made)
    assert [one.id for one in client.files.list(order="asc", purpose="evals")] == found[::-1]


def test_how_long_a_file_is_kept(client):
    batch = client.files.create(file=b"x", purpose="batch")
    assert batch.expires_at == batch.created_at + 30 * 24 * 3600
    short = client.files.create(
        file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert short.expires_at == short.created_at + 3600


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "unknown"},
        {"expires_after": {"anchor": "created_at", "seconds": 10}},
        {"expires_after": {"anchor": "yesterday", "seconds": 3600}},
        {"extra_body": {"colour": "red"}},
    ],
)
def test_a_wrong_form_is_refused(client, wrong):
    with pytest.raises(openai.BadRequestError):
        client.files.create(**{"file": b"x", "purpose": "batch", **wrong})


def test_a_form_without_a_file_is_refused(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/files", body={"purpose": "batch"}, cast_to=object)
    assert refused.value.param == "file"


def test_no_id_leads_out_of_the_folder(client):
    for identity in ("..%2F..%2Fetc", "file-%2e%2e", "file-" + "g" * 24, "file-0"):
        with pytest.raises(openai.NotFoundError):
            client.get(f"/files/{identity}", cast_to=object)


def test_files_outlive_a_restart_and_belong_to_one_key(tmp_path):
    own = configuration.Server(keys=("one", "two"), data=str(tmp_path))
    ids = []
    for _ in range(2):
        with running(Config(server=own), grpc=False) as server:
            base = f"{server.http}/v1"
            with (
                openai.OpenAI(base_url=base, api_key="one", max_retries=0) as one,
                openai.OpenAI(base_url=base, api_key="two", max_retries=0) as two,
            ):
                if not ids:
                    ids.append(one.files.create(file=b"mine", purpose="user_data").id)
                assert one.files.content(ids[0]).read() == b"mine"
                assert list(two.files.list()) == []
                with pytest.raises(openai.NotFoundError):
                    two.files.content(ids[0])


def test_what_is_too_old_is_gone(tmp_path):
    files = storage.Files(tmp_path)
    made = files.create(io.BytesIO(b"x"), owner="", filename="x", purpose="batch", seconds=3600)
    about = tmp_path / f"{made.id}.json"
    kept = json.loads(about.read_bytes())
    kept["file"]["expires_at"] = int(time.time()) - 1
    about.write_text(json.dumps(kept))
    assert files.list("") == []
    with pytest.raises(NotFoundError):
        files.get(made.id, "")
    files.create(io.BytesIO(b"y"), owner="", filename="y", purpose="batch")
    assert len(list(tmp_path.iterdir())) == 2  # the old one's bytes are gone too


def test_an_upload_that_breaks_leaves_nothing(tmp_path):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(5, "It broke.")

    with pytest.raises(OutputError):
        storage.Files(tmp_path).create(Broken(), owner="", filename="x", purpose="batch")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOST_FILES", 1)
    files = storage.Files(tmp_path)
    files.create(io.BytesIO(b"x"), owner="", filename="x", purpose="evals")
    with pytest.raises(TooLargeError):
        files.create(io.BytesIO(b"x"), owner="", filename="x", purpose="evals")


def test_a_file_is_adopted_once(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"done")
    files = storage.Files(tmp_path / "files")
    identity = storage.new_id()
    for _ in range(2):  # a server that died in between does it again
        files.adopt(log, identity, owner="me", filename="out.jsonl", seconds=None)
    log.unlink()
    assert files.path(identity, "me").read_bytes() == b"done"
    assert [one.purpose for one in files.list("me")] == ["batch_output"]


def test_nothing_here_draws_and_it_says_so(client):
    with pytest.raises(openai.NotFoundError, match="draws"):
        client.images.generate(model="dall-e-3", prompt="a cat")
