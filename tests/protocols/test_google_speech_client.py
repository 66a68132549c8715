"""Google Speech-to-Text called: against Ogam's own server, and against vendors that misbehave."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import errors
from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_recognition import (
    Alternative,
    Keyword,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.engines.fake import FakeEngine
from ogam.media import Audio
from ogam.protocols.google import protojson
from ogam.protocols.google_speech import client, convert, convert_v2, cutting, wire, wire_v2
from ogam.protocols.google_speech.client import GoogleSpeechEngine
from ogam.protocols.google_speech.client_wishes import Model
from ogam.vendors import Vendor

from .conftest import Address
from .scripted import Asked, Scripted, answer, connected, failure, run, scripted
from .test_google_speech_convert import ASKED, segments

RATE = 16_000
KEY = "a-secret-key"
FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))
ENGLISH = RecognitionOptions(language="en-US")


def sound(seconds: float, seed: int = 1) -> bytes:
    """Samples of which no two half seconds are alike, and so no two words of ``fake``."""
    value, found = seed, []
    for _ in range(int(seconds * RATE)):
        value = (value * 1103515245 + 12345) % 2**31
        found.append((value >> 16) % 4000 - 2000)
    return struct.pack(f"<{len(found)}h", *found)


def long_sound(seconds: int) -> bytes:
    """As :func:`sound`, made faster: of one second's samples, turned a little each time."""
    one = sound(1.0)
    return b"".join(one[2 * at :] + one[: 2 * at] for at in range(seconds))


PCM = sound(2.2)


def engine(url: str, model: str = "", grpc: str = "", **more: Any) -> GoogleSpeechEngine:
    vendor = Vendor(
        name="google_speech",
        protocol="google_speech",
        url=url,
        **{"key": KEY, "project": "my-project", "grpc_url": grpc and f"http://{grpc}", **more},
    )
    name = f"google_speech/{model}".rstrip("/")
    ref = ModelRef(name=name, engine="google_speech", model=model)
    return GoogleSpeechEngine(ref, vendor, connected(url))


def request(pcm: bytes = PCM, **options: Any) -> TranscribeRequest:
    wanted = RecognitionOptions(**{"language": "en-US", **options})
    return TranscribeRequest(audio=Audio.from_pcm(pcm, RATE), options=wanted)


def same(found: TranscribeResult, own: TranscribeResult) -> None:
    """What the vendor's engine heard came over whole."""
    assert found.text == own.text != ""
    assert found.segments == own.segments
    assert found.duration == pytest.approx(own.duration)
    assert found.language == "en-US"


def heard(reply: bytes | Callable[[Asked], bytes], **more: Any) -> TranscribeResult:
    """What comes of one scripted reply."""

    async def work() -> TranscribeResult:
        async with scripted(reply, again=True) as vendor:
            return await engine(vendor.url, **more).transcribe(request())

    return run(work())


# Recordings.


@pytest.mark.parametrize("model", ["", "latest_long", "v2", "v2/long"])
def test_a_recording_comes_back_as_the_vendor_heard_it(fake_server: Address, model: str) -> None:
    found = run(engine(fake_server.http, model, key=fake_server.key).transcribe(request()))
    same(found, FAKE.transcribe(request()))
    assert found.units.audio_ms == 3000
    assert found.model == f"google_speech/{model}".rstrip("/")


def test_any_recording_is_sent_as_one_channel_of_16_khz() -> None:
    both = b"".join(PCM[at : at + 2] * 2 for at in range(0, len(PCM), 2))

    async def work() -> Asked:
        async with scripted(answer(200, {}), again=True) as vendor:
            asked = TranscribeRequest(
                audio=Audio.from_pcm(both, RATE, 2),
                options=RecognitionOptions(language="ko", alternatives=3, phrases=("오감",)),
            )
            found = await engine(vendor.url, "telephony").transcribe(asked)
            assert (found.text, found.segments, found.language) == ("", (), "ko")
            assert found.units.audio_ms == 3000
            return vendor.asked[0]

    asked = run(work())
    assert asked.path == "/v1/speech:recognize"
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.json()["config"] == {
        "encoding": "FLAC",
        "sampleRateHertz": RATE,
        "audioChannelCount": 1,
        "languageCode": "ko-KR",
        "maxAlternatives": 3,
        "speechContexts": [{"phrases": ["오감"]}],
        "enableWordTimeOffsets": True,
        "enableWordConfidence": True,
        "model": "telephony",
    }
    sent = Audio(msgspec.json.decode(asked.body, type=wire.RecognizeRequest).audio.content)
    assert (sent.media_type, sent.pcm().sample_rate, sent.pcm().channels) == ("audio/flac", RATE, 1)
    assert sent.pcm().data == PCM


