"""OpenAI's embeddings and moderations, as types."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ogam.protocols.openai.wire import Body


class EmbeddingsBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/embeddings/methods/create.

    ``input``: a text, texts, or texts as token numbers, which are refused: they are numbers of
    OpenAI's vocabularies. ``user`` is without effect.
    """

    input: str | list[str | int | list[int]]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class Embedding(msgspec.Struct, kw_only=True):
    """One vector: numbers, or their little-endian float32 bytes in base64."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingsUsage(msgspec.Struct, kw_only=True):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct, kw_only=True):
    """The vectors, in the order of the input."""

    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
    object: Literal["list"] = "list"


class ModerationPart(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of one input. Only ``text`` is taken."""

    type: str
    text: str | None = None
    image_url: Any = None


class ModerationsBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/moderations/methods/create.

    A list of texts is judged text by text, a list of parts as one.
    """

    input: str | list[str | ModerationPart]
    model: str | None = None


class Moderation(msgspec.Struct, kw_only=True):
    """One judgement, by category."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text", "image"]]]


class Moderations(msgspec.Struct, kw_only=True):
    """The judgements, in the order of the input."""

    id: str
    model: str
    results: list[Moderation]
