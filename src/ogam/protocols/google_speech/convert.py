"""Between Speech-to-Text's wire types (version 1) and Ogam's values, both ways. Pure functions."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

import msgspec

from ogam.capabilities.base import Value
from ogam.capabilities.speech_recognition import (
    Alternative,
    RecognitionOptions,
    Segment,
    Word,
)
from ogam.errors import InvalidRequestError, NotFoundError, UnsupportedOptionError
from ogam.protocols.google.protojson import duration, number, seconds
from ogam.protocols.google_speech import wire
from ogam.protocols.google_speech.grammar import jsgf

# https://cloud.google.com/speech-to-text/quotas
MAX_PHRASES, MAX_PHRASE = 5000, 100
RATES = range(8000, 48_001)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
# Google's codes that BCP-47 has other names for.
_RENAMED = {"cmn": "zh", "iw": "he", "jw": "jv"}
_OLD = {"he": "iw"}
# https://cloud.google.com/speech-to-text/docs/speech-to-text-supported-languages
_CODES = {
    code.partition("-")[0]: code
    for code in (
        *("ar-EG", "bg-BG", "bn-IN", "cs-CZ", "da-DK", "de-DE", "el-GR", "en-US", "es-ES"),
        *("fa-IR", "fi-FI", "fil-PH", "fr-FR", "hi-IN", "hu-HU", "id-ID", "it-IT", "ja-JP"),
        *("ko-KR", "ms-MY", "nl-NL", "no-NO", "pl-PL", "pt-BR", "ro-RO", "ru-RU", "sk-SK"),
        *("sv-SE", "th-TH", "tr-TR", "uk-UA", "vi-VN"),
    )
} | {"he": "iw-IL", "nb": "no-NO", "zh": "cmn-Hans-CN"}
_CLASS = re.compile(r"\$\{([^}]*)\}")
_BUILT_IN_CLASS = re.compile(r"\$(OOV_CLASS_|TIME|DAY|MONTH|YEAR|[A-Z]{3,})")
_NAMES = {value: name for name, value in wire.ENCODINGS.items()}
# These have one channel and tell no rate.
_MONO = ("MULAW", "ALAW", "AMR", "AMR_WB")


class Replacement(Value, frozen=True, kw_only=True):
    """``replace`` is written where ``search`` was heard."""

    search: str
    replace: str
    case_sensitive: bool = False


class Asked(Value, frozen=True, kw_only=True):
    """A configuration of either version. ``encoding`` is empty where the bytes tell it, as
    ``sample_rate`` and ``channels`` are 0. ``languages`` are tried in order; none leaves it to
    the engine. ``separate``: each channel by itself, not the first alone.
    """

    languages: tuple[str, ...]
    options: RecognitionOptions = RecognitionOptions()
    encoding: str = ""
    sample_rate: int = 0
    channels: int = 0
    separate: bool = False
    times: bool = False
    confidences: bool = False
    model: str = ""
    replacements: tuple[Replacement, ...] = ()


def asked(config: wire.RecognitionConfig | None) -> Asked:
    """What a configuration asks for; errors name the field in Google's words."""
    if config is None:
        raise InvalidRequestError("Invalid recognition 'config': not set.", param="config")
    speakers = config.diarization_config
    refuse("enableSpokenPunctuation", config.enable_spoken_punctuation)
    refuse("enableSpokenEmojis", config.enable_spoken_emojis)
    refuse("diarizationConfig", speakers is not None and speakers.enable_speaker_diarization)
    adaptation = config.adaptation or wire.SpeechAdaptation()
    refuse("adaptation.phraseSetReferences", adaptation.phrase_set_references)
    grammars = adaptation.abnf_grammar.abnf_strings if adaptation.abnf_grammar else []
    phrases = [phrase for context in config.speech_contexts for phrase in context.phrases]
    boosts = [context.boost for context in config.speech_contexts]
    for found in adaptation.phrase_sets:
        phrases += [one.value for one in found.phrases]
        boosts += [found.boost, *(one.boost for one in found.phrases)]
    check_boosts(boosts)
    options = RecognitionOptions(
        alternatives=alternatives(config.max_alternatives),
        phrases=expand(phrases, adaptation.custom_classes),
        grammar=jsgf(grammars) if grammars else None,
    )
    if not config.language_code:
        raise bad("language code", "languageCode", "Give one, such as en-US.")
    codes = (config.language_code, *config.alternative_language_codes)
    return sound(
        _NAMES[number(config.encoding, wire.ENCODINGS, "config.encoding")],
        config.sample_rate_hertz,
        config.audio_channel_count,
        Asked(
            languages=languages(codes),
            options=options,
            separate=config.enable_separate_recognition_per_channel,
            times=config.enable_word_time_offsets,
            confidences=config.enable_word_confidence,
            model=config.model,
            replacements=replacements(config.transcript_normalization),
        ),
    )


