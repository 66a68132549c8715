"""OpenAI's audio through OpenAI's SDK."""

from __future__ import annotations

import base64
import json
import math

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import config as configuration
from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.speech_recognition import RecognitionOptions, Segment, TranscribeResult, Word
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeechChunk
from ogam.capabilities.translation import TranslateResult, Translation
from ogam.config import Config, Routes
from ogam.engines.fake import FakeEngine
from ogam.errors import EngineError, InvalidRequestError, UnsupportedOptionError
from ogam.media import Audio
from ogam.protocols.openai import convert_audio as convert
from ogam.protocols.openai import convert_replies, forms, wire_replies
from ogam.protocols.openai import wire_audio as wire

from .conftest import running

# The SDK calls some of what it asks for deprecated since whisper-1 is about to end.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
FAKE = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
HELLO = "Hello there, world."
REF = ModelRef(name="fake", engine="fake")


@pytest.fixture(scope="module")
def client(fake_server):
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made


@pytest.fixture(scope="module")
def starter(starter_server):
    with openai.OpenAI(base_url=f"{starter_server.http}/v1", api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def recording():
    return ("a.wav", FakeEngine(REF).speak(SpeakRequest(text="x" * 30)).audio.data)


def _say(client, text=HELLO, voice="alloy", **options):
    return client.audio.speech.create(model="tts-1", input=text, voice=voice, **options)


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [(None, "audio/mpeg"), *(one for one in convert.MEDIA_TYPES.items() if one[0] != "pcm")],
)
def test_every_format_holds_the_whole_speech(client, kind, media_type):
    options = {} if kind is None else {"response_format": kind}
    spoken = _say(client, **options)
    assert spoken.response.headers["content-type"] == media_type
    assert spoken.response.headers["x-ogam-engine"] == "fake"
    audio = Audio(spoken.content)
    assert audio.media_type == media_type
    letters = len(HELLO.replace(" ", ""))
    # A coder may add a frame in front and behind.
    assert audio.duration == pytest.approx(letters * 0.05, abs=0.12)


def test_pcm_is_24_khz_of_16_bits(client):
    data = _say(client, "abcd", response_format="pcm").content
    assert len(data) / 2 / 24_000 == pytest.approx(4 * 0.05, abs=0.01)


def test_speed_is_the_rate(client):
    plain, quick = (
        len(_say(client, response_format="pcm", speed=speed).content) for speed in (1.0, 2.0)
    )
    assert quick == pytest.approx(plain / 2, rel=0.02)


def test_speech_as_events_is_the_same_file(client):
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts",
        input=HELLO,
        voice="alloy",
        response_format="flac",
        stream_format="sse",
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [
            json.loads(line.removeprefix("data: "))
            for line in response.iter_lines()
            if line.startswith("data: ")
        ]
    *deltas, done = events
    assert {one["type"] for one in deltas} == {"speech.audio.delta"}
    whole = b"".join(base64.b64decode(one["audio"]) for one in deltas)
    assert whole == _say(client, response_format="flac").content
    size = len(HELLO)
    usage = {"input_tokens": size, "output_tokens": 0, "total_tokens": size}
    assert done == {"type": "speech.audio.done", "usage": usage}


def test_the_vendors_voices_sound_apart_and_the_engines_own_answer_too(client):
    said = {
        voice: _say(client, voice=voice, response_format="pcm").content for voice in convert.VOICES
    }
    assert len(set(said.values())) == len(convert.VOICES)
    assert _say(client, voice="ada", response_format="pcm").content == said["alloy"]
    by_id = _say(client, voice={"id": "bora"}, response_format="pcm")
    assert by_id.content == said["alloy"]  # the fake's voices sound alike


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "a" * 4097}, "input"),
        ({"voice": "no-such-voice"}, "voice"),
        ({"voice": " "}, "voice"),
        ({"response_format": "xyz"}, "response_format"),
        ({"speed": 9}, "speed"),
        ({"instructions": "Whisper."}, "instructions"),
        ({"stream_format": "smoke"}, "stream_format"),
    ],
)
def test_what_cannot_be_said_is_refused(client, wrong, param):
    asked = {"model": "tts-1", "input": "hi", "voice": "alloy", **wrong}
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(**asked)
    assert refused.value.param == param


def test_an_unknown_speech_model_is_not_found(client, recording):
    with pytest.raises(openai.NotFoundError):
        client.audio.speech.create(model="nobody", input="hi", voice="alloy")
    with pytest.raises(openai.NotFoundError):
        client.audio.transcriptions.create(model="nobody", file=recording)