def test_version_two_says_it_in_its_own_way() -> None:
    async def work() -> Asked:
        async with scripted(
            answer(200, {"metadata": {"totalBilledDuration": "15s"}}), again=True
        ) as vendor:
            found = await engine(vendor.url, "v2/chirp_2").transcribe(
                request(language=None, phrases=("ogam",))
            )
            assert found.units.audio_ms == 15_000
            return vendor.asked[0]

    asked = run(work())
    assert asked.path == "/v2/projects/my-project/locations/global/recognizers/_:recognize"
    assert asked.json()["config"] == {
        "explicitDecodingConfig": {
            "encoding": "FLAC",
            "sampleRateHertz": RATE,
            "audioChannelCount": 1,
        },
        "model": "chirp_2",
        "languageCodes": ["auto"],
        "features": {
            "enableWordTimeOffsets": True,
            "enableWordConfidence": True,
            "maxAlternatives": 1,
        },
        "adaptation": {"phraseSets": [{"inlinePhraseSet": {"phrases": [{"value": "ogam"}]}}]},
    }


def test_a_models_name_says_version_model_and_place() -> None:
    global_url, regional = "https://speech.googleapis.com", "https://eu-speech.googleapis.com"
    assert Model.of("", global_url) == (1, "", "global")
    assert Model.of("telephony", regional) == (1, "telephony", "eu")
    assert Model.of("v2", regional) == (2, "long", "eu")
    assert Model.of("v2/chirp_3", global_url) == (2, "chirp_3", "global")


def test_version_two_needs_a_project() -> None:
    one = engine("http://127.0.0.1:1", "v2", project="")
    with pytest.raises(errors.NotConfiguredError, match="GOOGLE_CLOUD_PROJECT"):
        run(one.transcribe(request()))


def test_google_itself_is_never_called_without_credentials() -> None:
    one = engine("https://speech.googleapis.com", key="")
    with pytest.raises(errors.NotConfiguredError, match="GOOGLE_SPEECH_API_KEY"):
        run(one.transcribe(request()))


@pytest.mark.parametrize(
    "options", [{"grammar": "#JSGF V1.0;"}, {"keywords": (Keyword(phrase="go"),)}]
)
def test_what_google_does_not_take_is_refused_before_anything_is_sent(
    options: dict[str, Any],
) -> None:
    with pytest.raises(errors.UnsupportedOptionError):
        run(engine("http://127.0.0.1:1").transcribe(request(**options)))


def test_several_readings_and_utterances_without_times_keep_their_order() -> None:
    first = {
        "alternatives": [
            {"transcript": "hello there", "confidence": 0.5},
            {"transcript": "hallo there"},
        ],
        "resultEndTime": "1.5s",
        "languageCode": "cmn-hans-cn",
    }
    second = {"alternatives": [{"transcript": " again"}], "resultEndTime": "2.200s", "new": 1}
    silent: dict[str, Any] = {"alternatives": []}

    async def work() -> TranscribeResult:
        reply = {"results": [first, silent, second], "totalBilledTime": "3s", "requestId": "7"}
        async with scripted(answer(200, reply), again=True) as vendor:
            return await engine(vendor.url).transcribe(request(alternatives=2))

    found = run(work())
    assert found.text == "hello there again"
    assert found.language == "zh-Hans-CN"
    assert [(one.start, one.end) for one in found.segments] == [(0, 1.5), (1.5, 2.2)]
    assert found.segments[0].alternatives == (
        Alternative(text="hello there", confidence=0.5),
        Alternative(text="hallo there"),
    )


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (failure(400, "INVALID_ARGUMENT", "bad"), errors.InvalidRequestError, None),
        (
            failure(
                400,
                "INVALID_ARGUMENT",
                "bad language code",
                {"fieldViolations": [{"field": "config.languageCode"}]},
            ),
            errors.UnknownLanguageError,
            None,
        ),
        (failure(403, "PERMISSION_DENIED", "disabled"), errors.VendorError, 403),
        (failure(429, "RESOURCE_EXHAUSTED", "quota"), errors.VendorError, 429),
        (failure(503, "UNAVAILABLE", "later"), errors.VendorError, 503),
        (answer(200, {"results": 3}), errors.VendorError, None),
        (answer(200, {"totalBilledTime": "soon"}), errors.VendorError, None),
        (
            answer(200, {"results": [{"alternatives": [{}], "resultEndTime": "x"}]}),
            errors.VendorError,
            None,
        ),
        (answer(200, {"results": []}, cut=4), errors.VendorError, None),
    ],
)
def test_what_goes_wrong_at_the_vendor_is_told_by_kind(
    reply: bytes, kind: type[Exception], status: int | None
) -> None:
    with pytest.raises(errors.OgamError) as caught:
        heard(reply)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    if isinstance(caught.value, errors.VendorError):
        assert (caught.value.status, caught.value.sent) == (status, True)


