"""ElevenLabs's ears on live sound, called: a vendor that says over a socket what it was told to."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing, asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest
from websockets.asyncio.server import serve

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeResult,
)
from ogam.errors import InvalidRequestError, OgamError, UnsupportedOptionError, VendorError
from ogam.net import Client
from ogam.protocols.elevenlabs import client_live
from ogam.protocols.elevenlabs.client import ElevenLabsEngine
from ogam.vendors import Vendor

OPTIONS = RecognitionOptions()
HALF = b"\1\0" * 8000
STARTED = {"message_type": "session_started", "session_id": "s", "config": {}}


def committed(text: str, start: float) -> dict:
    words = [
        {"text": part, "type": "word", "start": start + at / 10, "end": start + at / 10 + 0.1}
        for at, part in enumerate(text.split())
    ]
    kind = "committed_transcript_with_timestamps"
    return {"message_type": kind, "text": text, "language_code": "en", "words": words}


@asynccontextmanager
async def vendor(*script: object, first: object = STARTED):
    """Each message that comes gets the next of ``script``, a message or several; None closes."""
    seen: list = []

    async def talk(socket):
        seen.append(socket.request)
        await socket.send(json.dumps(first))
        for said in script:
            seen.append(json.loads(await socket.recv()))
            if said is None:
                return
            for one in said if isinstance(said, list) else [said]:
                await socket.send(json.dumps(one) if isinstance(one, dict) else one)
        seen.extend([json.loads(message) async for message in socket])

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/base", seen


def engine(url: str, model: str = "", patience: float = 5.0) -> ElevenLabsEngine:
    about = Vendor(name="elevenlabs", protocol="elevenlabs", url=url, key="k", timeout=patience)
    ref = ModelRef(name="elevenlabs", engine="elevenlabs", model=model)
    return ElevenLabsEngine(ref, about, Client(url))


def heard(*script, blocks=(HALF, HALF), options=OPTIONS, **more):
    async def run():
        async with vendor(*script, **more) as (url, seen):
            pieces = engine(url).transcribe_stream(iter(blocks), options)
            return [piece async for piece in pieces], seen

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """The wait for a last word is cut short."""
    monkeypatch.setattr(client_live, "_LINGER", 0.2)


def test_what_is_heard_comes_while_it_is_said_and_whole_at_the_end():
    options = RecognitionOptions(language="en-US", phrases=("Ogam",))
    pieces, seen = heard(
        {"message_type": "partial_transcript", "text": "one"},
        [committed("one two", 0.0), {"message_type": "committed_transcript", "text": "one two"}],
        committed("three", 0.6),
        options=options,
    )
    *news, result = pieces
    assert isinstance(result, TranscribeResult)
    assert [(one.text, one.is_final) for one in news] == [
        ("one", False),
        ("one two", True),
        ("three", True),
    ]
    assert (result.text, result.language, result.duration) == ("one two three", "en", 1.0)
    assert result.units == Units(audio_ms=1000)
    assert [word.text for word in result.words] == ["one", "two", "three"]
    request, *sent = seen
    assert urlsplit(request.path).path == "/base/v1/speech-to-text/realtime"
    assert request.headers["xi-api-key"] == "k"
    assert dict(parse_qsl(urlsplit(request.path).query)) == {
        "model_id": "scribe_v2_realtime",
        "audio_format": "pcm_16000",
        "commit_strategy": "vad",
        "include_timestamps": "true",
        "language_code": "en",
        "keyterms": "Ogam",
    }
    assert b"".join(base64.b64decode(one["audio_base_64"]) for one in sent) == HALF * 2
    assert [one["commit"] for one in sent] == [False, False, True]


def test_sound_of_which_nothing_is_left_ends_with_what_was_heard():
    throttled = {"message_type": "commit_throttled", "error": "Too little."}
    (_, result), _ = heard(committed("one", 0.0), [], throttled)
    assert (result.text, result.units.audio_ms) == ("one", 1000)


def test_silence_is_an_empty_transcript():
    (result,), _ = heard([], [], committed("", 0.0))
    assert (result.text, result.segments) == ("", ())


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("auth_error", 401, VendorError),
        ("quota_exceeded", 401, VendorError),
        ("rate_limited", 429, VendorError),
        ("invalid_request", None, InvalidRequestError),
        ("transcriber_error", 500, VendorError),
    ],
)
def test_what_is_refused_at_the_door_has_the_status_of_http(kind, status, error):
    with pytest.raises(error, match="Because") as raised:
        heard(first={"message_type": kind, "error": "Because."})
    assert getattr(raised.value, "status", None) == status


@pytest.mark.parametrize("said", [{"message_type": "error", "error": "Broken."}, None, "{"])
def test_what_breaks_in_the_middle_may_be_billed(said):
    with pytest.raises(VendorError) as raised:
        heard([], said)
    assert (raised.value.sent, raised.value.status) == (True, None)


def test_an_address_without_a_socket_is_a_refusal(fake_server):
    async def run():
        return [p async for p in engine(fake_server.http).transcribe_stream(iter(()), OPTIONS)]

    with pytest.raises(OgamError) as raised:
        asyncio.run(run())
    assert not isinstance(raised.value, VendorError) or raised.value.status


def test_where_nobody_listens_nothing_was_sent():
    async def run():
        return [p async for p in engine("http://127.0.0.1:9").transcribe_stream(iter(()), OPTIONS)]

    with pytest.raises(VendorError) as raised:
        asyncio.run(run())
    assert not raised.value.sent


def test_a_vendor_that_does_not_tell_the_end_is_given_up_in_time():
    async def run():
        async with vendor([], []) as (url, _):
            pieces = engine(url, patience=0.3).transcribe_stream(iter([HALF]), OPTIONS)
            return [piece async for piece in pieces]

    with pytest.raises(VendorError, match="end"):
        asyncio.run(run())


def test_a_source_that_fails_is_why_it_ends():
    def blocks():
        yield HALF
        raise InvalidRequestError("The microphone is gone.")

    with pytest.raises(InvalidRequestError, match="microphone"):
        heard([], blocks=blocks())


def test_who_leaves_ends_the_socket():
    async def run():
        async with vendor(committed("one", 0.0)) as (url, _):
            pieces = engine(url).transcribe_stream(iter([HALF, HALF, HALF]), OPTIONS)
            async with aclosing(pieces):
                piece = await anext(pieces)
        return piece

    assert isinstance(asyncio.run(run()), PartialTranscript)


def test_a_model_for_recordings_does_not_listen_to_live_sound():
    async def run():
        made = engine("http://127.0.0.1:9", "scribe_v1")
        return [piece async for piece in made.transcribe_stream(iter(()), OPTIONS)]

    with pytest.raises(UnsupportedOptionError, match="scribe_v2_realtime"):
        asyncio.run(run())
