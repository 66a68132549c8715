"""SDK, Ogam, Ogam as ElevenLabs, engine: what goes through, over real sockets; and a vendor that
says what it is told to say.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError

from ogam.config import Config, Route, Routes, Server
from ogam.media import wav
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, scripted_vendor
from .scripted import Scripted, answer

VENDOR_KEY = "the-vendors-key"
TEXT = "The quick brown fox."
ONCE: Any = {"max_retries": 0}
SOUND = ("a.wav", wav.write(bytes(range(250)) * 160, 16_000, 1), "audio/wav")  # 1.25 s
FLASH = 50_000  # nano-dollars a character
MULTILINGUAL = 100_000


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    own = Server(keys=(VENDOR_KEY,), data=str(tmp_path_factory.mktemp("vendor")))
    with running(Config(routes=every, server=own), grpc=False) as address:
        yield address


def config(url: str, data: str, *, speak: Any = None) -> Config:
    return Config(
        routes=Routes(
            speak=speak or ("elevenlabs/eleven_flash_v2_5",), transcribe=("elevenlabs/*",)
        ),
        names={
            "own": ("elevenlabs",),
            "cheap": Route(models=("elevenlabs/eleven_v3", "fake"), over_budget="next"),
            "gone": Route(models=("dead/eleven_v3", "fake"), retries=0),
            "mine": ("elevenlabs/eleven_v3",),
        },
        vendors={
            "elevenlabs": VendorSettings(url=url, key=VENDOR_KEY),
            "dead": VendorSettings(protocol="elevenlabs", url="http://127.0.0.1:9", key="k"),
        },
        server=Server(keys=(KEY,), data=data),
    )


@pytest.fixture(scope="module")
def gateway(vendor: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    made = config(vendor.http, str(tmp_path_factory.mktemp("data")))
    with running(made, grpc=False) as address:
        yield address


@contextmanager
def connected(server: Address) -> Iterator[ElevenLabs]:
    with httpx.Client(timeout=30) as http:
        yield ElevenLabs(base_url=server.http, api_key=KEY, httpx_client=http)


@pytest.fixture
def sdk(gateway: Address) -> Iterator[ElevenLabs]:
    with connected(gateway) as client:
        yield client


@contextmanager
def before(tmp_path: Any, *answers: Any, speak: Any = None) -> Iterator[tuple[Address, Scripted]]:
    """Ogam before a scripted vendor."""
    with (
        scripted_vendor(*answers) as said,
        running(config(said.url, str(tmp_path), speak=speak), grpc=False) as address,
    ):
        yield address, said


def post(server: Address, path: str, body: bytes, **headers: str) -> httpx.Response:
    given = {"xi-api-key": KEY, "content-type": "application/json", **headers}
    return httpx.post(f"{server.http}{path}", content=body, headers=given)


def spoken(sdk: ElevenLabs, voice: str = "ada", **more: Any) -> bytes:
    return b"".join(sdk.text_to_speech.convert(voice, text=TEXT, request_options=ONCE, **more))


def test_a_speech_goes_through_and_is_written_down(
    sdk: ElevenLabs, gateway: Address, fake_server: Address
) -> None:
    with sdk.text_to_speech.with_raw_response.convert("ada", text=TEXT) as got:
        sound = b"".join(got.data)
    assert got.headers["content-type"] == "audio/mpeg"
    assert got.headers["character-cost"] == str(len(TEXT))
    assert got.headers["x-ogam-model"] == "elevenlabs/eleven_flash_v2_5"
    assert VENDOR_KEY not in str(got.headers)
    with connected(fake_server) as direct:
        assert spoken(direct) == sound
    row = last(gateway)
    assert (row.protocol, row.capability, row.status) == ("elevenlabs", "speak", "ok")
    assert (row.units.characters, row.cost) == (len(TEXT), len(TEXT) * FLASH)


def test_all_four_forms_go_through(sdk: ElevenLabs, gateway: Address, fake_server: Address) -> None:
    with connected(fake_server) as direct:
        for client in (sdk, direct):
            speech = client.text_to_speech
            stream = b"".join(speech.stream("ada", text=TEXT, output_format="pcm_16000"))
            whole = speech.convert_with_timestamps("ada", text=TEXT, output_format="pcm_16000")
            lines = list(speech.stream_with_timestamps("ada", text=TEXT, output_format="pcm_16000"))
            joined = b"".join(base64.b64decode(one.audio_base_64) for one in lines)
            assert stream == joined == base64.b64decode(whole.audio_base_64)
            assert "".join(whole.alignment.characters) == TEXT
    assert spoken(sdk, output_format="pcm_16000") == stream
    assert last(gateway).cost == len(TEXT) * FLASH


@pytest.mark.parametrize(
    ("asked", "model", "price"),
    [
        ("eleven_v3", "elevenlabs/eleven_flash_v2_5", FLASH),
        ("mine", "elevenlabs/eleven_v3", MULTILINGUAL),
        ("own", "elevenlabs", MULTILINGUAL),
    ],
)
def test_the_steps_model_stands_before_the_clients(
    sdk: ElevenLabs, gateway: Address, asked: str, model: str, price: int
) -> None:
    spoken(sdk, model_id=asked)
    row = last(gateway)
    assert (row.model, row.cost) == (model, price * len(TEXT))


@pytest.mark.parametrize("step", ["elevenlabs", "elevenlabs/*"])
@pytest.mark.parametrize(
    ("asked", "model", "price"),
    [
        (None, "elevenlabs", MULTILINGUAL),
        ("eleven_turbo_v2", "elevenlabs/eleven_turbo_v2", FLASH),
    ],
)
def test_a_step_without_a_model_leaves_the_clients(
    tmp_path: Any, step: str, asked: str | None, model: str, price: int
) -> None:
    body = b'{ "text" : "hello", "seed": 1.0e0 }'
    if asked:
        body = body[:-1] + b', "model_id" :"%s"}' % asked.encode()
    reply = answer(200, b"sound", content_type="audio/mpeg", character_cost="9")
    with before(tmp_path, reply, speak=(step,)) as (address, said):
        got = post(address, "/v1/text-to-speech/abc", body)
        assert (got.status_code, got.content) == (200, b"sound")
        assert said.asked[0].body == body
        row = last(address)
        assert (row.model, row.units.characters, row.cost) == (model, 9, 9 * price)


def test_fields_that_nobody_here_knows_arrive_and_come_back(tmp_path: Any) -> None:
    body = '{"text":"안녕","new":{"a":[1e3, 1.50]},"model_id":"eleven_v3","x":null}'.encode()
    told = b'{ "audio_base64":"", "new_in_reply" : [1.0] }'
    reply = answer(
        200, told, content_type="application/json", request_id="r1", set_cookie="a=b", foo="bar"
    )
    with before(tmp_path, reply) as (address, said):
        path = "/v1/text-to-speech/aB3/with-timestamps?output_format=pcm_8000&new=%20a+b"
        got = post(address, path, body, cookie="c=d")
        assert got.content == told
        assert got.headers["x-vendor-request-id"] == "r1"
        assert "set-cookie" not in got.headers and "foo" not in got.headers
    (asked,) = said.asked
    assert asked.path == path
    assert asked.body == body.replace(b"eleven_v3", b"eleven_flash_v2_5")
    assert asked.headers["xi-api-key"] == VENDOR_KEY
    assert "cookie" not in asked.headers


def test_a_recording_goes_through_and_is_billed_by_its_length(
    sdk: ElevenLabs, gateway: Address
) -> None:
    got = sdk.speech_to_text.convert(model_id="scribe_v1", file=SOUND, request_options=ONCE)
    assert got.text and got.words
    row = last(gateway)
    assert (row.capability, row.model) == ("transcribe", "elevenlabs/scribe_v1")
    # Whole seconds of 22 cents an hour.
    assert (row.units.audio_ms, row.cost) == (1250, -(-2 * 220_000_000 // 3600))


def test_a_form_arrives_byte_for_byte(tmp_path: Any) -> None:
    request = httpx.Request(
        "POST",
        "http://x",
        data={"model_id": "scribe_v2", "new_field": "안녕", "webhook_metadata": "null"},
        files={"file": SOUND},
    )
    form = request.read()
    kind = request.headers["content-type"]
    told = b'{"text":"hi","new":1,"audio_duration_secs":1.25}'
    reply = answer(200, told, content_type="application/json")
    with before(tmp_path, reply, reply) as (address, said):
        got = post(address, "/v1/speech-to-text?a=1", form, **{"content-type": kind})
        assert got.content == told
        other = form.replace(b"scribe_v2", b"mine")
        assert post(address, "/v1/speech-to-text", other, **{"content-type": kind}).is_success
    assert (said.asked[0].path, said.asked[0].body) == ("/v1/speech-to-text?a=1", form)
    assert said.asked[1].body == form.replace(b"scribe_v2", b"eleven_v3")


def test_a_form_that_readers_may_differ_about_is_not_sent_on_as_it_came(tmp_path: Any) -> None:
    request = httpx.Request(
        "POST", "http://x", data={"model_id": "scribe_v1"}, files={"file": SOUND}
    )
    form = request.read()
    odd = form.replace(b"Content-Disposition", b"X-Odd: 1\r\nContent-Disposition", 1)
    reply = answer(200, b'{"text":"hi","audio_duration_secs":1.25}')
    with before(tmp_path, reply) as (address, said):
        kind = request.headers["content-type"]
        got = post(address, "/v1/speech-to-text", odd, **{"content-type": kind})
        assert got.json()["text"] == "hi"
        assert b"X-Odd" not in said.asked[0].body


def test_a_budget_refuses_in_the_vendors_own_quota_error(sdk: ElevenLabs, gateway: Address) -> None:
    with budget(gateway, 10):
        for work in (
            lambda: spoken(sdk),
            lambda: list(sdk.text_to_speech.stream("ada", text=TEXT)),
            lambda: sdk.speech_to_text.convert(model_id="scribe_v1", file=SOUND),
        ):
            with pytest.raises(ApiError) as caught:
                work()
            assert caught.value.status_code == 401
            assert caught.value.body["detail"]["status"] == "quota_exceeded"
        assert spoken(sdk, model_id="cheap")
        assert last(gateway).engine == "fake"
    assert not open_holds(gateway)


@pytest.mark.parametrize(
    "body",
    [
        '{"text":"a","never_heard_of":1}',
        '{"text":"a","pronunciation_dictionary_locators":[]}',
    ],
)
def test_what_has_no_provable_cost_is_refused_under_a_budget(gateway: Address, body: str) -> None:
    with budget(gateway, 10**15):
        got = post(gateway, "/v1/text-to-speech/ada", body.encode())
        assert got.status_code == 401 and "not known" in got.text
        got = post(gateway, "/v1/text-to-speech/ada", b'{"text":"a","text":"aaaaaaaaa"}')
        assert got.status_code == 400
        assert post(gateway, "/v1/text-to-speech/ada", b'{"text":"a"}').is_success


def test_keyterms_and_what_cannot_be_measured_are_refused_under_a_budget(
    sdk: ElevenLabs, gateway: Address
) -> None:
    hear = sdk.speech_to_text.convert
    with budget(gateway, 10**15):
        assert hear(model_id="scribe_v1", file=SOUND).text
        for more in (
            {"file": SOUND, "keyterms": ["fox"]},
            {"file": ("a.wav", b"no sound", "audio/wav")},
            {"source_url": "https://example.org/a.mp3", "file": SOUND},
        ):
            with pytest.raises(ApiError) as caught:
                hear(model_id="scribe_v1", request_options=ONCE, **more)
            assert caught.value.body["detail"]["status"] == "quota_exceeded"


def test_a_dead_vendor_is_passed_over_for_the_next_of_the_route(
    sdk: ElevenLabs, gateway: Address
) -> None:
    # The vendor's voices are unknown behind it: the default speaks.
    for voice in ("ada", "21m00Tcm4TlvDq8ikWAM", "a1" * 10):
        assert spoken(sdk, voice, model_id="gone")
        row = last(gateway)
        assert [(one.model, one.outcome) for one in row.attempts] == [
            ("dead/eleven_v3", "failed" if voice == "ada" else row.attempts[0].outcome),
            ("fake", "answered"),
        ]
    assert list(sdk.text_to_speech.stream("ada", text=TEXT, model_id="gone"))
    heard = sdk.speech_to_text.convert(model_id="gone", file=SOUND, request_options=ONCE)
    assert heard.text
    assert not open_holds(gateway)


@pytest.mark.parametrize("path", ["stream", "stream/with-timestamps"])
def test_a_stream_that_is_cut_breaks_off_and_keeps_its_hold(tmp_path: Any, path: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncharacter-cost: 5\r\n\r\n"
    with before(tmp_path, [head, b"5\r\nsound\r\n"]) as (address, _):
        with (
            httpx.stream(
                "POST",
                f"{address.http}/v1/text-to-speech/ada/{path}",
                json={"text": "hello"},
                headers={"xi-api-key": KEY},
            ) as got,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            for piece in got.iter_raw():
                assert piece == b"sound"
        row = last(address)
        assert row.status == "Vendor"
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", 5 * FLASH)


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(
    sdk: ElevenLabs, gateway: Address
) -> None:
    with pytest.raises(ApiError) as caught:
        spoken(sdk, "nobody")
    assert caught.value.status_code == 404
    assert caught.value.body["detail"]["code"] == "voice_not_found"
    assert last(gateway).cost == 0
    with pytest.raises(ApiError) as caught:
        list(sdk.text_to_speech.stream("nobody", text=TEXT))
    assert caught.value.status_code == 404
    with pytest.raises(ApiError) as caught:
        sdk.speech_to_text.convert(model_id="scribe_v1", file=SOUND, seed=-1)
    assert caught.value.status_code == 422
    assert not open_holds(gateway)


def test_a_wrong_key_of_the_operators_is_no_fault_of_the_clients(tmp_path: Any) -> None:
    detail = {"detail": {"status": "invalid_api_key", "message": f"{VENDOR_KEY} is wrong"}}
    with before(tmp_path, answer(401, detail)) as (address, _):
        got = post(address, "/v1/text-to-speech/ada", b'{"text":"a"}')
        assert got.status_code == 500 and VENDOR_KEY not in got.text
        assert not open_holds(address)


def test_voices_and_their_settings_are_the_vendors(tmp_path: Any) -> None:
    told = b'{"voices": [{"voice_id":"mine", "new": 1}], "has_more": false}'
    paths = (
        "/v1/voices",
        "/v2/voices?search=a&page_size=100",
        "/v1/voices/a1B2",
        "/v1/voices/a1B2/settings",
        "/v1/voices/settings/default",
    )
    with before(tmp_path, *(answer(200, told) for _ in paths)) as (address, said):
        for path in paths:
            got = httpx.get(f"{address.http}{path}", headers={"xi-api-key": KEY})
            assert got.content == told
        assert [(one.method, one.path) for one in said.asked] == [("GET", one) for one in paths]
        # An id that would lead elsewhere does not go through; here it is nobody's.
        got = httpx.get(f"{address.http}/v1/voices/..%2Fuser", headers={"xi-api-key": KEY})
        assert got.status_code != 200 and len(said.asked) == len(paths) + 1
        assert said.asked[-1].path == "/v1/voices"


def test_a_voice_that_another_vendor_does_not_list_is_not_tried_out(tmp_path: Any) -> None:
    dead = VendorSettings(protocol="openai", url="http://127.0.0.1:9/v1", key="k")
    made = Config(
        routes=Routes(speak=("other/tts",)),
        vendors={"other": dead},
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    with running(made, grpc=False) as address, connected(address) as client:
        assert client.voices.get("any").voice_id == "any"
        assert client.voices.get_all().voices == []


def test_the_account_is_ours_and_counts_what_went_through(
    sdk: ElevenLabs, gateway: Address
) -> None:
    before = sdk.user.subscription.get().character_count
    spoken(sdk)
    list(sdk.text_to_speech.stream("ada", text=TEXT))
    assert sdk.user.get().subscription.character_count == before + 2 * len(TEXT)


def test_stream_input_speaks_with_the_vendors_voice(gateway: Address) -> None:
    from .test_elevenlabs_socket import opened, say, until_closed

    premade = "21m00Tcm4TlvDq8ikWAM"
    with opened(gateway, voice=premade, language_code="ko", output_format="pcm_16000") as socket:
        say(socket, text="Hello there. ")
        say(socket, text="")
        messages, code = until_closed(socket)
    assert code == 1000 and messages[-1]["isFinal"]
    row = last(gateway)
    assert (row.model, row.status) == ("elevenlabs/eleven_flash_v2_5", "ok")
