"""transcribe: text out of speech. Knows no acoustic model and no file format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ogam.capabilities.base import (
    Answer,
    AnswerStream,
    Request,
    Result,
    Value,
    check_count,
    check_range,
    check_text,
)
from ogam.errors import InvalidRequestError
from ogam.media import Audio


class Keyword(Value, frozen=True, kw_only=True):
    """A phrase to listen for. A larger ``threshold`` (0 to 1) gives fewer false alarms."""

    phrase: str
    threshold: float = 1e-20

    def __post_init__(self) -> None:
        check_text(self.phrase, "keyword")
        check_range(self.threshold, "threshold", 1e-50, 1)


class RecognitionOptions(Value, frozen=True, kw_only=True):
    """How to listen, for a whole recording and for a stream alike.

    ``language`` is a BCP-47 tag; None leaves it to the engine. At most one of
    ``grammar`` (a JSGF document, for voice commands) and ``keywords`` may be given.
    ``phrases`` are words to expect. ``alternatives`` asks for so many readings of each
    segment.
    """

    language: str | None = None
    alternatives: int = 1
    phrases: tuple[str, ...] = ()
    grammar: str | None = None
    keywords: tuple[Keyword, ...] = ()

    def __post_init__(self) -> None:
        check_count(self.alternatives, "alternatives", 1, 30)
        if self.grammar is not None and self.keywords:
            raise InvalidRequestError("Give a grammar or keywords, not both.", param="grammar")
        if self.grammar is not None:
            check_text(self.grammar, "grammar")
        for phrase in self.phrases:
            check_text(phrase, "phrase")


class TranscribeRequest(Request, frozen=True, kw_only=True):
    """Write down what is said in ``audio``."""

    audio: Audio
    options: RecognitionOptions = RecognitionOptions()


class Word(Value, frozen=True, kw_only=True):
    """A word heard, in seconds from the start; ``confidence`` from 0 to 1, None if unknown."""

    text: str
    start: float
    end: float
    confidence: float | None = None


class Alternative(Value, frozen=True, kw_only=True):
    """Another reading of a segment."""

    text: str
    confidence: float | None = None


class Segment(Value, frozen=True, kw_only=True):
    """An utterance. ``alternatives`` starts with the best reading, which is ``text``."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    alternatives: tuple[Alternative, ...] = ()


class PartialTranscript(Value, frozen=True, kw_only=True):
    """A stream's news: the utterance so far, or, with ``segment``, the finished utterance."""

    text: str
    segment: Segment | None = None

    @property
    def is_final(self) -> bool:
        """Whether this utterance will not change any more."""
        return self.segment is not None


class TranscribeResult(Result, frozen=True, kw_only=True):
    """The whole transcript. ``duration`` is the recording's, in seconds."""

    text: str
    segments: tuple[Segment, ...]
    duration: float
    language: str | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, in order."""
        return tuple(word for segment in self.segments for word in segment.words)


class Recognizer(Protocol):
    """What an engine that hears must have."""

    def transcribe(self, request: TranscribeRequest, /) -> Answer[TranscribeResult]:
        """Transcribe a whole recording."""
        ...

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions, /
    ) -> AnswerStream[PartialTranscript | TranscribeResult]:
        """Transcribe as it is said: ``pcm`` is 16 kHz, one channel, 16-bit little-endian.

        The blocks may have any size. Yields partial and final utterances, and the whole
        result last.
        """
        ...