class Odd(FakeEngine):
    """Knows no pitch, and breaks after the first word of two."""

    def speak_stream(self, request):
        if request.pitch != 1:
            raise UnsupportedOptionError("odd has no pitch.", param="pitch")
        yield SpeechChunk(pcm=bytes(32_000), sample_rate=16_000)
        if " " in request.text:
            raise EngineError("It broke.")
        *_, result = super().speak_stream(request)
        yield result

    def transcribe_stream(self, pcm, options):
        for at, piece in enumerate(super().transcribe_stream(pcm, options)):
            if at == 1:
                raise EngineError("It broke.")
            yield piece

    def transcribe(self, request):
        return _heard("Guten Tag.", "Und gute Nacht.")


def _heard(*texts, language="de"):
    return TranscribeResult(
        engine="odd",
        model="odd",
        units=Units(),
        text=" ".join(texts),
        segments=tuple(
            Segment(text=text, start=float(at), end=at + 1.0, confidence=0.5)
            for at, text in enumerate(texts)
        ),
        duration=float(len(texts)),
        language=language,
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    own = configuration.Server(data=str(tmp_path_factory.mktemp("data")))
    names = {"nova": "fake/other"}
    with (
        running(Config(routes=FAKE, names=names, server=own), grpc=False) as server,
        openai.OpenAI(base_url=f"{server.http}/v1", api_key="any", max_retries=0) as made,
    ):
        server.server.gateway.registry._engines["fake"] = Odd(REF)
        yield made


def test_an_engine_without_pitch_speaks_at_its_own(odd):
    assert _say(odd, "one", voice="onyx", response_format="pcm").content


def test_the_configuration_leads_a_voice_to_a_model(odd):
    spoken = _say(odd, "one", voice="nova", response_format="pcm")
    assert spoken.response.headers["x-ogam-model"] == "fake/other"


def test_speech_that_breaks_in_the_middle_is_no_whole_file(odd):
    with pytest.raises(openai.APIConnectionError):
        _say(odd, "one two")


def test_an_event_stream_that_breaks_ends_in_the_vendors_error(odd, recording):
    events = odd.audio.transcriptions.create(model="gpt-4o-transcribe", file=recording, stream=True)
    with pytest.raises(openai.APIError, match="It broke"):
        list(events)


def test_a_foreign_recording_is_translated_utterance_by_utterance(odd, recording):
    made = odd.audio.translations.create(
        model="whisper-1", file=recording, response_format="verbose_json"
    )
    assert made.text == "[en] Guten Tag. [en] Und gute Nacht."
    assert made.language == "english"
    assert [one.text for one in made.segments] == ["[en] Guten Tag.", "[en] Und gute Nacht."]
    assert made.segments[0].avg_logprob == pytest.approx(math.log(0.5))
    srt = odd.audio.translations.create(model="whisper-1", file=recording, response_format="srt")
    assert "00:00:01,000 --> 00:00:02,000\n[en] Und gute Nacht." in srt


def test_without_a_translator_english_still_works_and_all_else_says_what_is_missing(
    tmp_path, recording
):
    own = configuration.Server(data=str(tmp_path))
    config = Config(routes=Routes(transcribe=("fake",), translate=()), server=own)
    with (
        running(config, grpc=False) as server,
        openai.OpenAI(base_url=f"{server.http}/v1", api_key="any", max_retries=0) as made,
    ):
        assert made.audio.translations.create(model="whisper-1", file=recording).text
        server.server.gateway.registry._engines["fake"] = Odd(REF)
        with pytest.raises(openai.NotFoundError, match="translate"):
            made.audio.translations.create(model="whisper-1", file=recording)


def test_each_form_of_a_transcript(client, recording):
    def ask(**options):
        return client.audio.transcriptions.create(model="whisper-1", file=recording, **options)

    plain = ask()
    assert plain.text
    assert (plain.usage.type, plain.usage.seconds) == ("duration", 2)
    assert ask(response_format="text") == f"{plain.text}\n"
    assert ask(response_format="srt").startswith("1\n00:00:00,000 --> 00:00:01,500\n")
    assert ask(response_format="vtt").startswith("WEBVTT\n")
    verbose = ask(response_format="verbose_json", language="ko")
    assert (verbose.language, verbose.duration, verbose.words) == ("korean", 1.5, None)
    assert [one.text for one in verbose.segments] == [plain.text]
    words = ask(response_format="verbose_json", timestamp_granularities=["word"])
    assert [one.word for one in words.words] == plain.text.split()
    assert words.segments is None


def test_a_streamed_transcript_is_the_whole_one(client, recording):
    whole = client.audio.transcriptions.create(model="whisper-1", file=recording).text
    *deltas, done = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=recording, stream=True
    )
    assert {one.type for one in deltas} == {"transcript.text.delta"}
    assert "".join(one.delta for one in deltas) == done.text == whole


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"language": "klingon-x"}, None),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "poem"}, "response_format"),
        ({"include": ["logprobs"]}, "include"),
        ({"known_speaker_names": ["Ann"]}, "known_speaker_names"),
        ({"chunking_strategy": {"type": "server_vad"}}, "chunking_strategy"),
        ({"languages": ["en", "ko"]}, "languages"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"colour": "red"}}, None),
        ({"file": ("a.wav", b"this is no audio at all" * 40)}, None),
        ({"file": ("a.wav", b"")}, None),
    ],
)
def test_what_cannot_be_heard_is_refused(client, recording, wrong, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": recording, **wrong})
    assert refused.value.param == param


def test_options_without_effect_are_taken(client, recording):
    assert client.audio.transcriptions.create(
        model="whisper-1",
        file=recording,
        prompt="Ogam, ZyntriQix",
        temperature=0.2,
        chunking_strategy="auto",
        keywords=["Ogam"],
    ).text


def test_the_starters_speak_and_hear(starter, samples):
    spoken = _say(starter, "One two three.", voice="shimmer", response_format="opus")
    assert Audio(spoken.content).duration > 0.5
    sound = Audio(samples / "speech" / "jfk.flac").pcm(16_000, 1)
    begin = Audio.from_pcm(sound.data[: 2 * 16_000 * 3], 16_000)
    heard = starter.audio.transcriptions.create(model="whisper-1", file=("a.wav", begin.data))
    assert "my fellow americans" in heard.text.lower()


@given(
    text=st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=50),
    voice=st.sampled_from(["", "ada", "en-gb"]),
    pitch=st.sampled_from(sorted(convert.VOICES.values())),
    rate=st.floats(0.25, 4),
)
def test_a_speech_request_comes_back_from_its_body(text, voice, pitch, rate):
    own = {"voice": voice} if voice else {"pitch": pitch}
    request = SpeakRequest(text=text, rate=rate, **own)
    assert convert.speak_request(convert.speech_body(request, "tts-1")) == request


