"""What Google's protocols share: proto JSON, operations, storage, errors."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import errors
from ogam.config import Config, Server
from ogam.protocols.google import errors as shapes
from ogam.protocols.google import protojson
from ogam.protocols.google.operations import Operations
from ogam.protocols.google.storage import Storage


class Inner(protojson.Message):
    type_: protojson.Enum = 0
    long_name: int = 0
    content: bytes = b""


class Outer(protojson.Message):
    inner: list[Inner] = []  # noqa: RUF012
    snake_case_name: str = ""


@given(st.binary(max_size=20), st.integers(0, 2**40), st.text(max_size=5))
def test_every_spelling_of_a_message_reads_the_same(data, number, text):
    import base64

    value = Outer(inner=[Inner(type_=4, long_name=number, content=data)], snake_case_name=text)
    usual = msgspec.json.encode(value)
    assert protojson.parse(usual, Outer) == value
    loose = {
        "inner": [
            {
                "type": 4,
                "long_name": str(number),
                "content": base64.urlsafe_b64encode(data).decode().rstrip("="),
            }
        ],
        "snake_case_name": text,
    }
    assert protojson.parse(msgspec.json.encode(loose), Outer) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        protojson.parse(data, Outer)
    except errors.InvalidRequestError as error:
        assert error.message.startswith("Invalid JSON payload received.")


@given(st.floats(0, 1e6))
def test_durations_come_back(seconds):
    text = protojson.duration(seconds)
    assert protojson.seconds(text, "d") == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("text", ["", "1", "s", "1 m", "nans", "1e999s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(errors.InvalidRequestError):
        protojson.seconds(text, "d")


def test_enums_go_by_name_and_number():
    kinds = {"A": 1, "B": 2}
    assert [protojson.number(one, kinds, "k") for one in ("A", 2, "2")] == [1, 2, 2]
    for wrong in ("C", 3, "3"):
        with pytest.raises(errors.InvalidRequestError):
            protojson.number(wrong, kinds, "k")


@pytest.mark.parametrize(
    ("error", "http", "name"),
    [
        (errors.AuthenticationError("No."), 400, "INVALID_ARGUMENT"),
        (errors.TooLargeError("No."), 400, "INVALID_ARGUMENT"),
        (errors.UnknownLanguageError("No."), 400, "INVALID_ARGUMENT"),
        (errors.NotFoundError("No."), 404, "NOT_FOUND"),
        (errors.OverloadedError("No."), 429, "RESOURCE_EXHAUSTED"),
        (errors.DeadlineError("No."), 504, "DEADLINE_EXCEEDED"),
        (errors.EngineError("No."), 500, "INTERNAL"),
    ],
)
def test_errors_have_googles_shape_over_both(error, http, name):
    from google.rpc import status_pb2

    status, body = shapes.body(error)
    assert (status, body["error"]["code"], body["error"]["status"]) == (http, http, name)
    packed = status_pb2.Status.FromString(shapes.packed(error))
    assert packed.code == shapes.CODES[name]
    assert "No." in packed.message


async def answer(_):
    return {"@type": "x"}


async def for_ever(_):
    await asyncio.sleep(60)
    return {}


def test_an_operation_outlives_a_restart_and_one_that_was_cut_off_says_so(tmp_path):
    async def before():
        kept = Operations(tmp_path)
        done = await kept.start("operations/", "me", {}, answer)
        await kept.wait(done.name, "me", 5)
        cut = await kept.start("operations/", "me", {}, for_ever)
        return done.name, cut.name

    done, cut = asyncio.run(before())
    # The first process was killed: its last file says that the work was going on.
    file = tmp_path / f"{cut.rpartition('/')[2]}.json"
    text = file.read_bytes()
    if b'"done":true' in text:
        kept = msgspec.json.decode(text)
        del kept["operation"]["done"], kept["operation"]["error"]
        file.write_bytes(msgspec.json.encode(kept))
    again = Operations(tmp_path)
    assert again.get(done, "me").response == {"@type": "x"}
    assert again.get(cut, "me").error["code"] == shapes.CODES["ABORTED"]
    assert {one.name for one in again.list("operations", "me")} == {done, cut}
    assert again.list("operations", "you") == []
    with pytest.raises(errors.NotFoundError):
        again.get(done, "you")


def test_cancelled_and_failed_operations_say_why(tmp_path):
    async def broken(_):
        raise ZeroDivisionError

    async def main():
        kept = Operations(tmp_path)
        slow = await kept.start("operations/", "", {}, for_ever)
        await asyncio.sleep(0)
        kept.cancel(slow.name, "")
        slow = await kept.wait(slow.name, "", 5)
        other = await kept.start("operations/", "", {}, broken)
        return slow, await kept.wait(other.name, "", 5)

    slow, other = asyncio.run(main())
    assert slow.error["code"] == 1
    assert other.error["code"] == 13


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "gs://b/x",
            "gs://bucket",
            "http://bucket/x",
            "gs://bucket/../x",
            "gs://bucket/a/../../x",
        ),
        *(
            "gs://bucket//x",
            "gs://Bucket/x",
            "gs://bucket/a\\..\\b",
            "gs://bucket/a\x00",
            "gs://../x",
        ),
    ],
)
def test_a_name_in_storage_leads_nowhere_else(tmp_path, uri):
    storage = Storage(Config(server=Server(data=str(tmp_path))))
    with pytest.raises(errors.InvalidRequestError):
        storage.write(uri, b"x")
    assert list(tmp_path.rglob("*")) == []


def test_a_link_in_storage_leads_nowhere_else(tmp_path):
    storage = Storage(Config(server=Server(data=str(tmp_path / "data"))))
    storage.write("gs://bucket/a/b.txt", b"x")
    assert storage.read("gs://bucket/a/b.txt", 9) == b"x"
    (tmp_path / "secret").write_bytes(b"s")
    (storage.folder / "bucket" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.InvalidRequestError):
        storage.read("gs://bucket/link", 9)
    with pytest.raises(errors.InvalidRequestError):
        storage.read("gs://bucket/a/b.txt", 0)
    with pytest.raises(errors.NotFoundError):
        storage.read("gs://bucket/none", 9)
