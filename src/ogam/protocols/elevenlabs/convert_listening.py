"""Speech to text between ElevenLabs's form and JSON and Ogam's values. Pure; no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ogam.capabilities import subtitles
from ogam.capabilities.speech_recognition import (
    RecognitionOptions,
    TranscribeResult,
    Word,
)
from ogam.errors import InvalidMediaError, InvalidRequestError, UnsupportedOptionError
from ogam.media import Audio
from ogam.protocols.elevenlabs import languages
from ogam.protocols.elevenlabs.convert import refuse
from ogam.protocols.elevenlabs.errors import ShapeError
from ogam.protocols.elevenlabs.wire_listening import (
    AdditionalFormat,
    Character,
    ExportOptions,
    TranscribeForm,
    Transcript,
)
from ogam.protocols.elevenlabs.wire_listening import Word as Told

_LISTS = ("keyterms", "secondary_language_codes")
_LEAST = 1e-9  # JSON has no infinity for the logarithm of 0
_LINE = subtitles.LINE_LENGTH


def form(fields: Sequence[tuple[str, str]]) -> TranscribeForm:
    """The fields as they came. The SDK sends "null" for those it has no value for."""
    values: dict[str, Any] = {}
    for name, value in fields:
        if value in ("null", ""):
            continue
        if name in _LISTS:
            values.setdefault(name, []).append(value)
        elif name == "additional_formats":
            try:
                values[name] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                raise ShapeError("additional_formats is not JSON.", param=name) from None
        else:
            values[name] = value
    if not fields:
        raise ShapeError(
            "The form is empty.",
            hint="The SDK sends it empty when it tries again: its first attempt failed for "
            "another reason, which max_retries=0 shows.",
            param="model_id",
        )
    try:
        return msgspec.convert(values, TranscribeForm, strict=False)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        missing = said.split("`")[1] if "required field" in said else None
        param = place.rstrip("`") or missing
        where = f" (at {place.rstrip('`')})" if place else ""
        raise ShapeError(f"The form is wrong: {said}{where}.", param=param) from None


def options(asked: TranscribeForm) -> RecognitionOptions:
    """What the engine is asked for; UnsupportedOptionError for what none here can do."""
    if asked.cloud_storage_url or asked.source_url:
        raise UnsupportedOptionError(
            "A recording is not fetched from an address.",
            hint="Send its bytes as file.",
            param="source_url" if asked.source_url else "cloud_storage_url",
        )
    if (asked.num_speakers or 1) > 1:
        raise UnsupportedOptionError(
            "Speakers cannot be told apart here.", hint="Leave it out.", param="num_speakers"
        )
    names = (
        *("diarization_threshold", "use_speaker_library", "detect_speaker_roles"),
        *("use_multi_channel", "multichannel_output_style", "numbers_format", "transcript_edit"),
        *("no_verbatim", "entity_detection", "entity_redaction", "entity_redaction_mode"),
        *("webhook", "webhook_id", "webhook_metadata"),
    )
    refuse({name: getattr(asked, name) for name in names})
    for one in asked.additional_formats:
        _check_export(one)
    return RecognitionOptions(
        language=languages.tag(asked.language_code) if asked.language_code else None,
        phrases=tuple(asked.keyterms),
    )


def audio(data: bytes, asked: TranscribeForm) -> Audio:
    """The recording; what it is, its bytes tell."""
    if not data:
        raise InvalidMediaError("The file is empty.", hint="Send a recording.", param="file")
    if asked.file_format == "pcm_s16le_16":
        return Audio(data, encoding="pcm", sample_rate=16000)
    return Audio(data)


def transcript(result: TranscribeResult, asked: TranscribeForm) -> Transcript:
    """The reply. Engines tell no probability of a language: 1 stands for it."""
    text, words = _words(result, asked.timestamps_granularity)
    return Transcript(
        language_code=languages.long(result.language),
        language_probability=1.0,
        text=text,
        words=words,
        audio_duration_secs=round(result.duration, 3),
        additional_formats=[_exported(result, text, one) for one in asked.additional_formats]
        or None,
    )


def _words(result: TranscribeResult, granularity: str) -> tuple[str, list[Told]]:
    """The text, and the words and spaces that make it up.

    An engine whose text does not hold its words in their order gets them joined by spaces.
    """
    heard = [word for word in result.words if word.text.strip()]
    text, places, at = result.text.strip(), list[int](), 0
    for word in heard:
        at = text.find(word.text.strip(), at)
        if at < 0:
            text = " ".join(one.text.strip() for one in heard)
            return text, _told(text, _joined(heard), heard, granularity)
        places.append(at)
        at += len(word.text.strip())
    return text, _told(text, places, heard, granularity)


def _joined(heard: Sequence[Word]) -> list[int]:
    places, at = list[int](), 0
    for word in heard:
        places.append(at)
        at += len(word.text.strip()) + 1
    return places


def _told(text: str, places: Sequence[int], heard: Sequence[Word], granularity: str) -> list[Told]:
    told: list[Told] = []
    clock, at = 0.0, 0
    for number, (word, place) in enumerate(zip(heard, places, strict=True)):
        start = max(clock, word.start)
        end = max(start, word.end)
        if place > at:
            space = Told(text=text[at:place], type="spacing", logprob=0.0, start=clock, end=start)
            told.append(_grained(space, granularity))
        # What stands before the next space, such as a comma, belongs to the word.
        at = place + len(word.text.strip())
        limit = places[number + 1] if number + 1 < len(places) else len(text)
        while at < limit and not text[at].isspace():
            at += 1
        likely = 1.0 if word.confidence is None else word.confidence
        logprob = round(math.log(min(1.0, max(likely, _LEAST))), 6)
        one = Told(text=text[place:at], type="word", logprob=logprob, start=start, end=end)
        told.append(_grained(one, granularity))
        clock = end
    return told


def _grained(one: Told, granularity: str) -> Told:
    """With its times as they were asked for."""
    start, end = one.start or 0.0, one.end or 0.0
    if granularity == "none":
        one.start = one.end = None
        return one
    one.start, one.end = round(start, 3), round(end, 3)
    if granularity == "character":
        step = (end - start) / len(one.text)
        one.characters = [
            Character(
                text=character,
                start=round(start + step * place, 3),
                end=round(start + step * (place + 1), 3),
            )
            for place, character in enumerate(one.text)
        ]
    return one


def _check_export(one: ExportOptions) -> None:
    if one.format not in ("srt", "txt"):
        raise UnsupportedOptionError(
            f"A transcript is not written as {one.format} here.",
            hint="Formats: srt, txt.",
            param="additional_formats",
        )
    asked: Mapping[str, object] = {
        "segment_on_silence_longer_than_s": one.segment_on_silence_longer_than_s,
        "max_segment_duration_s": one.max_segment_duration_s,
        "max_segment_chars": one.max_segment_chars,
    }
    refuse({f"additional_formats.{name}": value for name, value in asked.items()})
    if one.format == "srt" and one.include_timestamps is False:
        raise InvalidRequestError("srt always has times.", param="additional_formats")
    if one.max_characters_per_line not in (None, _LINE):
        raise UnsupportedOptionError(
            f"Lines have up to {_LINE} characters here.", param="additional_formats"
        )


def _exported(result: TranscribeResult, text: str, one: ExportOptions) -> AdditionalFormat:
    if one.format == "srt":
        content, kind = subtitles.srt(result), "application/x-subrip"
    elif one.include_timestamps:
        content, kind = _timed(result), "text/plain"
    else:
        content, kind = text, "text/plain"
    return AdditionalFormat(
        requested_format=one.format,
        file_extension=one.format,
        content_type=kind,
        content=content,
    )


def _timed(result: TranscribeResult) -> str:
    return "\n".join(f"[{one.start:.2f}] {one.text}" for one in result.segments)
