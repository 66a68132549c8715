"""What Google Cloud Speech-to-Text's SDK asks for, answered."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ogam.errors import OgamError
from ogam.protocols.serving import Call, Protocol, reply


def _key(request: Request) -> str | None:
    return request.headers.get("authorization")


def _failure(error: OgamError, call: Call | None) -> Response:  # noqa: ARG001
    return reply({"message": str(error)}, status=500)


PROTOCOL = Protocol(
    name="google_speech", routes=(), key=_key, failure=_failure, speaks=lambda _: False
)
