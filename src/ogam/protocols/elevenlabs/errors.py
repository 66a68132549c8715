"""Ogam's errors in ElevenLabs's shape: {"detail": {type, code, message, ...}} and a status.

https://elevenlabs.io/docs/eleven-api/resources/errors
"""

from __future__ import annotations

import math
import re
from typing import Any

from starlette.responses import Response

from ogam import errors
from ogam.protocols.serving import Call, reply

# error -> status, type, code; the first that fits, so the narrow ones stand on top.
_SHAPES: tuple[tuple[type[errors.OgamError], int, str, str], ...] = (
    (errors.AuthenticationError, 401, "authentication_error", "invalid_api_key"),
    (errors.ForbiddenError, 403, "authorization_error", "missing_permissions"),
    (errors.BudgetError, 401, "authentication_error", "quota_exceeded"),
    (errors.UnknownVoiceError, 404, "not_found", "voice_not_found"),
    (errors.UnknownModelError, 404, "not_found", "model_not_found"),
    (errors.UnknownEngineError, 404, "not_found", "model_not_found"),
    (errors.UnknownLanguageError, 400, "validation_error", "unsupported_language"),
    (errors.NotFoundError, 404, "not_found", "not_found"),
    (errors.InvalidMediaError, 400, "validation_error", "invalid_audio"),
    (errors.TooLargeError, 413, "validation_error", "file_too_large"),
    (errors.UnsupportedOptionError, 400, "validation_error", "unsupported_parameter"),
    (errors.InvalidRequestError, 400, "validation_error", "invalid_parameters"),
    (errors.OverloadedError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.NotConfiguredError, 404, "not_found", "model_not_found"),
    (errors.DeadlineError, 504, "server_error", "timeout"),
    (errors.LedgerError, 503, "server_error", "service_unavailable"),
)
# A capability's word for a parameter where ElevenLabs has another.
_PARAMS = {
    "audio": "file",
    "keyword": "keyterms",
    "language": "language_code",
    "model": "model_id",
    "phrase": "keyterms",
    "phrases": "keyterms",
    "rate": "voice_settings.speed",
    "voice": "voice_id",
}


class ShapeError(errors.InvalidRequestError):
    """A body, form or query that does not have the vendor's shape: 422 and a list."""


def shape(error: errors.InvalidRequestError) -> ShapeError:
    """An error of decoding, which names a missing field in its text alone."""
    found = re.search(r"field `(\w+)`", error.message)
    return ShapeError(error.message, param=error.param or (found[1] if found else None))


def detail(error: errors.OgamError, request_id: str) -> tuple[int, dict[str, Any]]:
    """The status and what stands in "detail", but for :class:`ShapeError`."""
    found = next((one[1:] for one in _SHAPES if isinstance(error, one[0])), None)
    status, kind, code = found or (500, "server_error", "internal_server_error")
    if isinstance(error, errors.TooLargeError) and error.param == "text":
        status, code = 400, "max_character_limit_exceeded"
    if isinstance(error, errors.RateLimitedError) and error.limit == "concurrent":
        code = "concurrent_limit_exceeded"
    return status, {
        "type": kind,
        "code": code,
        "message": str(error),
        "status": code,
        "request_id": request_id,
        "param": _PARAMS.get(error.param or "", error.param),
    }


def failure(error: errors.OgamError, call: Call | None) -> Response:
    """The reply to an error."""
    if isinstance(error, ShapeError):
        place = ["body", *(error.param.split(".") if error.param else ())]
        said = {"loc": place, "msg": str(error), "type": "value_error"}
        return reply({"detail": [said]}, status=422)
    status, about = detail(error, call.id if call else "")
    headers: dict[str, str] = {}
    if isinstance(error, errors.OverloadedError):
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return reply({"detail": about}, status=status, headers=headers)