def config(asked: Asked) -> wire.RecognitionConfig:
    """The same the other way. A grammar has no way back."""
    normal = [
        wire.Replacement(search=one.search, replace=one.replace, case_sensitive=one.case_sensitive)
        for one in asked.replacements
    ]
    phrases = asked.options.phrases
    return wire.RecognitionConfig(
        encoding=asked.encoding or "ENCODING_UNSPECIFIED",
        sample_rate_hertz=asked.sample_rate,
        audio_channel_count=asked.channels,
        enable_separate_recognition_per_channel=asked.separate,
        language_code=asked.languages[0] if asked.languages else "",
        alternative_language_codes=list(asked.languages[1:]),
        max_alternatives=asked.options.alternatives,
        speech_contexts=[wire.SpeechContext(phrases=list(phrases))] if phrases else [],
        transcript_normalization=wire.TranscriptNormalization(entries=normal) if normal else None,
        enable_word_time_offsets=asked.times,
        enable_word_confidence=asked.confidences,
        model=asked.model,
    )


def sound(encoding: str, rate: int, channels: int, rest: Asked) -> Asked:
    """``rest`` with its sound, once that makes sense."""
    encoding = "" if encoding.endswith("UNSPECIFIED") else encoding
    if encoding == "SPEEX_WITH_HEADER_BYTE":
        raise bad("encoding", "encoding", "Speex is not decoded here. Send OGG_OPUS or FLAC.")
    if rate and rate not in RATES:
        raise bad("sample rate hertz", "sampleRateHertz", "From 8000 to 48000.")
    most = 1 if encoding in _MONO else 8
    if not 0 <= channels <= most:
        raise bad("channel count", "audioChannelCount", f"From 1 to {most}.")
    return msgspec.structs.replace(rest, encoding=encoding, sample_rate=rate, channels=channels)


def bad(what: str, param: str, hint: str) -> InvalidRequestError:
    """Google's words for a wrong configuration."""
    return InvalidRequestError(
        f"Invalid recognition 'config': bad {what}.", hint=hint, param=f"config.{param}"
    )


def refuse(param: str, value: object) -> None:
    """Say so where something is asked for that nothing here can do."""
    if value:
        raise UnsupportedOptionError(
            f"{param} is not supported here.", hint="Leave it out.", param=f"config.{param}"
        )


def alternatives(count: int) -> int:
    """How many readings: 0 and 1 both mean one."""
    if not 0 <= count <= 30:
        raise bad("max alternatives", "maxAlternatives", "From 0 to 30.")
    return max(1, count)


def languages(codes: Sequence[str]) -> tuple[str, ...]:
    """The codes, once they look like such."""
    for code in codes:
        if not _LANGUAGE.fullmatch(code):
            raise bad("language code", "languageCode", f"{code[:60]!r} is no BCP-47 code.")
    return tuple(dict.fromkeys(codes))


def tag(code: str) -> str:
    """Google's code as BCP-47."""
    first, *rest = code.replace("_", "-").split("-")
    return "-".join([_RENAMED.get(first.lower(), first), *rest])


def code(tag: str) -> str:
    """BCP-47 as Google's code: one without a country gets the one Google writes there."""
    first, *rest = tag.replace("_", "-").split("-")
    if not rest:
        return _CODES.get(first.lower(), first)
    return "-".join([_OLD.get(first.lower(), first), *rest])


def spelled(code: str) -> str:
    """A code of a reply, which may be all in small letters, as BCP-47 is written."""
    first, *rest = tag(code).split("-")
    return "-".join(
        [
            first.lower(),
            *(
                part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part
                for part in rest
            ),
        ]
    )


def replacements(found: wire.TranscriptNormalization | None) -> tuple[Replacement, ...]:
    """What is written in place of what."""
    entries = found.entries if found else []
    for one in entries:
        if not one.search:
            raise bad("transcript normalization", "transcriptNormalization", "A search is empty.")
    return tuple(
        Replacement(search=one.search, replace=one.replace, case_sensitive=one.case_sensitive)
        for one in entries
    )


def check_boosts(boosts: Sequence[float]) -> None:
    """Refuse what would make a phrase less likely; more than expected a phrase cannot be here."""
    if any(boost < 0 for boost in boosts):
        raise bad("boost", "adaptation", "A boost may not be negative.")


