"""OpenAI's batches, as types.

https://developers.openai.com/api/reference/resources/batches
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ogam.protocols.openai.wire import Body
from ogam.protocols.openai.wire_files import ExpiresAfter
from ogam.protocols.openai.wire_responses import InputTokens, OutputTokens

Endpoint = Literal[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/responses",
]
Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]


class BatchBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/batches/methods/create.

    The vendor's ``completion_window`` is ``24h``; here any from an hour to 30 days may be given,
    such as ``72h`` or ``7d``.
    """

    input_file_id: str
    endpoint: Endpoint
    completion_window: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,2}[hd]$")]
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None


class Counts(msgspec.Struct, kw_only=True):
    """How many lines there are, and how many have been answered or refused."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Usage(msgspec.Struct, kw_only=True):
    """What all answered lines read and wrote."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: InputTokens = msgspec.field(default_factory=InputTokens)
    output_tokens_details: OutputTokens = msgspec.field(default_factory=OutputTokens)


class LineError(msgspec.Struct, kw_only=True):
    """What is wrong with the input. ``line`` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Errors(msgspec.Struct, kw_only=True):
    """Why a batch failed before its first line was answered."""

    data: list[LineError]
    object: Literal["list"] = "list"


class Batch(msgspec.Struct, kw_only=True):
    """A batch as it stands."""

    id: str
    endpoint: Endpoint
    input_file_id: str
    completion_window: str
    status: Status
    created_at: int
    expires_at: int
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    errors: Errors | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    usage: Usage | None = None
    metadata: dict[str, str] | None = None
    object: Literal["batch"] = "batch"


class Line(msgspec.Struct, kw_only=True):
    """One request.

    https://developers.openai.com/api/docs/guides/batch#1-prepare-your-batch-file
    """

    custom_id: str
    url: str
    body: msgspec.Raw
    method: Literal["POST"] = "POST"


class LineReply(msgspec.Struct, kw_only=True):
    """What the request was answered with."""

    status_code: int
    request_id: str
    body: msgspec.Raw


class Failure(msgspec.Struct, kw_only=True):
    """Why a request was not answered at all."""

    code: str
    message: str


class LineResult(msgspec.Struct, kw_only=True):
    """One line of the output or the error file."""

    id: str
    custom_id: str
    response: LineReply | None = None
    error: Failure | None = None


class BatchesQuery(msgspec.Struct, kw_only=True):
    """https://developers.openai.com/api/reference/resources/batches/methods/list."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class Answered(msgspec.Struct, kw_only=True):
    """What a batch reads of an answer: its usage, whichever resource gave it."""

    usage: dict[str, Any] | None = None
