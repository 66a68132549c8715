"""Ogam's errors as Google's: a status by name and number, JSON over HTTP, details over gRPC.

https://google.aip.dev/193 and https://cloud.google.com/apis/design/errors. Never 401: the SDK
answers it by asking its credentials for a token, and those of a local server have none.
"""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import Response

from ogam import errors
from ogam.protocols.google.codes import CODES
from ogam.protocols.serving import Call, reply


class OutOfRangeError(errors.InvalidRequestError):
    """A stream that goes on for too long, or stopped sending: OUT_OF_RANGE."""


# error -> HTTP status, google.rpc.Code, ErrorInfo.reason; the narrow ones stand on top.
# Overload is 429: the SDK repeats a 503 in silence for minutes.
_SHAPES: tuple[tuple[type[errors.OgamError], int, str, str], ...] = (
    (errors.AuthenticationError, 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
    (errors.ForbiddenError, 403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
    (errors.BudgetError, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    (errors.UnknownModelError, 400, "INVALID_ARGUMENT", ""),
    (errors.UnknownEngineError, 400, "INVALID_ARGUMENT", ""),
    (errors.UnknownVoiceError, 400, "INVALID_ARGUMENT", ""),
    (errors.UnknownLanguageError, 400, "INVALID_ARGUMENT", ""),
    (errors.NotFoundError, 404, "NOT_FOUND", ""),
    (OutOfRangeError, 400, "OUT_OF_RANGE", ""),
    (errors.InvalidRequestError, 400, "INVALID_ARGUMENT", ""),
    (errors.OverloadedError, 429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"),
    (errors.NotConfiguredError, 400, "FAILED_PRECONDITION", ""),
    (errors.ConfigurationError, 400, "FAILED_PRECONDITION", ""),
    (errors.DeadlineError, 504, "DEADLINE_EXCEEDED", ""),
    (errors.LedgerError, 503, "UNAVAILABLE", ""),
)


def _shape(error: errors.OgamError) -> tuple[int, str, str]:
    found = next((one[1:] for one in _SHAPES if isinstance(error, one[0])), None)
    return found or (500, "INTERNAL", "")


def _message(error: errors.OgamError) -> str:
    if isinstance(error, errors.AuthenticationError):
        return f"API key not valid. Please pass a valid API key. ({error})"
    return str(error)


def status(error: errors.OgamError) -> dict[str, Any]:
    """A ``google.rpc.Status`` without details: what stands inside a reply or an operation."""
    return {"code": CODES[_shape(error)[1]], "message": _message(error)}


def name(error: errors.OgamError) -> str:
    """The error's google.rpc.Code by name, which is grpc's name of it too."""
    return _shape(error)[1]


def details(error: errors.OgamError) -> list[dict[str, Any]]:
    """What an SDK reads the reason, the field at fault and the time to wait from."""
    found: list[dict[str, Any]] = []
    _, _, reason = _shape(error)
    kind = "type.googleapis.com/google.rpc"
    if reason:
        found.append({"@type": f"{kind}.ErrorInfo", "reason": reason, "domain": "googleapis.com"})
    if error.param:
        said = {"field": error.param, "description": _message(error)}
        found.append({"@type": f"{kind}.BadRequest", "fieldViolations": [said]})
    if isinstance(error, errors.OverloadedError):
        found.append({"@type": f"{kind}.RetryInfo", "retryDelay": f"{error.retry_after:.3f}s"})
    return found


def body(error: errors.OgamError) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the JSON of an error."""
    http, code, _ = _shape(error)
    said: dict[str, Any] = {"code": http, "message": _message(error), "status": code}
    if more := details(error):
        said["details"] = more
    return http, {"error": said}


def failure(error: errors.OgamError, call: Call | None) -> Response:  # noqa: ARG001
    """The reply to an error."""
    http, said = body(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.OverloadedError):
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return reply(said, status=http, headers=headers)


def packed(error: errors.OgamError) -> bytes:
    """The same as a serialised google.rpc.Status, for gRPC's ``grpc-status-details-bin``."""
    from google.protobuf import json_format
    from google.rpc import error_details_pb2, status_pb2

    assert error_details_pb2.DESCRIPTOR  # its import made the details' types known
    said = {**status(error), "details": details(error)}
    return json_format.ParseDict(said, status_pb2.Status()).SerializeToString()
