"""Speech to text as ElevenLabs is asked for it, and its answers as Ogam's values. Pure; no I/O."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ogam.capabilities.base import Units
from ogam.capabilities.speech_recognition import RecognitionOptions, Segment, Word
from ogam.errors import UnsupportedOptionError
from ogam.protocols.elevenlabs import languages
from ogam.protocols.elevenlabs.wire_answers import Word as Told

# A pause of so many seconds ends an utterance; the vendor tells words alone.
_PAUSE = 1.0


def fields(options: RecognitionOptions, model: str) -> list[tuple[str, str]]:
    """The form's fields, but for the file; UnsupportedOptionError for what the vendor cannot."""
    check(options)
    named = [("language_code", languages.base(options.language))] if options.language else []
    return [
        ("model_id", model),
        ("timestamps_granularity", "word"),
        # Laughter is no word, and a transcript here is of words.
        ("tag_audio_events", "false"),
        *named,
        *(("keyterms", phrase) for phrase in options.phrases),
    ]


def check(options: RecognitionOptions) -> None:
    """Refuse what the vendor has no word for."""
    asked = {
        "alternatives": options.alternatives > 1,
        "grammar": options.grammar is not None,
        "keywords": bool(options.keywords),
    }
    for name, wanted in asked.items():
        if wanted:
            raise UnsupportedOptionError(
                f"ElevenLabs knows no {name}.",
                hint="Leave it out; phrases are words to expect.",
                param=name,
            )


def billed(seconds: float) -> Units:
    """What a recording of such a length is billed for."""
    return Units(audio_ms=math.ceil(round(seconds * 1000, 3)))


def tag(code: str | None) -> str | None:
    """The language of a transcript as BCP-47; None where the vendor does not know it."""
    return languages.tag(code) if code and code != "und" else None


def segments(text: str, told: Sequence[Told], duration: float) -> tuple[Segment, ...]:
    """The utterances of a transcript, cut where nothing is said for a second.

    A transcript whose words have no times is one utterance.
    """
    if not any(one.start is not None and _is_word(one) for one in told):
        whole = Segment(text=text, start=0.0, end=duration)
        return (whole,) if text.strip() else ()
    groups: list[list[Word]] = []
    for one in told:
        if _is_word(one) and one.start is not None:
            word = _word(one, one.start)
            if not groups or word.start - groups[-1][-1].end >= _PAUSE:
                groups.append([])
            groups[-1].append(word)
    return tuple(map(_segment, _texts(text, groups), groups))


def _texts(text: str, groups: Sequence[Sequence[Word]]) -> list[str]:
    """The part of the text that each group is, with all that stands between its words."""
    starts: list[int] = []
    at = 0
    for group in groups:
        for number, word in enumerate(group):
            place = text.find(word.text, at)
            if place < 0:
                return [" ".join(one.text for one in words) for words in groups]
            if number == 0:
                starts.append(place)
            at = place + len(word.text)
    edges = [0, *starts[1:], len(text)]
    return [text[start:stop].strip() for start, stop in itertools.pairwise(edges)]


def _is_word(one: Told) -> bool:
    return one.type in (None, "word") and bool(one.text.strip())


def _word(one: Told, start: float) -> Word:
    sure = None if one.logprob is None else min(1.0, math.exp(min(0.0, one.logprob)))
    end = start if one.end is None else max(start, one.end)
    return Word(text=one.text.strip(), start=start, end=end, confidence=sure)


def _segment(text: str, words: Sequence[Word]) -> Segment:
    sure = [one.confidence for one in words if one.confidence is not None]
    return Segment(
        text=text,
        start=words[0].start,
        end=words[-1].end,
        words=tuple(words),
        confidence=sum(sure) / len(sure) if sure else None,
    )


def live_query(options: RecognitionOptions, model: str) -> list[tuple[str, str]]:
    """How to listen to live sound of 16 kHz; an utterance ends where the vendor hears that."""
    check(options)
    named = [("language_code", languages.base(options.language))] if options.language else []
    return [
        ("model_id", model),
        ("audio_format", "pcm_16000"),
        ("commit_strategy", "vad"),
        ("include_timestamps", "true"),
        *named,
        *(("keyterms", phrase) for phrase in options.phrases),
    ]
