"""OpenAI's uploads, as types: a file in parts.

https://developers.openai.com/api/reference/resources/uploads
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ogam.protocols.openai.wire import Body
from ogam.protocols.openai.wire_files import ExpiresAfter, File, Purpose

# The vendor's bounds: of an upload, and of one of its parts.
MAX_BYTES, MAX_PART_BYTES = 8 * 1024**3, 64 * 1024**2


class UploadBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/uploads/methods/create.

    Without effect: ``mime_type``, as nothing here goes by what a client says of its bytes.
    """

    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES)]
    filename: str
    mime_type: str
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class CompleteBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/uploads/methods/complete."""

    part_ids: list[str]
    md5: str | None = None


class PartForm(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/uploads/subresources/parts.

    The form has a file ``data`` alone.
    """


class Upload(msgspec.Struct, kw_only=True):
    """An upload as it stands; ``file`` once it is completed."""

    id: str
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Purpose
    status: Literal["pending", "completed", "cancelled", "expired"] = "pending"
    file: File | None = None
    object: Literal["upload"] = "upload"


class UploadPart(msgspec.Struct, kw_only=True):
    """A part that is here."""

    id: str
    created_at: int
    upload_id: str
    object: Literal["upload.part"] = "upload.part"
