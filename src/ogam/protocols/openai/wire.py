"""OpenAI's JSON, as types. Each names its page; fields nobody here uses are left out.

https://developers.openai.com/api/reference
"""

from __future__ import annotations

from typing import Literal

import msgspec


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


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/embeddings/methods/create.

    ``input``: texts, or texts as token numbers.
    """

    input: str | list[str] | list[int] | list[list[int]]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
