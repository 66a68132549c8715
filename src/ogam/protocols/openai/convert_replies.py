"""What servers answer to Ogam's values: the client's half of ``convert``. Pure.

Raises ValueError, in words, where a reply lacks what it was asked for.
"""

from __future__ import annotations

import binascii
import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ogam.capabilities.base import Units
from ogam.capabilities.classification import Classification, LabelScore
from ogam.capabilities.embedding import Vectors
from ogam.capabilities.speech_recognition import Segment, TranscribeResult, Word
from ogam.capabilities.text_generation import Choice, GenerateRequest
from ogam.protocols.openai import languages
from ogam.protocols.openai import wire_replies as wire

# What a server adds to a chat before its model reads it: marks of each turn, and of the answer's
# beginning. OpenAI's are 3 and 3 tokens; other models' templates stay under this.
_TURN_TOKENS = 16
# From how far on a vector is not taken to have the length 1.
_LENGTH_SLACK = 1e-3


def told(said: wire.Usage) -> Units | None:
    """The units of a usage; None where it tells none.

    What stands in the total alone (Gemini tells its thinking there only) counts as written.
    """
    read = said.input_tokens if said.prompt_tokens is None else said.prompt_tokens
    written = said.output_tokens if said.completion_tokens is None else said.completion_tokens
    total = said.total_tokens or 0
    if read is None and written is None and not total and said.seconds is None:
        return None
    if read is None:
        read = total - (written or 0)
    return Units(
        input_tokens=max(read, 0),
        output_tokens=max(written or 0, total - max(read, 0), 0),
        audio_ms=milliseconds(said.seconds or 0),
        cached_input_tokens=min(_cached(said), max(read, 0)),
    )


def _cached(said: wire.Usage) -> int:
    """Tokens read from the vendor's cache; 0 where it does not say so as OpenAI does."""
    details = said.prompt_tokens_details or said.input_tokens_details
    if not isinstance(details, dict):
        return 0
    found = cast(dict[str, Any], details).get("cached_tokens")
    return found if type(found) is int and found > 0 else 0


def milliseconds(seconds: float) -> int:
    """Rounded up, but for what binary fractions add."""
    return max(0, math.ceil(round(seconds * 1000, 3))) if math.isfinite(seconds) else 0


def tokens_at_most(texts: Iterable[str]) -> int:
    """The most tokens that texts can be: no token is shorter than a byte."""
    return sum(len(text.encode()) for text in texts)


def chat_units(
    said: wire.Usage | None, request: GenerateRequest, choices: Iterable[Choice]
) -> Units:
    """What a chat used; where the server does not tell, the most it can have been."""
    units = told(said) if said else None
    if units is not None:
        return units
    texts = [one.content for one in request.messages] or [request.prompt]
    if request.max_tokens is None:
        written = tokens_at_most(one.text for one in choices)
    else:
        # What a model thinks is billed too, and stands in no text.
        written = request.n * request.max_tokens
    return Units(
        input_tokens=tokens_at_most(texts) + _TURN_TOKENS * (len(texts) + 1),
        output_tokens=written,
    )


def choice(text: str, finish_reason: str | None) -> Choice:
    """One answer. Any reason to end but ``length`` counts as ``stop``."""
    return Choice(text=text, finish_reason="length" if finish_reason == "length" else "stop")


def choices(reply: wire.Chat, count: int) -> tuple[Choice, ...]:
    """The answers of a whole chat, which must be ``count``."""
    found = {one.index: one for one in reply.choices or ()}
    if sorted(found) != list(range(count)):
        raise ValueError(f"it holds {len(found)} of {count} answers")
    return tuple(
        choice(answered(one.message) if one.message else "", one.finish_reason)
        for _, one in sorted(found.items())
    )


def answered(answer: wire.Answer) -> str:
    """The text of an answer; a refusal is one too."""
    return answer.content or answer.refusal or ""


def vectors(reply: wire.Embeddings, count: int, dimensions: int | None) -> Vectors:
    """The vectors, of length 1, and cut to ``dimensions`` where the server did not."""
    # Without numbers they stand in the order of the texts.
    rows = sorted(
        (at if one.index is None else one.index, _packed(one.embedding))
        for at, one in enumerate(reply.data)
    )
    if [at for at, _ in rows] != list(range(count)):
        raise ValueError(f"it holds {len(rows)} of {count} vectors")
    width = len(rows[0][1])
    if not width or width % 4 or any(len(row) != width for _, row in rows):
        raise ValueError("its vectors differ in length")
    found = Vectors(data=b"".join(row for _, row in rows), dimensions=width // 4)
    kept = min(dimensions or found.dimensions, found.dimensions)
    # A server makes all its vectors alike: the first tells for all.
    if kept == found.dimensions and abs(_length(found[0]) - 1) < _LENGTH_SLACK:
        return found
    shortened = (row[:kept] for row in found)
    return Vectors.from_rows(
        [value / length for value in row] if (length := _length(row)) else row for row in shortened
    )


def _packed(embedding: list[float] | str) -> bytes:
    if isinstance(embedding, str):
        return binascii.a2b_base64(embedding, strict_mode=True)
    return array("f", embedding).tobytes()


def _length(row: Iterable[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in row))


def classifications(reply: wire.Moderations, count: int) -> tuple[Classification, ...]:
    """Each text's categories, the likeliest first. Each has a score of its own."""
    if len(reply.results) != count:
        raise ValueError(f"it holds {len(reply.results)} of {count} judgements")
    return tuple(_classification(one.category_scores) for one in reply.results)


def _classification(scores: Mapping[str, float | None]) -> Classification:
    known = {name: score for name, score in scores.items() if score is not None}
    if not known:
        raise ValueError("it holds no scores")
    ranked = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    return Classification(scores=tuple(LabelScore(label=name, score=n) for name, n in ranked))


def transcript(
    reply: wire.Transcript, *, engine: str, model: str, language: str | None, duration: float
) -> TranscribeResult:
    """The transcript in a reply. ``language`` stands where it tells none.

    A word belongs to the last segment that has begun when it begins. Text without segments is one
    utterance.
    """
    if reply.text is None:
        raise ValueError("it holds no text")
    heard = [Word(text=one.word.strip(), start=one.start, end=one.end) for one in reply.words or ()]
    told_segments = reply.segments or []
    if not told_segments and reply.text.strip():
        told_segments = [wire.Segment(text=reply.text, start=0.0, end=duration)]
    places = [
        max((at for at, one in enumerate(told_segments) if one.start <= word.start), default=0)
        for word in heard
    ]
    segments = tuple(
        Segment(
            text=one.text.strip(),
            start=one.start,
            end=one.end,
            confidence=min(math.exp(one.avg_logprob), 1.0) if one.avg_logprob else None,
            words=tuple(word for word, place in zip(heard, places, strict=True) if place == at),
        )
        for at, one in enumerate(told_segments)
    )
    units = told(reply.usage) if reply.usage else None
    units = units or Units(audio_ms=milliseconds(duration))
    tag = languages.tag(reply.language) if reply.language else None
    if tag is None and reply.languages:
        tag = reply.languages[0].code
    return TranscribeResult(
        engine=engine,
        model=model,
        # Tokens are billed for some models, and time for others: both are told.
        units=units if units.audio_ms else units + Units(audio_ms=milliseconds(duration)),
        text=reply.text,
        segments=segments,
        duration=duration,
        language=tag or language,
    )
