"""uvicorn's HTTP with fewer calls of the system: the head of a reply leaves with its body.

uvicorn writes the one after the other, and uvloop sends at once what is written: of a short reply
that was two calls of the system, and two packets for the client to be woken by.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Http(HttpToolsProtocol):
    """uvicorn's own protocol over a :class:`Gathered` transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(Gathered(transport, self.loop))  # pyright: ignore[reportArgumentType]


class Gathered:
    """A transport that sends what one turn of the loop writes at the turn's end, in one go.

    All else is that of the transport behind it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send this with what else is written in this turn."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def _send(self) -> None:
        written, self._written = self._written, []
        if written:
            self._transport.writelines(written)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
