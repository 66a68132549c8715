"""PocketSphinx: text out of speech, streaming, with grammars and keywords.

American English by what comes with the library, another language by a folder
(:mod:`.model`). Knows nothing of the decoder's process (:mod:`.pool`) nor of where to cut a
recording (:mod:`.cut`). What was tried for accuracy, with the figures, is in
``docs/cards/pocketsphinx.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.speech_recognition import (
    Alternative,
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Word,
)
from ogam.engines.pocketsphinx.cut import BYTES_PER_SECOND, RATE, Piece, cut
from ogam.engines.pocketsphinx.model import Model, find
from ogam.engines.pocketsphinx.pool import Pool, Worker
from ogam.engines.pocketsphinx.worker import Decode, Listen, Setup
from ogam.errors import InvalidRequestError, UnknownLanguageError, UnsupportedOptionError

# Silence on both sides of an utterance, for the model's start and end of a sentence: 44 of
# 219 words wrong instead of 49, and 49 of 212 instead of 53 on the same clips slowed by 5 %.
_PAD_SECONDS = 0.25
_PAD = bytes(int(_PAD_SECONDS * BYTES_PER_SECOND))
_OTHERS = "starter/speech-de and starter/speech-es hear German and Spanish, Whisper many more."
_RULE = re.compile(r"<([^<>]+)>")
_DEFINED = re.compile(r"<([^<>]+)>\s*=")
_IMPORT = re.compile(r"(^|;)\s*import\b")
_PUBLIC = re.compile(r"\bpublic\s*<")
_TAG_OR_COMMENT = re.compile(r"\{[^}]*\}|//[^\n]*|/\*.*?\*/", re.DOTALL)


class PocketSphinxEngine:
    """Speech to text with the American English model that comes with PocketSphinx, or a folder's.

    Raises ConfigurationError for a folder without a model, UnknownLanguageError for another
    language or model, InvalidRequestError for a grammar that does not parse or a word that the
    dictionary lacks, UnsupportedOptionError for ``phrases`` together with a grammar or keywords
    or with a word that nobody told it how to pronounce, EngineError when the decoder's process
    dies.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"transcribe"})
    requires: ClassVar[tuple[str, ...]] = ("av", "pocketsphinx")
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._pool = Pool()

    @cached_property
    def _model(self) -> Model:
        return find(self._ref)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Transcribe a recording of any length, an utterance at a time."""
        setup = self._setup(request.options)
        clock = _Clock(request.audio.blocks(RATE, 1))
        segments: list[Segment] = []
        utterance: list[bytes] = []
        for piece in cut(clock.blocks()):
            checkpoint()
            utterance.append(piece.pcm)
            if piece.last:
                with self._pool.worker(setup) as worker:
                    segment = _decode(worker, utterance, piece, request.options.alternatives)
                utterance = []
                if segment is not None:
                    segments.append(segment)
        return self._result(segments, clock)

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> Iterator[PartialTranscript | TranscribeResult]:
        """Transcribe as it is said.

        Partial texts come from a quick first pass while the utterance goes on; when it ends
        all of it is decoded again as :meth:`transcribe` does, so that a stream and a file
        end in the same words.
        """
        setup = self._setup(options)
        clock = _Clock(pcm)
        segments: list[Segment] = []
        pieces = cut(clock.blocks())
        for piece in pieces:
            # A worker for as long as someone speaks: a silent stream holds none.
            with self._pool.worker(setup, live=True) as worker:
                utterance = [piece.pcm]
                said = ""
                while not piece.last:
                    heard = worker.ask(Listen(piece.pcm, piece.first)).text
                    if heard and heard != said:
                        said = heard
                        yield PartialTranscript(text=heard)
                    piece = next(pieces)  # noqa: PLW2901 - the same utterance goes on
                    utterance.append(piece.pcm)
                segment = _decode(worker, utterance, piece, options.alternatives)
            if segment is not None:
                segments.append(segment)
                yield PartialTranscript(text=segment.text, segment=segment)
        yield self._result(segments, clock)

    def _result(self, segments: list[Segment], clock: _Clock) -> TranscribeResult:
        placed = tuple(_within(segment, clock.seconds) for segment in segments)
        return TranscribeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(audio_ms=-(-clock.size * 1000 // BYTES_PER_SECOND)),
            text=" ".join(segment.text for segment in placed),
            segments=placed,
            duration=clock.seconds,
            language=self._model.language,
        )

    def _setup(self, options: RecognitionOptions) -> Setup:
        model = self._model
        asked = options.language
        if asked is not None and re.split("[-_]", asked.lower())[0] != model.base:
            raise UnknownLanguageError(
                f"PocketSphinx does not hear {asked!r}.",
                hint=f"{self._ref.name} hears {model.language} only. {_OTHERS}",
                param="language",
            )
        if options.phrases and (options.grammar or options.keywords):
            raise UnsupportedOptionError(
                "PocketSphinx takes no phrases beside a grammar or keywords: they say "
                "already all that can be heard.",
                hint="Put the phrases into them.",
                param="phrases",
            )
        return Setup(
            grammar=_grammar(options.grammar) if options.grammar is not None else "",
            keywords=tuple((_clean(one.phrase), one.threshold) for one in options.keywords),
            phrases=tuple(_clean(phrase) for phrase in options.phrases),
            lexicon=model.lexicon,
        )


class _Clock:
    """How much sound has gone by."""

    def __init__(self, pcm: Iterator[bytes]) -> None:
        self._pcm = pcm
        self._bytes = 0

    def blocks(self) -> Iterator[bytes]:
        for block in self._pcm:
            checkpoint()
            self._bytes += len(block)
            yield block

    @property
    def size(self) -> int:
        """Bytes of whole samples."""
        return self._bytes - self._bytes % 2

    @property
    def seconds(self) -> float:
        return self.size / BYTES_PER_SECOND


def _decode(
    worker: Worker, utterance: list[bytes], piece: Piece, alternatives: int
) -> Segment | None:
    heard = worker.ask(Decode(b"".join((_PAD, *utterance, _PAD)), alternatives))
    if not heard.words:
        return None
    end = piece.start + sum(map(len, utterance)) / BYTES_PER_SECOND

    def place(seconds: float) -> float:
        return round(min(max(seconds - _PAD_SECONDS + piece.start, piece.start), end), 3)

    words = tuple(
        Word(text=text, start=place(since), end=place(until), confidence=confidence)
        for text, since, until, confidence in heard.words
    )
    # The decoder's own figure for a whole utterance is a product that shrinks with its
    # length (1e-19 for eleven seconds of speech); the mean of the words says more.
    confidence = sum(one[3] for one in heard.words) / len(words)
    return Segment(
        text=heard.text,
        start=words[0].start,
        end=words[-1].end,
        words=words,
        confidence=confidence,
        alternatives=tuple(
            Alternative(text=text, confidence=None if at else confidence)
            for at, text in enumerate(heard.alternatives)
        ),
    )


def _within(segment: Segment, end: float) -> Segment:
    """No time after the recording's end: the last frame of sound was filled up."""
    if segment.end <= end:
        return segment
    words = tuple(
        Word(
            text=one.text,
            start=min(one.start, end),
            end=min(one.end, end),
            confidence=one.confidence,
        )
        for one in segment.words
    )
    return msgspec.structs.replace(segment, words=words, end=end)