def test_a_language_that_the_vendor_does_not_know(fake_server: Address) -> None:
    one = engine(fake_server.http, key=fake_server.key)
    with pytest.raises(errors.UnknownLanguageError, match="fr-FR"):
        run(one.transcribe(request(language="fr")))


# More than a minute.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are looked at without a pause."""
    monkeypatch.setattr(client, "_FIRST_LOOK", 0.001)
    monkeypatch.setattr(client, "_LAST_LOOK", 0.001)


@pytest.mark.usefixtures("quick")
def test_a_longer_recording_is_an_operation(fake_server: Address) -> None:
    asked = request(long_sound(61))
    one = engine(fake_server.http, key=fake_server.key)
    found = run(one.transcribe(asked))
    same(found, FAKE.transcribe(asked))
    assert found.units.audio_ms == 61_000


def operation(asked: Asked, **fields: Any) -> bytes:
    return answer(200, {"name": "123", **fields})


@pytest.mark.usefixtures("quick")
def test_an_operation_is_looked_at_until_it_is_done() -> None:
    result = {"results": [{"alternatives": [{"transcript": "hi"}]}], "totalBilledTime": "61s"}
    done = answer(200, {"name": "123", "done": True, "response": {"@type": "x", **result}})

    async def work() -> tuple[TranscribeResult, Scripted]:
        replies = (
            answer(200, {"name": "123"}),
            answer(200, {"name": "123", "metadata": {"progressPercent": 5}}),
            failure(503, "UNAVAILABLE", "later"),
            failure(429, "RESOURCE_EXHAUSTED", "slowly"),
            answer(200, b"", cut=0)[:20],  # a reply that breaks off
            done,
        )
        async with scripted(*replies, again=True) as vendor:
            return await engine(vendor.url).transcribe(request(long_sound(61))), vendor

    found, vendor = run(work())
    assert found.text == "hi"
    assert found.units.audio_ms == 61_000
    assert [one.path for one in vendor.asked] == [
        "/v1/speech:longrunningrecognize",
        *["/v1/operations/123"] * 5,
    ]


@pytest.mark.usefixtures("quick")
def test_an_operation_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_SECONDS", 0.1)

    async def work() -> None:
        async with scripted(answer(200, {"name": "123"}), again=True) as vendor:
            await engine(vendor.url, timeout=0.2).transcribe(request(sound(0.2)))

    with pytest.raises(errors.VendorError, match="did not finish") as caught:
        run(work())
    assert caught.value.sent


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("done", "kind"),
    [
        ({"done": True, "error": {"code": 3, "message": "no"}}, errors.InvalidRequestError),
        ({"done": True, "error": {"code": 13}}, errors.VendorError),
        ({"done": True, "response": {"results": 5}}, errors.VendorError),
        ({"done": True, "response": {"outputError": {"code": 8}}}, errors.VendorError),
        ({"done": "perhaps"}, errors.VendorError),
    ],
)
def test_an_operation_that_failed_says_why(done: dict[str, Any], kind: type[Exception]) -> None:
    async def work() -> None:
        replies = (
            answer(200, {"name": "123"}),
            answer(200, {"name": "123", **done}),
            answer(200, {"name": "123", "done": True, "error": {"code": 14}}),
        )
        async with scripted(*replies, again=True) as vendor:
            await engine(vendor.url).transcribe(request(long_sound(61)))

    with pytest.raises(kind) as caught:
        run(work())
    if isinstance(caught.value, errors.VendorError):
        assert caught.value.sent


@pytest.mark.usefixtures("quick")
def test_an_operation_that_is_forgotten_may_have_been_billed() -> None:
    async def work() -> None:
        async with scripted(
            answer(200, {"name": "123"}), failure(403, "PERMISSION_DENIED", "x"), again=True
        ) as v:
            await engine(v.url).transcribe(request(long_sound(61)))

    with pytest.raises(errors.VendorError) as caught:
        run(work())
    assert caught.value.sent


