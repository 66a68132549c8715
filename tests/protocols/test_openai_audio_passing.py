"""SDK, Ogam, and a vendor that speaks OpenAI's protocol: sound that goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import httpx
import openai
import pytest

from ogam.config import Config, Route, Routes, Server
from ogam.media import Audio
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, recorded, scripted_vendor

VENDOR_KEY = "the-vendors-key"
SECOND = 100_000  # nano-dollars of whisper-1
CHARACTER = 15_000  # of tts-1
WAV = Audio.from_pcm(bytes(2 * 16_000 * 2), 16_000).data  # two seconds
HEAD = "HTTP/1.1 {} X\r\nconnection: close\r\ncontent-type: {}\r\n{}\r\n"


def reply(body: bytes, kind: str = "application/json", status: int = 200, more: str = "") -> bytes:
    length = f"content-length: {len(body)}\r\n{more}"
    return HEAD.format(status, kind, length).encode() + body


@contextmanager
def before(
    tmp_path: Any,
    *answers: bytes,
    speak: Any = ("openai/*",),
    hear: Any = ("openai/*",),
    **more: Any,
) -> Iterator[tuple[Address, Any]]:
    """Ogam before a scripted vendor."""
    with scripted_vendor(*answers) as said:
        made = Config(
            routes=Routes(
                speak=Route(models=speak, retries=0, **more),
                transcribe=Route(models=hear, retries=0, **more),
            ),
            names={"anna": Route(models=("fake",))},
            vendors={
                "openai": VendorSettings(url=f"{said.url}/v1", key=VENDOR_KEY),
                "dead": VendorSettings(protocol="openai", url="http://127.0.0.1:9/v1", key="k"),
            },
            server=Server(keys=(KEY,), data=str(tmp_path)),
        )
        with running(made, grpc=False) as address:
            yield address, said


def sdk(address: Address) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address.http}/v1", api_key=KEY, max_retries=0)


def say(address: Address, **body: Any) -> httpx.Response:
    given = {"model": "tts-1", "input": "Hello, 안녕.", "voice": "alloy", **body}
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    url = f"{address.http}/v1/audio/speech"
    data = json.dumps(given, ensure_ascii=False).encode()
    return httpx.post(url, content=data, headers=headers, timeout=30)


def test_a_text_and_its_sound_arrive_as_they_were(tmp_path: Any) -> None:
    sound = bytes(range(256)) * 300
    with before(tmp_path, reply(sound, "audio/opus"), record=True) as (address, said):
        found = say(address, response_format="opus", new={"a": [1.50, None]})
        assert (found.content, found.headers["content-type"]) == (sound, "audio/opus")
        (sent,) = said.asked
        assert (sent.path, sent.headers["authorization"]) == (
            "/v1/audio/speech",
            f"Bearer {VENDOR_KEY}",
        )
        assert b'"new": {"a": [1.5, null]}' in sent.body
        row = last(address)
        assert (row.model, row.units.characters, row.status) == ("openai/tts-1", 10, "ok")
        assert row.cost == 10 * CHARACTER
        assert not open_holds(address)
        request, answer = recorded(address, row.id)
        assert request["input"] == "Hello, 안녕."
        assert answer["sha256"] == sha256(sound).hexdigest()


def test_the_route_names_the_model(tmp_path: Any) -> None:
    with before(tmp_path, reply(b"x", "audio/mpeg"), speak=("openai/tts-1-hd",)) as (address, said):
        say(address, model="gpt-4o-mini-tts", speed=1.25)
        assert said.asked[0].json() == {
            "model": "tts-1-hd",
            "input": "Hello, 안녕.",
            "voice": "alloy",
            "speed": 1.25,
        }
        assert last(address).model == "openai/tts-1-hd"


def test_a_voice_of_the_configurations_takes_the_ordinary_way(tmp_path: Any) -> None:
    with before(tmp_path) as (address, said):
        found = say(address, voice="anna", response_format="wav")
        assert found.headers["x-ogam-engine"] == "fake"
        assert not said.asked


def test_events_tell_the_tokens_of_speech(tmp_path: Any) -> None:
    events = (
        b'data: {"type":"speech.audio.delta","audio":"aGk=","new":1}\n\n'
        b'data: {"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101}}\n\n'
    )
    with before(tmp_path, reply(events, "text/event-stream")) as (address, _):
        found = say(address, model="gpt-4o-mini-tts", stream_format="sse")
        assert found.content == events
        units = last(address).units
        assert (units.input_tokens, units.output_tokens) == (14, 101)


def test_a_budget_is_kept_before_anything_is_said(tmp_path: Any) -> None:
    with before(tmp_path, reply(b"x", "audio/mpeg")) as (address, said):
        with budget(address, 10 * CHARACTER - 1):
            assert say(address).status_code == 429
        with budget(address, 10**15):
            assert say(address, new=1).status_code == 429
            assert not said.asked and not open_holds(address)
            assert say(address).status_code == 200


def test_what_the_vendor_finds_wrong_is_read_in_its_words(tmp_path: Any) -> None:
    wrong = b'{"error": {"message": "no such voice", "type": "invalid_request_error"}}'
    with before(tmp_path, reply(wrong, status=400), speak=("openai/*", "fake")) as (address, _):
        found = say(address, voice="nobody")
        assert (found.status_code, found.content) == (400, wrong)
        assert last(address).cost == 0 and not open_holds(address)


def test_behind_a_vendor_that_fails_something_else_speaks(tmp_path: Any) -> None:
    with before(tmp_path, speak=("dead/tts-1", "fake")) as (address, _):
        found = say(address, response_format="wav")
        assert found.headers["x-ogam-engine"] == "fake"
        assert [one.model for one in last(address).attempts] == ["dead/tts-1", "fake"]


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
def test_a_recording_and_its_text_arrive_as_they_were(tmp_path: Any, path: str) -> None:
    told = b'{ "text":"hello", "usage":{"type":"duration","seconds":2}, "new" : [1.0]}'
    form = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="new[]"\r\n\r\n1.50\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n" + WAV + b"\r\n--b--\r\n"
    )
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "multipart/form-data; boundary=b",
    }
    with before(tmp_path, reply(told), record=True) as (address, said):
        url = f"{address.http}/v1/audio/{path}"
        found = httpx.post(url, content=form, headers=headers, timeout=30)
        assert found.content == told
        (sent,) = said.asked
        assert (sent.path, sent.body) == (f"/v1/audio/{path}", form)
        assert sent.headers["authorization"] == f"Bearer {VENDOR_KEY}"
        row = last(address)
        assert (row.model, row.units.audio_ms) == ("openai/whisper-1", 2000)
        assert row.cost == 2 * SECOND
        assert recorded(address, row.id)[0]["file"]["sha256"] == sha256(WAV).hexdigest()


@pytest.mark.parametrize("format_", ["text", "srt", "verbose_json"])
def test_what_the_vendor_does_not_tell_is_measured(tmp_path: Any, format_: str) -> None:
    body = b'{"text": "hello"}' if "json" in format_ else b"hello\n"
    kind = "application/json" if "json" in format_ else "text/plain"
    with before(tmp_path, reply(body, kind)) as (address, said):
        with sdk(address) as client:
            made: Any = client.audio.transcriptions.create(
                model="whisper-1",
                file=("a.wav", WAV),
                response_format=format_,  # type: ignore[call-overload]
            )
        assert (made if isinstance(made, str) else made.text).strip() == "hello"
        assert b"whisper-1" in said.asked[0].body
        assert last(address).units.audio_ms == 2000
        assert last(address).cost == 2 * SECOND


def test_text_comes_as_it_is_heard(tmp_path: Any) -> None:
    events = (
        b'data: {"type":"transcript.text.delta","delta":"hi"}\n\n'
        b'data: {"type":"transcript.text.done","text":"hi","usage":{"type":"tokens",'
        b'"input_tokens":20,"output_tokens":3,"total_tokens":23}}\n\n'
    )
    route = ("openai/gpt-4o-mini-transcribe",)
    with before(tmp_path, reply(events, "text/event-stream"), hear=route) as (address, said):
        with sdk(address) as client:
            stream = client.audio.transcriptions.create(
                model="whisper-1", file=("a.wav", WAV), stream=True
            )
            assert [one.type for one in stream] == [
                "transcript.text.delta",
                "transcript.text.done",
            ]
        assert b"gpt-4o-mini-transcribe" in said.asked[0].body
        assert b"whisper-1" not in said.asked[0].body
        units = last(address).units
        assert (units.input_tokens, units.output_tokens) == (20, 3)


def test_a_model_without_events_answers_whole(tmp_path: Any) -> None:
    told = b'{"text":"hi","usage":{"type":"duration","seconds":2}}'
    with before(tmp_path, reply(told)) as (address, _):
        found = httpx.post(
            f"{address.http}/v1/audio/transcriptions",
            data={"model": "whisper-1", "stream": "true"},
            files={"file": ("a.wav", WAV)},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30,
        )
        assert found.content == told
        assert last(address).cost == 2 * SECOND and not open_holds(address)


def test_a_recording_under_a_budget(tmp_path: Any) -> None:
    with before(tmp_path, reply(b'{"text": "hi"}')) as (address, said), sdk(address) as client:

        def ask(**more: Any) -> Any:
            return client.audio.transcriptions.create(
                model="whisper-1", file=("a.wav", WAV), **more
            )

        with budget(address, 2 * SECOND - 1), pytest.raises(openai.RateLimitError):
            ask()
        with budget(address, 10**15), pytest.raises(openai.RateLimitError, match="not known"):
            ask(extra_body={"new": "1"})
        assert not said.asked and not open_holds(address)
        with budget(address, 2 * SECOND):
            assert ask().text == "hi"


def test_behind_a_vendor_that_fails_something_else_hears(tmp_path: Any) -> None:
    with before(tmp_path, hear=("dead/whisper-1", "fake")) as (address, _), sdk(address) as client:
        made = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", WAV))
        assert made.text
        assert [one.model for one in last(address).attempts] == ["dead/whisper-1", "fake"]


def test_a_vendor_may_be_an_ogam(tmp_path: Any, fake_server: Address) -> None:
    settings = VendorSettings(url=f"{fake_server.http}/v1", key=fake_server.key)
    made = Config(
        routes=Routes(speak=("openai/*",), transcribe=("openai/*",)),
        vendors={"openai": settings},
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    with running(made, grpc=False) as address, sdk(address) as client:
        with openai.OpenAI(base_url=f"{fake_server.http}/v1", api_key=fake_server.key) as direct:
            for kind in ("wav", "mp3"):
                asked: Any = {
                    "model": "tts-1",
                    "voice": "alloy",
                    "input": "Hello there.",
                    "response_format": kind,
                }
                one = client.audio.speech.create(**asked).content
                assert one == direct.audio.speech.create(**asked).content
            heard = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", WAV))
            same = direct.audio.transcriptions.create(model="whisper-1", file=("a.wav", WAV))
            assert heard == same
        assert last(address).cost == 2 * SECOND


def test_moderations_go_through_and_cost_nothing(tmp_path: Any) -> None:
    told = b'{"id":"m","model":"x","results":[{"flagged":false,"new":[1.0]}]}'
    with scripted_vendor(reply(told)) as said:
        made = Config(
            routes=Routes(classify=("openai/*",)),
            vendors={"openai": VendorSettings(url=f"{said.url}/v1", key=VENDOR_KEY)},
            server=Server(keys=(KEY,), data=str(tmp_path)),
        )
        with running(made, grpc=False) as address, budget(address, 1):
            found = httpx.post(
                f"{address.http}/v1/moderations",
                json={"model": "omni-moderation-latest", "input": ["a"], "new": 1},
                headers={"authorization": f"Bearer {KEY}"},
                timeout=30,
            )
            assert found.content == told
            assert said.asked[0].json()["new"] == 1
            assert (last(address).cost, open_holds(address)) == (0, [])
