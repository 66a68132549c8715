"""ElevenLabs called: Ogam's own server is the vendor, and one that says what it was told to say."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.speech_recognition import (
    Keyword,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Word,
)
from ogam.capabilities.speech_synthesis import (
    SpeakRequest,
    SpeakResult,
    SpeechChunk,
    Voice,
    WordTiming,
)
from ogam.engines.fake import FakeEngine
from ogam.errors import (
    InvalidMediaError,
    InvalidRequestError,
    NotConfiguredError,
    TooLargeError,
    UnknownLanguageError,
    UnknownModelError,
    UnknownVoiceError,
    UnsupportedOptionError,
    VendorError,
)
from ogam.media import Audio
from ogam.net import Client
from ogam.protocols.elevenlabs import (
    convert,
    convert_heard,
    convert_listening,
    convert_spoken,
    convert_voices,
    speaking,
    wire_answers,
    wire_listening,
)
from ogam.protocols.elevenlabs.client import SAMPLE_RATE, ElevenLabsEngine
from ogam.vendors import Vendor

from .scripted import answer, scripted

FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))
VOICE = "a1" * 10
LISTED = answer(
    200,
    {
        "voices": [
            {"voice_id": VOICE, "name": "Roger - Laid-Back", "labels": {"language": "en"}},
            {
                "voice_id": "b2" * 10,
                "name": "Bora",
                "labels": None,
                "verified_languages": [{"language": "ko", "locale": None}, {"language": "de"}],
            },
        ]
    },
)


@asynccontextmanager
async def engine(url: str, key: str = "k", model: str = "", patience: float = 20.0):
    http = Client(url)
    vendor = Vendor(name="elevenlabs", protocol="elevenlabs", url=url, key=key, timeout=patience)
    name = f"elevenlabs/{model}" if model else "elevenlabs"
    made = ElevenLabsEngine(ModelRef(name=name, engine="elevenlabs", model=model), vendor, http)
    try:
        yield made
    finally:
        made.close()
        http.close()


def line(sound: bytes, text: str = "", start: float = 0.0, step: float = 0.1) -> bytes:
    """A line of speech, its characters one after another."""
    edges = [round(start + step * at, 3) for at in range(len(text) + 1)]
    alignment = {
        "characters": list(text),
        "character_start_times_seconds": edges[:-1],
        "character_end_times_seconds": edges[1:],
    }
    told = {"audio_base64": base64.b64encode(sound).decode(), "alignment": alignment}
    return json.dumps(told).encode() + b"\n"


def asking(replies, method: str, request, **options):
    """What a method gives when the vendor replies so, and what it was asked."""

    async def run():
        async with scripted(*replies) as vendor, engine(vendor.url, **options) as voice:
            return await getattr(voice, method)(request), vendor.asked

    return asyncio.run(run())


def failing(replies, request, method: str = "speak", **options):
    async def run():
        async with scripted(*replies) as vendor, engine(vendor.url, **options) as voice:
            with pytest.raises(Exception) as raised:
                await getattr(voice, method)(request)
            return raised.value

    return asyncio.run(run())


def of_server(server, method: str, *arguments, model: str = ""):
    async def run():
        async with engine(server.http, server.key, model) as voice:
            return await getattr(voice, method)(*arguments)

    return asyncio.run(run())


def near(word: WordTiming) -> tuple[str, int, int, float, float]:
    """A word to the millisecond, as the wire tells it."""
    return word.text, word.offset, word.length, round(word.start, 3), round(word.end, 3)


@pytest.mark.parametrize("rate", [1.0, 0.8])
def test_a_speech_through_a_server_is_the_engine_s_own(fake_server, rate):
    request = SpeakRequest(text="Hello, my  friend.\n안녕", voice="bora", rate=rate)
    got = of_server(fake_server, "speak", request)
    own = FAKE.speak(request)
    assert got.audio.pcm().data == speaking.whole(own.audio, convert.OUTPUTS["pcm_24000"])
    assert [near(one) for one in got.words] == [near(one) for one in own.words]
    assert (got.voice, got.units) == ("bora", own.units)
    assert (got.engine, got.model) == ("elevenlabs", "elevenlabs")


def test_a_stream_gives_the_same_piece_by_piece(fake_server):
    request = SpeakRequest(text="One two three four.", voice="Ada")

    async def run():
        async with engine(fake_server.http, fake_server.key) as voice:
            return [piece async for piece in voice.speak_stream(request)]

    *pieces, result = asyncio.run(run())
    assert isinstance(result, SpeakResult)
    assert len(pieces) > 2
    assert b"".join(one.pcm for one in pieces) == result.audio.pcm().data
    assert sum((one.words for one in pieces), ()) == result.words
    assert len(result.words) == 4


def test_a_transcript_through_a_server_is_the_engine_s_own(fake_server):
    audio = FAKE.speak(SpeakRequest(text="Something to be written down.")).audio
    request = TranscribeRequest(audio=audio, options=RecognitionOptions(language="en-US"))
    got = of_server(fake_server, "transcribe", request, model="scribe_v1")
    own = FAKE.transcribe(request)
    assert got.text == own.text
    assert [(one.text, round(one.start, 3), round(one.end, 3)) for one in got.words] == [
        (one.text, round(one.start, 3), round(one.end, 3)) for one in own.words
    ]
    assert got.words[0].confidence == pytest.approx(0.5, abs=1e-5)
    assert got.duration == pytest.approx(own.duration, abs=1e-3)
    assert abs(got.units.audio_ms - own.units.audio_ms) <= 1
    assert got.language == "en"


@pytest.mark.parametrize("rate", [16000, 8000])
def test_headerless_sound_is_sent_as_the_vendor_takes_it(fake_server, rate):
    pcm = FAKE.speak(SpeakRequest(text="Something to be written down.")).audio.pcm(rate).data
    audio = Audio(pcm, encoding="pcm", sample_rate=rate)
    got = of_server(fake_server, "transcribe", TranscribeRequest(audio=audio))
    assert got.text == FAKE.transcribe(TranscribeRequest(audio=audio)).text


def test_voices_and_usage(fake_server):
    voices = of_server(fake_server, "voices")
    assert [(one.id, one.name, one.language, one.gender) for one in voices] == [
        (one.id, one.name, one.language, one.gender) for one in FAKE.voices()
    ]
    assert of_server(fake_server, "usage") >= 0


def test_what_is_asked_for():
    request = SpeakRequest(text="Hi you", voice="roger", language="en-US", rate=1.2)
    spoken = answer(200, line(b"\1\0" * 3, "Hi you"), character_cost="12")
    result, asked = asking([LISTED, spoken], "speak", request, model="eleven_flash_v2_5")
    assert [one.path for one in asked] == [
        "/v1/voices",
        f"/v1/text-to-speech/{VOICE}/stream/with-timestamps?output_format=pcm_24000",
    ]
    assert asked[1].headers["xi-api-key"] == "k"
    assert asked[1].json() == {
        "text": "Hi you",
        "model_id": "eleven_flash_v2_5",
        "language_code": "en",
        "voice_settings": {"speed": 1.2},
    }
    assert result.units == Units(characters=12)
    assert [near(one) for one in result.words] == [("Hi", 0, 2, 0, 0.2), ("you", 3, 3, 0.3, 0.6)]


def test_voices_are_asked_for_once_and_an_id_needs_no_list():
    sound = answer(200, line(b"\0\0"))

    async def run():
        async with (
            scripted(sound, LISTED, sound, sound) as vendor,
            engine(vendor.url) as voice,
        ):
            for wanted in ("9" * 20, "Bora", None):
                await voice.speak(SpeakRequest(text="a", voice=wanted, language="en"))
            return [one.path.partition("/stream")[0].rpartition("/")[2] for one in vendor.asked]

    assert asyncio.run(run()) == ["9" * 20, "voices", "b2" * 10, VOICE]


def test_without_a_voice_the_language_picks_one():
    request = SpeakRequest(text="a", language="ko-KR")
    result, asked = asking([LISTED, answer(200, line(b"\0\0"))], "speak", request)
    assert result.voice == "b2" * 10
    # The multilingual model hears the language, and takes no code for it.
    assert asked[1].json() == {"text": "a", "model_id": "eleven_multilingual_v2"}


def test_a_cost_of_half_a_character_is_not_halved_twice():
    spoken = answer(200, line(b"\0\0"), character_cost="2")
    result, _ = asking([spoken], "speak", SpeakRequest(text="four", voice=VOICE))
    assert result.units.characters == 4


def test_a_sample_that_is_cut_between_two_lines_is_put_together():
    spoken = line(b"\1\2\3") + line(b"\4", "a", 0.0)
    result, _ = asking([answer(200, spoken)], "speak", SpeakRequest(text="a", voice=VOICE))
    assert result.audio.pcm().data == b"\1\2\3\4"


def test_pauses_are_sent_as_the_vendor_writes_them_and_words_keep_their_places():
    text = '<speak>Tom &amp; I<break time="300ms"/>sing</speak>'
    sent = 'Tom & I<break time="0.300s" />sing'
    spoken = answer(200, line(b"\0\0", sent))
    request = SpeakRequest(text=text, voice=VOICE, ssml=True)
    result, asked = asking([spoken], "speak", request)
    assert asked[0].json()["text"] == sent
    told = [(one.text, text[one.offset : one.offset + one.length]) for one in result.words]
    assert told == [("Tom", "Tom"), ("&", "&amp;"), ("I", "I"), ("sing", "sing")]
    assert result.units.characters == len(sent)


@pytest.mark.parametrize(
    ("request_", "model", "param"),
    [
        (SpeakRequest(text="a", voice=VOICE, rate=1.3), "", "rate"),
        (SpeakRequest(text="a", voice=VOICE, rate=0.5), "", "rate"),
        (SpeakRequest(text="a", voice=VOICE, pitch=1.1), "", "pitch"),
        (SpeakRequest(text="<speak><b>a</b></speak>", voice=VOICE, ssml=True), "", "ssml"),
        (SpeakRequest(text='a<break time="4s"/>', voice=VOICE, ssml=True), "", "ssml"),
        (SpeakRequest(text='a<break time="1s"/>', voice=VOICE, ssml=True), "eleven_v3", "ssml"),
        (SpeakRequest(text="a", voice=VOICE), "scribe_v1", "model"),
    ],
)
def test_what_no_voice_can_do_is_refused_before_anything_is_sent(request_, model, param):
    error = failing([], request_, model=model)
    assert isinstance(error, UnsupportedOptionError)
    assert error.param == param


@pytest.mark.parametrize(
    "options",
    [
        RecognitionOptions(alternatives=2),
        RecognitionOptions(grammar="#JSGF V1.0;"),
        RecognitionOptions(keywords=(Keyword(phrase="a"),)),
    ],
)
def test_what_its_ears_cannot_do_is_refused_before_anything_is_sent(options):
    request = TranscribeRequest(audio=Audio.from_pcm(b"\0\0", 16000), options=options)
    assert isinstance(failing([], request, "transcribe"), UnsupportedOptionError)


def test_a_voice_that_the_account_lacks_is_unknown():
    error = failing([LISTED], SpeakRequest(text="a", voice="Rosalind"))
    assert isinstance(error, UnknownVoiceError)
    assert "Roger" in error.hint


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (401, {"status": "quota_exceeded", "message": "Out of quota."}, VendorError),
        (401, {"status": "invalid_api_key", "message": "Out with secret."}, VendorError),
        (403, "Out", VendorError),
        (402, {"message": "Out of money."}, VendorError),
        (404, {"status": "voice_not_found", "message": "Out of voices."}, UnknownVoiceError),
        (400, {"status": "voice_not_found", "message": "Out of voices."}, UnknownVoiceError),
        (404, {"code": "model_not_found", "message": "Out."}, UnknownModelError),
        (404, {"detail": "Out"}, UnknownModelError),
        (400, {"code": "unsupported_language", "message": "Out."}, UnknownLanguageError),
        (400, {"code": "max_character_limit_exceeded", "message": "Out."}, TooLargeError),
        (413, {"message": "Out."}, TooLargeError),
        (400, {"code": "invalid_audio", "message": "Out."}, InvalidMediaError),
        (422, [{"loc": ["body", "text"], "msg": "Out of text.", "type": "x"}], InvalidRequestError),
        (400, {"status": "invalid_parameters", "message": "Out."}, InvalidRequestError),
        (429, {"status": "too_many_concurrent_requests", "message": "Out."}, VendorError),
        (500, {"status": "server_error", "message": "Out."}, VendorError),
        (503, None, VendorError),
    ],
)
def test_a_status_is_an_error_with_the_vendor_s_words_and_without_the_key(status, detail, kind):
    body = answer(status, {"detail": detail}, retry_after="2.5")
    error = failing([body], SpeakRequest(text="a", voice=VOICE), key="secret")
    assert type(error) is kind
    assert "secret" not in str(error)
    if detail and detail != {"detail": "Out"}:
        assert "Out" in error.message
    if isinstance(error, VendorError):
        assert (error.status, error.retry_after) == (status, 2.5)
    if status == 422:
        assert error.param == "text"


def test_a_bad_key_of_the_operator_s_is_told_by_the_server_itself(fake_server):
    async def run():
        async with engine(fake_server.http, "wrong") as voice:
            await voice.speak(SpeakRequest(text="a", voice=VOICE))

    with pytest.raises(VendorError, match="key") as raised:
        asyncio.run(run())
    assert raised.value.status == 401


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b""),
        answer(200, b"{}\n"),
        answer(200, b"<html>\n"),
        answer(200, b'{"audio_base64": "AAA\xff"}\n'),
        answer(200, b'{"audio_base64": "A"}\n'),
        answer(200, b'{"audio_base64": "", "alignment": null}\n'),
        answer(200, line(b"\0\0")[:-9]),
        answer(200, line(b"\0\0"), content_length="999"),
    ],
)
def test_a_speech_that_is_none_is_the_vendor_s_failure_and_may_be_billed(said):
    error = failing([said], SpeakRequest(text="a", voice=VOICE))
    assert isinstance(error, VendorError)
    assert error.sent
    assert error.status is None


def test_a_stream_that_is_cut_gives_what_came_before():
    async def run():
        said = answer(200, line(b"\1\0", "a ") + line(b"\2\0")[:-5], content_length="9999")
        heard = []
        async with scripted(said) as vendor, engine(vendor.url) as voice:
            with pytest.raises(VendorError):
                async for piece in voice.speak_stream(SpeakRequest(text="a b", voice=VOICE)):
                    heard.append(piece)  # noqa: PERF401 (what came before the failure counts)
        return heard

    (piece,) = asyncio.run(run())
    assert isinstance(piece, SpeechChunk)
    assert (piece.pcm, piece.sample_rate) == (b"\1\0", SAMPLE_RATE)
    assert [one.text for one in piece.words] == ["a"]


def test_a_vendor_that_falls_silent_is_given_up_in_time():
    said = [answer(200, line(b"\1\0"), content_length="9999"), 20.0]
    error = failing([said], SpeakRequest(text="a", voice=VOICE), patience=0.3)
    assert isinstance(error, VendorError)
    assert error.sent


def test_a_slow_drip_is_waited_for():
    whole = line(b"\1\0", "a") + line(b"\2\0")
    drip = [answer(200, b"", content_length=str(len(whole)))]
    for at in range(0, len(whole), 40):
        drip += [whole[at : at + 40], 0.01]
    result, _ = asking([drip], "speak", SpeakRequest(text="a", voice=VOICE), patience=2.0)
    assert result.audio.pcm().data == b"\1\0\2\0"


def test_who_leaves_a_stream_leaves_nothing_open():
    async def run():
        said = [answer(200, line(b"\1\0"), content_length="9999"), 20.0]
        async with scripted(said, LISTED) as vendor, engine(vendor.url) as voice:
            async with aclosing(voice.speak_stream(SpeakRequest(text="a", voice=VOICE))) as pieces:
                await anext(pieces)
            assert len(await voice.voices()) == 2

    asyncio.run(run())


@pytest.mark.parametrize("said", [b"[]", b"{}", b'{"text": 1}'])
def test_a_transcript_that_is_none_is_the_vendor_s_failure(said):
    request = TranscribeRequest(audio=Audio.from_pcm(b"\0\0", 16000))
    error = failing([answer(200, said)], request, "transcribe")
    assert isinstance(error, VendorError)
    assert error.sent


def test_a_list_of_voices_that_fails_has_cost_nothing():
    for said in (answer(500), answer(200, b"<html>")):
        error = failing([said], SpeakRequest(text="a", voice="Ada"))
        assert isinstance(error, VendorError)
        assert not error.sent


def test_without_a_key_the_vendor_s_own_address_is_not_asked():
    async def run():
        async with engine("https://api.elevenlabs.io", key="") as voice:
            await voice.speak(SpeakRequest(text="a", voice=VOICE))

    with pytest.raises(NotConfiguredError, match="ELEVENLABS_API_KEY"):
        asyncio.run(run())


def test_sounds_that_are_no_words_and_words_without_times_are_no_words():
    told = {
        "text": "(laughs) Hello you",
        "language_code": "und",
        "words": [
            {"text": "(laughs)", "type": "audio_event", "start": 0.0, "end": 0.5, "logprob": 0},
            {"text": " ", "type": "spacing", "start": 0.5, "end": 0.6, "logprob": 0},
            {"text": "Hello", "type": "word", "start": 0.6, "end": 1.0, "logprob": -0.1},
            {"text": " ", "type": "spacing"},
            {"text": "you", "type": "word", "start": 2.5, "end": 3.0},
        ],
    }
    request = TranscribeRequest(audio=Audio.from_pcm(b"\0\0" * 16000 * 4, 16000))
    result, asked = asking([answer(200, told)], "transcribe", request)
    assert [one.text for one in result.words] == ["Hello", "you"]
    assert [one.text for one in result.segments] == ["(laughs) Hello", "you"]
    assert (result.language, result.duration) == (None, 4.0)
    assert result.units == Units(audio_ms=4000)
    assert result.words[1].confidence is None
    assert b'name="tag_audio_events"\r\n\r\nfalse' in asked[0].body


letters = st.characters(
    exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc"), exclude_characters="\x00"
)
written = st.lists(st.text(letters, min_size=1, max_size=8), min_size=1, max_size=8).map(" ".join)


@given(written, st.data())
def test_words_told_by_their_characters_come_back(text, data):
    words, at, clock = [], 0, 0.0
    for part in text.split():
        at = text.index(part, at)
        # Before the first word nothing stands that a pause could belong to.
        start = clock + (data.draw(st.sampled_from((0.0, 0.25))) if words else 0.0)
        clock = start + data.draw(st.sampled_from((0.125, 1.0)))
        words.append(WordTiming(text=part, start=start, end=clock, offset=at, length=len(part)))
        at += len(part)
    aligner = convert.Aligner(text)
    gathered = convert_spoken.Words(convert_spoken.script(SpeakRequest(text=text), "m"))
    found = []
    for word in words:
        found += gathered.take(convert.alignment(aligner.take([word])))
    found += gathered.take(convert.alignment(aligner.finish(clock)))
    found += gathered.finish()
    assert [near(one) for one in found] == [near(one) for one in words]


parts = st.lists(
    st.sampled_from(("a", "<", "&", '"', "한", " ", '<break time="1.5s" />')), max_size=9
)


@given(parts.map("".join).filter(str.strip))
def test_pauses_that_the_serving_side_marked_go_out_as_they_came(text):
    marked = convert.with_breaks(text)
    request = SpeakRequest(text=marked.document if marked else text, ssml=marked is not None)
    script = convert_spoken.script(request, "m")
    assert script.text == text.replace("1.5s", "1.500s")
    assert len(script.places) == len(script.text)


tags = st.sampled_from(("en-US", "ko", "de", "pt-BR", "fil"))


@given(
    st.builds(
        Voice,
        id=written,
        name=written,
        language=tags,
        gender=st.sampled_from(("male", "female", "neutral", "unknown")),
        description=written,
    ),
    st.lists(tags, unique=True, min_size=2),
    st.booleans(),
)
def test_a_voice_as_it_is_served_comes_back(voice, more, several):
    if several:
        voice = Voice(
            id=voice.id,
            name=voice.name,
            language=more[0],
            languages=tuple(more),
            gender=voice.gender,
            description=voice.description,
        )
    served = msgspec.json.encode(convert_voices.voice(voice, "fake"))
    assert convert_spoken.voice(msgspec.json.decode(served, type=wire_answers.Voice)) == voice


@given(written, st.data())
def test_a_transcript_as_it_is_served_comes_back(text, data):
    words, clock = [], 0.0
    for part in text.split():
        start = clock + data.draw(st.sampled_from((0.0, 0.25, 2.0)))
        clock = start + 0.5
        words.append(Word(text=part, start=start, end=clock, confidence=0.5))
    result = TranscribeResult(
        engine="e",
        model="m",
        units=Units(),
        text=text,
        segments=(Segment(text=text, start=0.0, end=clock, words=tuple(words)),),
        duration=clock,
        language="en",
    )
    form = wire_listening.TranscribeForm(model_id="m")
    served = msgspec.json.encode(convert_listening.transcript(result, form))
    told = msgspec.json.decode(served, type=wire_answers.Transcript)
    found = convert_heard.segments(told.text, told.words, told.audio_duration_secs)
    heard = [word for segment in found for word in segment.words]
    assert [(one.text, one.start, one.end) for one in heard] == [
        (one.text, one.start, one.end) for one in words
    ]
    assert " ".join(one.text for one in found) == told.text == text
    assert convert_heard.tag(told.language_code) == "en"


@given(st.lists(written, max_size=3), st.none() | tags)
def test_options_go_out_and_come_back(phrases, language):
    options = RecognitionOptions(language=language, phrases=tuple(p[:50] for p in phrases))
    asked = convert_listening.form(convert_heard.fields(options, "scribe_v1"))
    back = convert_listening.options(asked)
    assert back.phrases == options.phrases
    assert back.language == (language and language.split("-")[0])