def expand(phrases: Sequence[str], classes: Sequence[wire.CustomClass]) -> tuple[str, ...]:
    """The phrases, each of a class's words in the place of ``${class}``."""
    known = {
        name: [item.value for item in one.items]
        for one in classes
        for name in (one.custom_class_id, one.name, one.name.rpartition("/")[2])
        if name
    }
    found: dict[str, None] = {}
    for phrase in phrases:
        parts = _CLASS.split(phrase)
        for name in parts[1::2]:
            if name not in known:
                raise NotFoundError(
                    f"Custom class not found: {name[:100]!r}.",
                    hint="Classes are given in customClasses; none are kept here.",
                )
        if _BUILT_IN_CLASS.search("".join(parts[::2])):
            refuse("adaptation with a class token", phrase)
        choices = [known[part] if at % 2 else [part] for at, part in enumerate(parts)]
        for one in itertools.product(*choices):
            text = "".join(one).strip()
            if not text or len(text) > MAX_PHRASE:
                raise bad("phrase", "adaptation", f"From 1 to {MAX_PHRASE} characters.")
            found[text] = None
            if len(found) > MAX_PHRASES:
                raise bad("number of phrases", "adaptation", f"At most {MAX_PHRASES:,}.")
    return tuple(found)


def result(
    asked: Asked, language: str, segment: Segment, channel: int
) -> wire.SpeechRecognitionResult:
    """An utterance. ``channel`` counts from 1; 0 where they are not told apart."""
    readings = segment.alternatives or (
        Alternative(text=segment.text, confidence=segment.confidence),
    )
    told = [
        wire.SpeechRecognitionAlternative(
            transcript=written(asked, one.text), confidence=_confidence(one.confidence)
        )
        for one in readings[: asked.options.alternatives]
    ]
    if asked.times or asked.confidences:
        told[0].words = [_word(asked, one) for one in segment.words]
    return wire.SpeechRecognitionResult(
        alternatives=told,
        channel_tag=channel,
        result_end_time=duration(segment.end),
        language_code=language,
    )


def segment(result: wire.SpeechRecognitionResult) -> Segment:
    """The same the other way. Google tells no beginning of an utterance without words."""
    best = result.alternatives[0] if result.alternatives else wire.SpeechRecognitionAlternative()
    words = tuple(
        Word(
            text=one.word,
            start=seconds(one.start_time, "startTime") if one.start_time else 0.0,
            end=seconds(one.end_time, "endTime") if one.end_time else 0.0,
            confidence=one.confidence or None,
        )
        for one in best.words
    )
    return Segment(
        text=best.transcript.strip(),
        start=words[0].start if words else 0.0,
        end=seconds(result.result_end_time, "resultEndTime") if result.result_end_time else 0.0,
        words=words,
        confidence=best.confidence or None,
        alternatives=tuple(
            Alternative(text=one.transcript.strip(), confidence=one.confidence or None)
            for one in result.alternatives
        ),
    )


def interim(asked: Asked, text: str, heard: float, channel: int) -> wire.StreamingRecognitionResult:
    """What can be said of an utterance that goes on, ``heard`` seconds into the stream."""
    return wire.StreamingRecognitionResult(
        alternatives=[wire.SpeechRecognitionAlternative(transcript=written(asked, text))],
        channel_tag=channel,
        result_end_time=duration(heard),
        language_code=asked.languages[0] if asked.languages else "",
    )


def final(one: wire.SpeechRecognitionResult) -> wire.StreamingRecognitionResult:
    """A finished utterance, as a stream tells it."""
    return wire.StreamingRecognitionResult(**msgspec.structs.asdict(one), is_final=True)


def written(asked: Asked, text: str) -> str:
    """The transcript with its replacements."""
    for one in asked.replacements:
        flags = 0 if one.case_sensitive else re.IGNORECASE
        pattern = rf"(?<!\w){re.escape(one.search)}(?!\w)"
        # A function, so that a backslash in the replacement is only that.
        text = re.sub(pattern, lambda _, to=one.replace: to, text, flags=flags)
    return text.strip()


def billed(length: float, channels: int) -> int:
    """The seconds Google bills: whole ones of each channel, an empty transcript's too."""
    return math.ceil(round(length, 6)) * channels


def _confidence(value: float | None) -> float:
    return min(1.0, max(0.0, value or 0.0))


def _word(asked: Asked, word: Word) -> wire.Word:
    return wire.Word(
        word=word.text,
        start_time=duration(word.start) if asked.times else "",
        end_time=duration(word.end) if asked.times else "",
        confidence=_confidence(word.confidence) if asked.confidences else 0.0,
    )
