"""Answers that take their time, from which the SDK hears in time."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.responses import Response

from ogam.protocols.deepl import errors
from ogam.protocols.serving import Call, Patient

# The SDK waits ten seconds for a byte and then sends all again.
PATIENCE = 4.0


def patiently(call: Call, work: Awaitable[Response]) -> Response:
    """What ``work`` answers, with white space before it where it takes long."""
    return Patient(work, lambda error: errors.failure(error, call), after=PATIENCE)