def recognizes(asked: Asked) -> bytes:
    """Refuses operations as Google does, and hears one word in each part."""
    if asked.path.endswith("longrunningrecognize"):
        return failure(
            400, "INVALID_ARGUMENT", "Inline audio exceeds duration limit. Please use a GCS URI."
        )
    sent = Audio(msgspec.json.decode(asked.body, type=wire.RecognizeRequest).audio.content)
    word = {"word": "hi", "startTime": "1s", "endTime": "1.5s"}
    best = {"transcript": "hi", "words": [word]}
    seconds = f"{-(-sent.duration // 1):.0f}s"
    result = {"alternatives": [best], "resultEndTime": "2s", "languageCode": "en-us"}
    return answer(200, {"results": [result], "totalBilledTime": seconds})


def test_sound_that_google_takes_no_operation_for_goes_in_parts() -> None:
    pcm = long_sound(130) + sound(0.4)

    async def work() -> tuple[TranscribeResult, Scripted]:
        async with scripted(recognizes, again=True) as vendor:
            return await engine(vendor.url).transcribe(request(pcm)), vendor

    found, vendor = run(work())
    first, *parts = vendor.asked
    assert first.path == "/v1/speech:longrunningrecognize"
    assert len(parts) in (3, 4)
    assert found.text == " ".join(["hi"] * len(parts))
    starts = [one.words[0].start for one in found.segments]
    assert starts == sorted(starts)
    assert starts[0] == 1.0
    assert starts[1] >= 41.0
    # All parts together are billed as the whole would have been.
    assert found.units.audio_ms == 131_000
    assert found.duration == pytest.approx(130.4)


def test_a_part_that_fails_stops_the_others() -> None:
    def reply(asked: Asked) -> bytes:
        return failure(429, "RESOURCE_EXHAUSTED", "quota")

    async def work() -> None:
        async with scripted(reply, again=True) as vendor:
            with pytest.raises(errors.VendorError):
                await engine(vendor.url, "v2").transcribe(request(long_sound(61)))
            assert len(asyncio.all_tasks()) <= 2

    run(work())


@given(st.integers(0, 300), st.integers(0, 9))
def test_parts_are_whole_seconds_and_make_the_whole(seconds: int, rest: int) -> None:
    pcm = bytes(2 * 100 * seconds + 2 * 10 * rest)
    parts = cutting.parts(pcm, 100)
    assert b"".join(parts) == pcm
    assert all(len(part) <= 2 * 100 * 55 for part in parts)
    assert all(len(part) % 200 == 0 for part in parts[:-1])


def test_a_cut_is_made_where_it_is_quiet() -> None:
    loud = struct.pack("<h", 9000) * 100
    quiet = bytes(200)
    pcm = loud * 46 + quiet * 2 + loud * 52
    assert len(cutting.parts(pcm, 100)[0]) == 47 * 200


# What goes out and what comes back.


@given(ASKED)
def test_a_configuration_of_version_two_survives_the_way_out_and_back(
    asked: convert.Asked,
) -> None:
    if not asked.encoding:  # then the bytes tell the rest
        asked = msgspec.structs.replace(asked, sample_rate=0, channels=0)
    sent = msgspec.json.encode(convert_v2.config(asked))
    assert convert_v2.asked(protojson.parse(sent, wire_v2.RecognitionConfig)) == asked


@given(segments())
def test_an_utterance_of_version_two_survives_the_way_out_and_back(segment: Any) -> None:
    asked = convert.Asked(
        languages=("en-US",),
        options=RecognitionOptions(alternatives=2),
        times=True,
        confidences=True,
    )
    made = convert_v2.result(convert.result(asked, "en-US", segment, 0))
    sent = protojson.read(msgspec.json.encode(made), wire_v2.SpeechRecognitionResult)
    assert convert.segment(convert_v2.result_of(sent)) == segment


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en-US"),
        ("en-GB", "en-GB"),
        ("he", "iw-IL"),
        ("he-IL", "iw-IL"),
        ("zh", "cmn-Hans-CN"),
    ],
)
def test_a_language_is_written_as_google_writes_it(tag: str, code: str) -> None:
    assert convert.code(tag) == code
    assert convert.spelled(code.lower()).startswith(tag[:2])


@pytest.mark.parametrize(
    ("code", "tag"), [("en-us", "en-US"), ("cmn-hans-cn", "zh-Hans-CN"), ("es-419", "es-419")]
)
def test_a_code_of_a_reply_is_spelled_as_usual(code: str, tag: str) -> None:
    assert convert.spelled(code) == tag
