"""Ogam's errors in OpenAI's shape: {"error": {message, type, param, code}} and a status.

https://developers.openai.com/api/docs/guides/error-codes
"""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import Response

from ogam import errors
from ogam.protocols.serving import Call, event, reply


class PreviousResponseError(errors.InvalidRequestError):
    """``previous_response_id`` leads to nothing that is kept."""


# error -> status, type, code; the first that fits, so the narrow ones stand on top.
_SHAPES: tuple[tuple[type[errors.OgamError], int, str, str | None], ...] = (
    (errors.AuthenticationError, 401, "invalid_request_error", "invalid_api_key"),
    (errors.ForbiddenError, 403, "invalid_request_error", "insufficient_permissions"),
    (errors.BudgetError, 429, "insufficient_quota", "insufficient_quota"),
    (errors.UnknownModelError, 404, "invalid_request_error", "model_not_found"),
    (errors.UnknownEngineError, 404, "invalid_request_error", "model_not_found"),
    (errors.UnknownVoiceError, 400, "invalid_request_error", "invalid_value"),
    (errors.UnknownLanguageError, 400, "invalid_request_error", "invalid_value"),
    (errors.NotFoundError, 404, "invalid_request_error", None),
    (errors.TooLargeError, 413, "invalid_request_error", "too_large"),
    (PreviousResponseError, 400, "invalid_request_error", "previous_response_not_found"),
    (errors.UnsupportedOptionError, 400, "invalid_request_error", "unsupported_value"),
    (errors.InvalidRequestError, 400, "invalid_request_error", "invalid_value"),
    (errors.OverloadedError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.NotConfiguredError, 404, "invalid_request_error", "model_not_found"),
    (errors.DeadlineError, 504, "server_error", "timeout"),
    (errors.LedgerError, 503, "server_error", "service_unavailable"),
)


# A capability's word for a parameter where OpenAI has another.
_PARAMS = {"message": "messages", "rate": "speed", "text": "input", "texts": "input"}


def body(error: errors.OgamError) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an error."""
    found = next((one[1:] for one in _SHAPES if isinstance(error, one[0])), None)
    status, kind, code = found or (500, "server_error", None)
    if status == 413 and error.param in ("prompt", "message"):
        # Programs look for this code to shorten a conversation.
        status, code = 400, "context_length_exceeded"
    param = _PARAMS.get(error.param or "", error.param)
    said = {"message": str(error), "type": kind, "param": param, "code": code}
    return status, {"error": said}


def broken(error: errors.OgamError) -> bytes:
    """The last event of a stream that broke; the SDK raises APIError for it."""
    return event(body(error)[1])


def failure(error: errors.OgamError, call: Call | None) -> Response:  # noqa: ARG001
    """The reply to an error."""
    status, said = body(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.OverloadedError):
        headers["retry-after"] = str(math.ceil(error.retry_after))
    elif status >= 500 or isinstance(error, errors.BudgetError):
        # The SDK would send it twice more; what broke here breaks again, and no money comes.
        headers["x-should-retry"] = "false"
    return reply(said, status=status, headers=headers)
