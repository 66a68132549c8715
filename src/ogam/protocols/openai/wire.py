"""OpenAI's JSON that several of its resources share, and its models. See ``wire_*`` for more.

Each type names its page. A body refuses a field it does not know, as the vendor does; what is
inside a message may be more than we read, because clients send replies back as they came.

https://developers.openai.com/api/reference
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The base of what clients send."""


class StreamOptions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``include_obfuscation`` is without effect: nothing is padded here."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class PromptTokens(msgspec.Struct, kw_only=True):
    """What a vendor behind a route read from its cache; nothing is heard."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokens(msgspec.Struct, kw_only=True):
    """No model here reasons in tokens of its own, or takes a prediction."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct, kw_only=True):
    """What a completion read and wrote, in the engine's own tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens = msgspec.field(default_factory=PromptTokens)
    completion_tokens_details: CompletionTokens = msgspec.field(default_factory=CompletionTokens)


class Model(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/models."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"


class Models(msgspec.Struct, kw_only=True):
    """The list of models."""

    data: list[Model]
    object: Literal["list"] = "list"
