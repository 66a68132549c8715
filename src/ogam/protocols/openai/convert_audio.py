"""OpenAI's audio bodies to Ogam's values and back. Pure."""

from __future__ import annotations

import math
import zlib
from typing import Any, cast

import msgspec
from msgspec import UNSET

from ogam.capabilities import subtitles
from ogam.capabilities.base import Units, check_range
from ogam.capabilities.speech_recognition import (
    RecognitionOptions,
    Segment,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.errors import InvalidRequestError, UnsupportedOptionError
from ogam.protocols.openai import wire_audio as wire
from ogam.protocols.openai.convert import refuse

# The vendor's own bound.
MAX_CHARACTERS = 4096
# Samples of ``pcm`` a second, by the vendor's page on text to speech.
PCM_RATE = 24_000
# response_format -> media type, as the vendor sends it
MEDIA_TYPES: dict[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
# The vendor's voices, and the pitch at which the engine's own voice stands for each: an engine
# speaks a text in its language only by its own voice for it. Low for the vendor's men, high for
# its women; the figures are ours, chosen so that no two sound alike.
VOICES: dict[str, float] = {
    "alloy": 1.0,
    "ash": 0.86,
    "ballad": 0.92,
    "cedar": 0.8,
    "coral": 1.18,
    "echo": 0.95,
    "fable": 1.05,
    "marin": 1.3,
    "nova": 1.24,
    "onyx": 0.75,
    "sage": 1.12,
    "shimmer": 1.38,
    "verse": 0.89,
}
_SPEECH_REFUSED: dict[str, tuple[Any, ...]] = {"instructions": ("",)}
_FORM_REFUSED: dict[str, tuple[Any, ...]] = {
    "chunking_strategy": ("auto", ""),
    "include": ([],),
    "known_speaker_names": ([],),
    "known_speaker_references": ([],),
}


def speak_request(body: wire.SpeechBody) -> SpeakRequest:
    """What is to be said. A voice of the vendor's becomes the engine's own, at its pitch."""
    refuse(body, _SPEECH_REFUSED)
    if len(body.input) > MAX_CHARACTERS:
        raise InvalidRequestError(
            f"input has {len(body.input):,} characters; the limit is {MAX_CHARACTERS:,}.",
            hint="Cut it into parts.",
            param="input",
        )
    speed = 1.0 if body.speed is None else body.speed
    check_range(speed, "speed", 0.25, 4)
    voice = voice_of(body)
    known = VOICES.get(voice)
    if known is None:
        return SpeakRequest(text=body.input, voice=voice, rate=speed)
    return SpeakRequest(text=body.input, pitch=known, rate=speed)


def speech_body(request: SpeakRequest, model: str) -> wire.SpeechBody:
    """The body that asks for ``request``. UnsupportedOptionError for what it cannot say."""
    if request.ssml or request.language:
        raise UnsupportedOptionError(
            "OpenAI's speech takes no SSML and no language.", hint="Give plain text."
        )
    named = {pitch: voice for voice, pitch in VOICES.items()}
    voice = request.voice or named.get(request.pitch)
    if voice is None or (request.voice and request.pitch != 1):
        raise UnsupportedOptionError("OpenAI's voices have no pitch.", param="pitch")
    return wire.SpeechBody(
        input=request.text,
        model=model,
        voice=voice,
        speed=None if request.rate == 1 else request.rate,
    )


def voice_of(body: wire.SpeechBody) -> str:
    """The voice's name or id."""
    voice = body.voice if isinstance(body.voice, str) else body.voice.id
    if not voice.strip():
        raise InvalidRequestError("voice is empty.", hint="Such as alloy.", param="voice")
    return voice


def speech_usage(units: Units) -> wire.SpeechUsage:
    """What was read, in the engine's tokens or else in characters."""
    read = units.input_tokens or units.characters
    return wire.SpeechUsage(
        input_tokens=read,
        output_tokens=units.output_tokens,
        total_tokens=read + units.output_tokens,
    )


def check_form(form: wire.TranslationForm) -> None:
    """Refuse what no engine here can do."""
    if isinstance(form, wire.TranscriptionForm):
        refuse(form, _FORM_REFUSED)
    if form.response_format == "diarized_json":
        raise UnsupportedOptionError(
            "No engine on this route tells speakers apart.",
            hint="Take another response_format, such as verbose_json.",
            param="response_format",
        )
    if form.temperature is not None:
        check_range(form.temperature, "temperature", 0, 1)


def options(form: wire.TranscriptionForm) -> RecognitionOptions:
    """How to listen."""
    check_form(form)
    if form.timestamp_granularities and form.response_format != "verbose_json":
        raise InvalidRequestError(
            "timestamp_granularities needs response_format verbose_json.",
            param="timestamp_granularities",
        )
    languages = [one for one in (form.language, *form.languages) if one]
    if len(set(languages)) > 1:
        raise UnsupportedOptionError(
            "No engine on this route chooses among languages.",
            hint="Give one, or none.",
            param="languages",
        )
    return RecognitionOptions(
        language=languages[0] if languages else None, phrases=tuple(form.keywords)
    )


def form_of(
    asked: RecognitionOptions, model: str, *, own: bool = False, stream: bool = False
) -> wire.TranscriptionForm:
    """The form that asks for ``asked``; UnsupportedOptionError for what it cannot say.

    Of OpenAI's ``own`` models only whisper-1 tells times, and only the newest takes words to
    expect; the others take them as the prompt that leads the text. A server that is not OpenAI's
    gets the words in both ways, and is asked for times. Languages go by ISO 639-1.
    """
    if asked.grammar or asked.keywords or asked.alternatives > 1:
        raise UnsupportedOptionError(
            "OpenAI's transcriptions take no grammar, keywords or alternatives."
        )
    timed = tells_times(model, own=own)
    as_keywords = not own or model.startswith("gpt-transcribe")
    as_prompt = not own or not as_keywords
    return wire.TranscriptionForm(
        model=model,
        response_format="verbose_json" if timed else "json",
        language=asked.language.split("-")[0].lower() if asked.language else None,
        keywords=list(asked.phrases) if as_keywords else [],
        prompt=", ".join(asked.phrases) if asked.phrases and as_prompt else None,
        stream=True if stream else None,
        timestamp_granularities=["word", "segment"] if timed else [],
    )


def tells_times(model: str, *, own: bool) -> bool:
    """Whether a model is asked for ``verbose_json``."""
    return not own or model.startswith("whisper")


def form_fields(form: wire.TranscriptionForm) -> list[tuple[str, str]]:
    """The parts of the form, lists as ``x[]``, without those that ask for nothing."""
    fields: list[tuple[str, str]] = []
    for name, value in msgspec.structs.asdict(form).items():
        if isinstance(value, list):
            fields += [(f"{name}[]", str(one)) for one in cast("list[Any]", value)]
        elif value is not None:
            fields.append((name, "true" if value is True else str(value)))
    return fields


def duration(result: TranscribeResult) -> wire.Duration:
    """What is billed: whole seconds."""
    return wire.Duration(seconds=math.ceil(result.duration))


def written(
    result: TranscribeResult, form: wire.TranslationForm, language: str
) -> tuple[bytes, str]:
    """The reply's body and media type. ``language`` is the text's, by its English name."""
    kind = form.response_format
    if kind == "srt":
        return subtitles.srt(result).encode(), "application/x-subrip; charset=utf-8"
    if kind == "vtt":
        return subtitles.vtt(result).encode(), "text/vtt; charset=utf-8"
    if kind == "text":
        return f"{result.text}\n".encode(), "text/plain; charset=utf-8"
    if kind == "verbose_json":
        return msgspec.json.encode(verbose(result, form, language)), "application/json"
    whole = wire.Transcription(text=result.text, usage=duration(result))
    return msgspec.json.encode(whole), "application/json"


def verbose(result: TranscribeResult, form: wire.TranslationForm, language: str) -> wire.Verbose:
    """The reply with times. Without a wish for words or segments there are segments."""
    listens = isinstance(form, wire.TranscriptionForm)
    asked = form.timestamp_granularities if listens else []
    wanted = asked or ["segment"]
    return wire.Verbose(
        task="transcribe" if listens else "translate",
        language=language,
        duration=result.duration,
        text=result.text,
        usage=duration(result),
        segments=[_segment(at, one) for at, one in enumerate(result.segments)]
        if "segment" in wanted
        else UNSET,
        words=[wire.Word(word=one.text, start=one.start, end=one.end) for one in result.words]
        if "word" in wanted
        else UNSET,
    )


def translate_request(heard: TranscribeResult) -> TranslateRequest | None:
    """What is to be translated into English; None where nothing is."""
    language = (heard.language or "").lower().split("-")[0]
    if not heard.segments or language == "en":
        return None
    return TranslateRequest(
        texts=tuple(one.text for one in heard.segments), target="en", source=language or None
    )


def translated(heard: TranscribeResult, made: TranslateResult | None) -> TranscribeResult:
    """The transcript in English, utterance by utterance; its words have no times any more."""
    if made is None:
        return heard
    segments = tuple(
        msgspec.structs.replace(one, text=text, words=(), alternatives=())
        for one, text in zip(heard.segments, made.texts, strict=True)
        if text.strip()
    )
    return msgspec.structs.replace(
        heard, text=" ".join(one.text for one in segments), segments=segments, language="en"
    )


def _segment(at: int, one: Segment) -> wire.Segment:
    text = one.text.encode()
    return wire.Segment(
        id=at,
        start=one.start,
        end=one.end,
        text=one.text,
        avg_logprob=math.log(max(one.confidence, 1e-9)) if one.confidence else 0.0,
        # As Whisper reckons it: high where a text repeats itself.
        compression_ratio=len(text) / len(zlib.compress(text)),
    )
