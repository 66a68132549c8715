"""OpenAI called for sound, where the vendor is one that says what it was told to say."""

from __future__ import annotations

import base64

import pytest

from ogam.capabilities.base import Units
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.media import wav
from ogam.protocols.openai import (
    client_audio,
    forms,
    languages,
    wire_audio,
)

from .scripted import answer
from .test_openai_client_vendor import OPENAI, SOUND, TONE, call, events, failed


def open_ended(pcm, rate=24_000, channels=1):
    """A WAV file from a pipe, with something between its head and its sound."""
    file = bytearray(wav.write(pcm, rate, channels))
    file[4:8] = file[40:44] = b"\xff\xff\xff\xff"
    return bytes(file[:36]) + b"LIST\x04\x00\x00\x00INFO" + bytes(file[36:])


SPEECHES = {
    "open": (open_ended(TONE), True),
    "known length, and a tail": (wav.write(TONE, 24_000, 1) + b"LIST\x02\0\0\0ab", True),
    "stereo": (wav.write(TONE, 24_000, 2), False),
    "flac": (SOUND.encode("flac").data, False),
    "mp3": (SOUND.encode("mp3").data, False),
}


@pytest.mark.parametrize("kind", SPEECHES)
def test_speech_of_any_kind_is_heard(kind):
    file, at_once = SPEECHES[kind]
    found, asked = call([answer(200, file)], "speak_stream", SpeakRequest(text="abc"))
    assert asked[0].json()["response_format"] == "wav"
    *chunks, result = found
    pcm = b"".join(one.pcm for one in chunks)
    assert pcm == result.audio.pcm(None, 1).data
    if at_once:
        assert pcm == TONE and chunks[0].sample_rate == 24_000


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize("kind", SPEECHES)
def test_sound_goes_on_in_whole_samples_however_it_is_cut(kind, size):
    file, at_once = SPEECHES[kind]
    sound = client_audio._Sound()
    fed = (sound.feed(file[at : at + size]) for at in range(0, len(file), size))
    chunks = [one for one in fed if one is not None]
    assert all(len(one.pcm) % 2 == 0 for one in chunks)
    assert (len(chunks) > 1) == at_once and not sound.cut
    late, audio = sound.end()
    assert b"".join(one.pcm for one in [*chunks, *([late] if late else [])]) == (
        audio.pcm(None, 1).data
    )


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b""),
        answer(200, b"no sound at all"),
        answer(200, wav.write(TONE, 24_000, 1)[:-2]),
    ],
)
def test_speech_that_is_cut_or_none_is_refused(said):
    failed(said, "speak", SpeakRequest(text="abc"))


def test_speech_by_events_must_reach_its_end():
    file = base64.b64encode(open_ended(TONE)).decode()
    delta = {"type": "speech.audio.delta", "audio": file}
    usage = {"input_tokens": 4, "output_tokens": 50, "total_tokens": 54}
    done = {"type": "speech.audio.done", "usage": usage}
    options = {"vendor_url": OPENAI, "model": "gpt-4o-mini-tts"}
    result, asked = call(
        [events(delta, done, done=False)], "speak", SpeakRequest(text="abc"), **options
    )
    assert asked[0].json()["stream_format"] == "sse"
    assert result.units == Units(input_tokens=4, output_tokens=50, characters=3)
    assert result.audio.pcm().data == TONE
    failed(events(delta, done=False), "speak", SpeakRequest(text="abc"), **options)
    failed(events({**delta, "audio": "%"}), "speak", SpeakRequest(text="abc"), **options)


def form_of(asked):
    """The fields of a multipart body, and its file's (name, type, bytes)."""
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    fields, file = [], None
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = head.split(b'name="')[1].split(b'"')[0].decode()
        if b"filename=" in head:
            file = head.decode(), content
        else:
            fields.append((name, content.decode()))
    return forms.fields(fields, wire_audio.TranscriptionForm), file


VERBOSE = {
    "text": " Hello world. Bye.",
    "language": "english",
    "duration": "2.5",
    "segments": [
        {"id": 0, "start": 0.25, "end": 1.0, "text": " Hello world.", "avg_logprob": -0.5},
        {"id": 1, "start": 1.5, "end": 2.0, "text": " Bye."},
    ],
    "words": [
        {"word": "Hello", "start": 0.2, "end": 0.5},
        {"word": "world", "start": 0.6, "end": 1.0},
        {"word": "Bye", "start": 1.5, "end": 2.0},
    ],
}


def test_whisper_is_asked_for_words_and_every_word_finds_its_utterance():
    options = RecognitionOptions(language="en-GB", phrases=("Ogam", "Daegu"))
    request = TranscribeRequest(audio=SOUND, options=options)
    said = [answer(200, VERBOSE | {"usage": {"type": "duration", "seconds": 3}})]
    result, asked = call(said, "transcribe", request, vendor_url=OPENAI, model="whisper-1")
    form, (head, content) = form_of(asked[0])
    assert form.response_format == "verbose_json" and form.language == "en"
    assert form.timestamp_granularities == ["word", "segment"]
    assert (form.prompt, form.keywords) == ("Ogam, Daegu", [])
    assert 'filename="audio.wav"' in head and content == SOUND.data
    assert [[one.text for one in each.words] for each in result.segments] == [
        ["Hello", "world"],
        ["Bye"],
    ]
    assert result.language == "en" and result.duration == 2.5
    assert result.units == Units(audio_ms=3000)


@pytest.mark.parametrize(
    ("model", "prompt", "keywords"),
    [("gpt-4o-transcribe", "a, b", []), ("gpt-transcribe", None, ["a", "b"])],
)
def test_the_later_models_are_asked_for_text_and_billed_by_tokens(model, prompt, keywords):
    request = TranscribeRequest(audio=SOUND, options=RecognitionOptions(phrases=("a", "b")))
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    said = {"text": "Hallo.", "usage": usage, "languages": [{"code": "de"}]}
    result, asked = call([answer(200, said)], "transcribe", request, vendor_url=OPENAI, model=model)
    form, _ = form_of(asked[0])
    assert (form.response_format, form.prompt, form.keywords) == ("json", prompt, keywords)
    assert form.timestamp_granularities == []
    assert result.units == Units(input_tokens=14, output_tokens=3, audio_ms=50)
    assert result.language == "de" and result.segments[0].text == "Hallo."


def test_a_server_that_tells_text_alone_is_taken():
    result, _ = call([answer(200, {"text": ""})], "transcribe", TranscribeRequest(audio=SOUND))
    assert result.segments == () and result.duration == SOUND.duration
    assert result.units == Units(audio_ms=50)
    failed(answer(200, {"words": []}), "transcribe", TranscribeRequest(audio=SOUND))


def test_a_heard_stream_must_reach_its_end():
    delta = {"type": "transcript.text.delta", "delta": "Hallo"}
    options = {"vendor_url": OPENAI, "model": "gpt-4o-transcribe"}
    stream = ("transcribe_stream", [TONE], RecognitionOptions())
    failed(events(delta), *stream, **options)
    done = {"type": "transcript.text.done", "text": "Hallo"}
    found, asked = call([events(delta, done, done=False)], *stream, **options)
    assert form_of(asked[0])[0].stream is True
    assert [one.text for one in found] == ["Hallo"] * 3


@pytest.mark.parametrize("tag", ["en", "ko", "zh"])
def test_the_name_of_a_language_leads_back_to_its_tag(tag):
    assert languages.tag(languages.name(tag)) == tag == languages.tag(tag)
    assert languages.tag("unknown") is None and languages.tag("Klingon") == "Klingon"
