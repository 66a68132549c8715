"""OpenAI's files, as types.

https://developers.openai.com/api/reference/resources/files
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from ogam.protocols.openai.wire import Body

T = TypeVar("T")
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class ExpiresAfter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How many seconds after its making a file is deleted: from an hour to 30 days."""

    seconds: Annotated[int, msgspec.Meta(ge=3600, le=2_592_000)]
    anchor: Literal["created_at"] = "created_at"


class FileForm(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/files/methods/create.

    Beside these fields the form has a ``file``. Only ``batch`` files are used by anything here;
    those of other purposes are kept.
    """

    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class File(msgspec.Struct, kw_only=True):
    """What is known of a file."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose | Literal["batch_output"]
    expires_at: int | None = None
    status: Literal["processed"] = "processed"
    object: Literal["file"] = "file"


class FileDeleted(msgspec.Struct, kw_only=True):
    """A file is gone."""

    id: str
    deleted: bool = True
    object: Literal["file"] = "file"


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """Some of a list. ``last_id`` is what the next page comes ``after``."""

    data: list[T]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class FilesQuery(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/files/methods/list."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = None
