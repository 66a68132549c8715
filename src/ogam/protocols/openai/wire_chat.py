"""OpenAI's chat completions, as types.

https://developers.openai.com/api/reference/resources/chat/subresources/completions
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ogam.protocols.openai.wire import Body, StreamOptions, Usage

FinishReason = Literal["stop", "length", "content_filter", "tool_calls", "function_call"]


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of a message. Of the types only ``text`` and ``refusal`` are taken."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One turn. ``name`` is without effect; the roles ``tool`` and ``function`` are refused."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    function_call: Any = None
    audio: Any = None


class ChatBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What ``chat.completions.create`` sends.

    Without effect, because they name, bill or hasten and change no answer: ``metadata``,
    ``parallel_tool_calls``, ``prediction``, ``prompt_cache_*``, ``reasoning_effort``,
    ``safety_identifier``, ``service_tier``, ``store``, ``user``, ``verbosity``. ``top_k`` and
    ``repetition_penalty`` are not OpenAI's; other servers of local models have them too.
    All other fields are obeyed, or refused where they ask for something.
    """

    messages: list[Message]
    model: str
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    repetition_penalty: float | None = None
    response_format: Any = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    # Refused where they ask for something.
    audio: Any = None
    frequency_penalty: float | None = None
    function_call: Any = None
    functions: list[Any] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    moderation: Any = None
    presence_penalty: float | None = None
    tool_choice: Any = None
    tools: list[Any] | None = None
    top_logprobs: int | None = None
    web_search_options: Any = None
    # Without effect.
    metadata: Any = None
    parallel_tool_calls: bool | None = None
    prediction: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    user: str | None = None
    verbosity: str | None = None


class Answer(msgspec.Struct, kw_only=True):
    """The message of a choice."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: str | None = None
    annotations: list[Any] = []


class Choice(msgspec.Struct, kw_only=True):
    """One answer."""

    index: int
    message: Answer
    finish_reason: FinishReason
    logprobs: None = None


class Chat(msgspec.Struct, kw_only=True):
    """The whole reply."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class Delta(msgspec.Struct, kw_only=True):
    """What a chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    refusal: UnsetType | None = UNSET


class ChunkChoice(msgspec.Struct, kw_only=True):
    """A piece of one answer; the last has the ``finish_reason``."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None


class Chunk(msgspec.Struct, kw_only=True):
    """One event of a stream.

    https://developers.openai.com/api/reference/resources/chat/subresources/completions/streaming-events
    """

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
