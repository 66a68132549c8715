"""speak: speech out of text. Knows no voice and no file format."""

from __future__ import annotations

from typing import Literal, Protocol

from ogam.capabilities.base import (
    Answer,
    AnswerStream,
    Request,
    Result,
    Value,
    check_range,
    check_text,
)
from ogam.media import Audio


class Voice(Value, frozen=True, kw_only=True):
    """A voice an engine has. ``id`` is what a request names; ``language`` is a BCP-47 tag."""

    id: str
    name: str
    language: str
    gender: Literal["male", "female", "neutral", "unknown"] = "unknown"
    languages: tuple[str, ...] = ()
    description: str = ""


class SpeakRequest(Request, frozen=True, kw_only=True):
    """Say ``text``.

    ``rate`` and ``pitch`` are factors: 1.0 is the voice's own. With ``ssml`` the text is
    an SSML document (W3C SSML 1.1). Without ``voice``, ``language`` picks one; without
    both, the engine's default speaks.
    """

    text: str
    voice: str | None = None
    language: str | None = None
    rate: float = 1.0
    pitch: float = 1.0
    ssml: bool = False

    def __post_init__(self) -> None:
        check_text(self.text, "text")
        check_range(self.rate, "rate", 0.25, 4)
        check_range(self.pitch, "pitch", 0.25, 4)


class WordTiming(Value, frozen=True, kw_only=True):
    """When a word sounds: seconds from the start, and code points ``offset``/``length`` in text."""

    text: str
    start: float
    end: float
    offset: int
    length: int


class SpeechChunk(Value, frozen=True, kw_only=True):
    """A piece of speech: 16-bit little-endian PCM at ``sample_rate``, one channel."""

    pcm: bytes
    sample_rate: int
    words: tuple[WordTiming, ...] = ()


class SpeakResult(Result, frozen=True, kw_only=True):
    """The whole speech, with word timings where the engine knows them."""

    audio: Audio
    voice: str
    words: tuple[WordTiming, ...] = ()

    def _repr_html_(self) -> str:
        return self.audio._repr_html_()  # pyright: ignore[reportPrivateUsage]


class Speaker(Protocol):
    """What an engine that speaks must have."""

    def voices(self) -> tuple[Voice, ...]:
        """Every voice, the default first. Blocking, without a network where the engine is local."""
        ...

    def speak(self, request: SpeakRequest, /) -> Answer[SpeakResult]:
        """Say the whole text."""
        ...

    def speak_stream(self, request: SpeakRequest, /) -> AnswerStream[SpeechChunk | SpeakResult]:
        """Yield speech as it is made, and the whole result last."""
        ...
