"""OpenAI's completions, as types.

https://developers.openai.com/api/reference/resources/completions
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from ogam.protocols.openai.wire import Body, StreamOptions, Usage


class CompletionBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What ``completions.create`` sends.

    ``prompt``: a text, texts, or texts as token numbers, which are refused: they are numbers
    of OpenAI's vocabularies. ``user`` is without effect. ``top_k`` and ``repetition_penalty``
    are not OpenAI's.
    """

    model: str
    prompt: str | list[str | int | list[int]]
    echo: bool | None = None
    max_tokens: int | None = None
    n: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    # Refused where they ask for something.
    best_of: int | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    presence_penalty: float | None = None
    suffix: str | None = None
    # Without effect.
    user: str | None = None


class CompletionChoice(msgspec.Struct, kw_only=True):
    """One text, or in a stream a piece of it."""

    index: int
    text: str
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    logprobs: None = None


class Completion(msgspec.Struct, kw_only=True):
    """The reply, whole or one event of a stream."""

    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | UnsetType | None = UNSET
    object: Literal["text_completion"] = "text_completion"
