"""generate: text out of text. Knows no tokenizer and no sampling method."""

from __future__ import annotations

from typing import Literal, Protocol

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


class Message(Value, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class GenerateRequest(Request, frozen=True, kw_only=True):
    """Continue ``prompt``, or answer ``messages`` (exactly one of the two).

    ``max_tokens`` bounds the new tokens of each of the ``n`` sequences; ``max_length``
    bounds prompt and new tokens together, as transformers' pipelines do. Without
    ``seed`` every call is different; with it, equal calls give equal text. Without
    ``temperature`` it is the model's own, which is 1 where the model names none.
    """

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    max_tokens: int | None = None
    max_length: int | None = None
    n: int = 1
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.messages and self.prompt:
            raise InvalidRequestError("Give a prompt or messages, not both.", param="prompt")
        if not self.messages:
            check_text(self.prompt, "prompt")
        for message in self.messages:
            check_text(message.content, "message", allow_empty=True)
        check_count(self.max_tokens, "max_tokens", 1, 1_000_000, none_ok=True)
        check_count(self.max_length, "max_length", 1, 1_000_000, none_ok=True)
        check_count(self.n, "n", 1, 128)
        check_count(self.seed, "seed", -(2**63), 2**63 - 1, none_ok=True)
        if self.temperature is not None:
            check_range(self.temperature, "temperature", 0, 2)
        check_count(self.top_k, "top_k", 1, 1_000_000, none_ok=True)
        if self.top_p is not None:
            check_range(self.top_p, "top_p", 0, 1)
        for stop in self.stop:
            if not isinstance(stop, str) or not stop:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidRequestError("A stop string is empty.", param="stop")
        check_range(self.repetition_penalty, "repetition_penalty", 0.01, 10)


class TextDelta(Value, frozen=True, kw_only=True):
    """The next piece of text of sequence ``index``."""

    text: str
    index: int = 0


class Choice(Value, frozen=True, kw_only=True):
    """One generated sequence, without the prompt. ``length``: the token limit was reached."""

    text: str
    finish_reason: Literal["stop", "length"] = "stop"


class GenerateResult(Result, frozen=True, kw_only=True):
    """``choices`` holds ``n`` sequences; ``text`` is the first."""

    choices: tuple[Choice, ...]

    @property
    def text(self) -> str:
        """The first sequence."""
        return self.choices[0].text

    @property
    def texts(self) -> tuple[str, ...]:
        """All sequences."""
        return tuple(choice.text for choice in self.choices)


class TextGenerator(Protocol):
    """What an engine that generates text must have."""

    def generate(self, request: GenerateRequest, /) -> Answer[GenerateResult]:
        """Generate all sequences, whole."""
        ...

    def generate_stream(
        self, request: GenerateRequest, /
    ) -> AnswerStream[TextDelta | GenerateResult]:
        """Yield deltas as they come, and the whole result last."""
        ...
