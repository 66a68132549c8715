"""What all seven capabilities share: units, timing, the base of requests and results.

Knows no engine and no protocol. Values are frozen and keyword-only; they validate
themselves when they are made, so that no engine has to.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar

import msgspec

from ogam.errors import InvalidRequestError, TooLargeError
from ogam.media import limits

Capability = Literal["generate", "speak", "see", "transcribe", "translate", "classify", "embed"]
CAPABILITIES: tuple[Capability, ...] = (
    "generate",
    "speak",
    "see",
    "transcribe",
    "translate",
    "classify",
    "embed",
)

T = TypeVar("T")
# A local engine answers from a worker thread and returns the value; a vendor engine
# is asynchronous. The gateway takes either.
Answer = T | Awaitable[T]
AnswerStream = Iterator[T] | AsyncIterator[T]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with keyword-only fields."""


class Units(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a vendor would bill for this call. Integers, so that sums are exact.

    ``characters`` are Unicode code points. ``audio_ms`` are milliseconds, rounded up.
    ``image_features`` counts each feature asked of each image. ``cached_input_tokens`` are those
    of ``input_tokens`` that the vendor read from its cache, as far as it says.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    audio_ms: int = 0
    image_features: int = 0
    cached_input_tokens: int = 0

    def __add__(self, other: Units) -> Units:
        return Units(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            characters=self.characters + other.characters,
            audio_ms=self.audio_ms + other.audio_ms,
            image_features=self.image_features + other.image_features,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
        )

    @property
    def seconds(self) -> float:
        """Audio time in seconds."""
        return self.audio_ms / 1000


class Timing(Value, frozen=True, kw_only=True):
    """Seconds on this machine: ``total``, and ``first`` until the first piece of a stream."""

    total: float = 0.0
    first: float | None = None


class Request(Value, frozen=True, kw_only=True):
    """The base of all requests."""


class Result(Value, frozen=True, kw_only=True):
    """The base of all results. An engine fills all but ``timing``, which the gateway measures.

    ``model`` is the full string, ``engine/model``, that asks for the same model again.
    ``untrained`` marks what a model said whose head was never trained: noise, let through by
    ``--allow-untrained``.
    """

    engine: str
    model: str
    units: Units
    timing: Timing = Timing()
    untrained: bool = False


class ModelRef(Value, frozen=True, kw_only=True):
    """Which model an engine object serves.

    ``name`` is the full string that asks for it (``espeak/ko``), ``engine`` and ``model``
    its two parts (``model`` may be empty). ``folder`` holds the model's files where it has
    any.
    """

    name: str
    engine: str
    model: str = ""
    folder: Path | None = None


class Engine(Protocol):
    """What the registry makes: ``Engine(ref)``. Cheap to make; a model loads on first use.

    One object serves many threads at once. ``capabilities`` says which of the seven it has,
    and with them which of the protocols in this package. ``requires`` are the modules that
    must be importable, ``extra`` the extra that installs them.

    It may say more: ``joins`` that requests for many texts may be carried out as one and give
    each what it would get alone, ``waits`` that its calls only wait for threads of its own,
    ``zero_shot`` that it classifies by labels it never saw, and ``load()`` loads its model ahead
    of the first request.
    """

    capabilities: ClassVar[frozenset[Capability]]
    requires: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]

    def __init__(self, ref: ModelRef, /) -> None: ...

    def close(self) -> None:
        """Let go of processes and memory. The object is not used again."""
        ...


_cancelled: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "ogam_cancelled", default=None
)


class CancelledWork(BaseException):
    """Raised inside a worker thread whose caller has gone; never reaches a user."""


def checkpoint() -> None:
    """Stop here if the caller has gone away. An engine calls this inside its loops."""
    event = _cancelled.get()
    if event is not None and event.is_set():
        raise CancelledWork


def cancellable(event: threading.Event) -> None:
    """Bind ``event`` to the current context: once set, :func:`checkpoint` raises."""
    _cancelled.set(event)


def check_text(text: object, param: str, *, allow_empty: bool = False) -> None:
    """Refuse what no engine can take: not a string, empty, NUL or lone surrogates, too long."""
    if not isinstance(text, str):
        raise InvalidRequestError(
            f"{param} must be text (str), not {type(text).__name__}.", param=param
        )
    if not allow_empty and not text.strip():
        raise InvalidRequestError(f"{param} is empty.", hint="Give some text.", param=param)
    if "\x00" in text:
        raise InvalidRequestError(
            f"{param} contains a NUL byte.", hint="Is it a binary file?", param=param
        )
    if len(text) > limits.current().max_characters:
        raise TooLargeError(
            f"{param} has {len(text):,} characters; the limit is "
            f"{limits.current().max_characters:,}.",
            hint="Cut it into parts, or raise limits.max_characters in ogam.toml.",
            param=param,
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"{param} holds a broken character (a lone surrogate).",
            hint="Decode the source as UTF-8.",
            param=param,
        ) from None


def check_range(value: object, param: str, low: float, high: float) -> None:
    """Refuse what is not a number from ``low`` to ``high`` (NaN is not)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequestError(
            f"{param} must be from {low:g} to {high:g}, not {value}.", param=param
        )


def check_count(value: object, param: str, low: int, high: int, *, none_ok: bool = False) -> None:
    """Refuse what is not a whole number from ``low`` to ``high``."""
    if value is None and none_ok:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequestError(
            f"{param} must be a whole number from {low} to {high}, not {value}.", param=param
        )