@given(
    language=st.sampled_from([None, "en", "ko"]),
    phrases=st.lists(st.sampled_from(["a", "b c"]), max_size=3),
)
def test_recognition_options_come_back_from_their_form(language, phrases):
    options = RecognitionOptions(language=language, phrases=tuple(phrases))
    form = convert.form_of(options, "whisper-1")
    again = forms.fields(convert.form_fields(form), wire.TranscriptionForm)
    assert again == form
    assert convert.options(again) == options


@given(st.lists(st.lists(st.sampled_from(["ja", "nein"]), min_size=1, max_size=3), max_size=3))
def test_a_transcript_comes_back_from_its_reply(told):
    segments = tuple(
        Segment(
            text=" ".join(words),
            start=float(at),
            end=at + 0.9,
            words=tuple(
                Word(text=word, start=at + n / 10, end=at + n / 10 + 0.1)
                for n, word in enumerate(words)
            ),
        )
        for at, words in enumerate(told)
    )
    result = TranscribeResult(
        engine="e",
        model="m",
        units=Units(audio_ms=3000),
        text=" ".join(one.text for one in segments),
        segments=segments,
        duration=3.0,
        language="de",
    )
    form = convert.form_of(RecognitionOptions(), "whisper-1")
    sent = msgspec.json.encode(convert.verbose(result, form, "german"))
    reply = msgspec.json.decode(sent, type=wire_replies.Transcript)
    again = convert_replies.transcript(reply, engine="e", model="m", language=None, duration=3)
    assert again == result


def test_english_is_not_translated():
    heard = _heard("Good day.", language="en-US")
    assert convert.translate_request(heard) is None
    assert convert.translate_request(_heard()) is None
    asked = convert.translate_request(_heard("Guten Tag."))
    assert (asked.texts, asked.source, asked.target) == (("Guten Tag.",), "de", "en")
    made = TranslateResult(
        engine="t",
        model="t",
        units=Units(),
        translations=(Translation(text="Good day.", source="de"),),
        target="en",
    )
    assert convert.translated(_heard("Guten Tag."), made).text == "Good day."


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=8)), max_size=6))
def test_any_form_is_read_or_refused(parts):
    try:
        forms.fields(parts, wire.TranscriptionForm)
    except InvalidRequestError as error:
        assert error.message


def test_a_field_given_in_two_ways_is_refused():
    for parts in ([("keywords[]", "a"), ("keywords[x]", "b")], [("model", "a"), ("model[]", "b")]):
        with pytest.raises(InvalidRequestError):
            forms.fields(parts, wire.TranscriptionForm)
