"""Ogam's errors in DeepL's shape: {"message", "detail"} and a status.

https://developers.deepl.com/docs/best-practices/error-handling
"""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import Response

from ogam import errors
from ogam.protocols.serving import Call, reply

# error -> status; the first that fits. The SDK sends 429 and all from 500 five times more.
_STATUS: tuple[tuple[type[errors.OgamError], int], ...] = (
    (errors.AuthenticationError, 403),
    (errors.ForbiddenError, 403),
    (errors.BudgetError, 456),
    (errors.TooLargeError, 413),
    (errors.InvalidRequestError, 400),
    (errors.UnknownLanguageError, 400),
    (errors.NotFoundError, 404),
    (errors.NotConfiguredError, 404),
    (errors.OverloadedError, 429),
    (errors.DeadlineError, 504),
    (errors.LedgerError, 503),
)


class NotReadyError(errors.OgamError):
    """A document is asked for while it is still being translated."""


def body(error: errors.OgamError) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an error."""
    status = next((one for kind, one in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, NotReadyError):
        status = 503
    said = {"message": error.message}
    return status, {**said, "detail": error.hint} if error.hint else said


def failure(error: errors.OgamError, call: Call | None) -> Response:  # noqa: ARG001
    """The reply to an error."""
    status, said = body(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.OverloadedError):
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return reply(said, status=status, headers=headers)