def _clean(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _grammar(text: str) -> str:
    """The grammar as the library takes it; what it would pass over in silence is refused."""
    rules = _TAG_OR_COMMENT.sub(" ", text.lower())
    if _IMPORT.search(rules):
        raise UnsupportedOptionError(
            "The grammar imports another one; PocketSphinx would read it from this disk.",
            hint="Write all rules into one grammar.",
            param="grammar",
        )
    # The library ends its process over these two.
    if not text.lstrip("\ufeff").startswith("#JSGF") or not _PUBLIC.search(rules):
        raise InvalidRequestError(
            "The grammar is not valid JSGF: it needs a header and a public rule.",
            hint="It looks like: #JSGF V1.0; grammar g; public <go> = turn (left | right);",
            param="grammar",
        )
    # An undefined rule is a warning to the library, and then matches nothing.
    defined = set(_DEFINED.findall(rules)) | {"null", "void"}
    undefined = sorted({one.split(".")[-1] for one in _RULE.findall(rules)} - defined)
    if undefined:
        raise InvalidRequestError(
            f"The grammar uses the rule <{undefined[0]}> and does not define it.",
            hint=f"Add: <{undefined[0]}> = ...;",
            param="grammar",
        )
    header, semicolon, body = text.lstrip("\ufeff").partition(";")
    return header + semicolon + body.lower()  # the dictionary is in small letters
