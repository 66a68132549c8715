"""One request and its reply as ASGI messages, watched: how large the body is, what status went
out, whether the reply was finished, whether the client left before.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from ogam.errors import InvalidRequestError, TooLargeError
from ogam.gateway.deadline import Deadline
from ogam.media import limits

# Beyond the media itself: base64 adds a third, JSON and form parts a little.
_BODY_FACTOR = 1.4
# nginx's own, for a client that closed before the reply was whole; only counted, never sent.
LEFT = 499
# A client that sends nothing of its body for so long has gone, or means harm.
BODY_SECONDS = 60.0
# How much of a refused body is taken, and for how long, so that its sender reads the refusal.
_LINGER_BYTES, _LINGER_SECONDS = 16_000_000, 1.0


class Incoming(Request):
    """starlette's request; its body is read without the two generators and 6 µs of starlette's."""

    async def body(self) -> bytes:
        """All of it. ClientDisconnect where the client leaves before its end."""
        if not hasattr(self, "_body"):
            if self._stream_consumed:
                raise RuntimeError("The body was read as a stream.")
            parts: list[bytes] = []
            while not self._stream_consumed:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._is_disconnected = True
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                self._stream_consumed = not message.get("more_body")
            self._body = b"".join(parts)
        return self._body


class Exchange:
    """Stands between the server and the application. ``status`` is what was really sent,
    ``fields`` are the request's header fields, names in lower case.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        self._size = 0
        self._read = False  # all of the body
        self._late = False
        self.status: int | None = None
        self.finished = self.left = False

    def check_length(self) -> None:
        """TooLargeError where the body says of itself that it is over the limit.

        Before a byte of it is taken: a client that asked with ``Expect: 100-continue`` does not
        send it.
        """
        length = self.fields.get(b"content-length", b"")
        if length.isdigit():
            _within(int(length))

    async def receive(self) -> Message:
        """The next message; TooLargeError at the limit, whatever the length was said to be,
        InvalidRequestError where the rest of the body does not come.
        """
        if self._read:
            return await self._next()
        try:
            with Deadline(BODY_SECONDS):
                message = await self._next()
        except TimeoutError:
            self._late = True
            raise InvalidRequestError(
                f"Nothing of the body came for {BODY_SECONDS:.0f} s.", hint="Send it whole."
            ) from None
        _within(self._size)
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = self.left or not self.finished
        self._size += len(message.get("body", b""))
        self._read = self._read or not message.get("more_body")
        return message

    async def linger(self) -> None:
        """Take a body that nobody read, where the connection is to be closed after the reply.

        Closed with bytes unread, the kernel resets it, and the client never sees why. A
        connection that is kept is read on by the server.
        """
        if self._read or self._late:
            return
        headers = self.fields
        body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        closing = headers.get(b"connection", b"").lower() == b"close"
        if not body or not closing or b"expect" in headers:
            return
        enough = self._size + _LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._read and self._size < enough:
                    await self._next()

    async def send(self, message: Message) -> None:
        """Send a part of the reply."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._late:
                # What may still come is not read.
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self.finished = True
        await self._send(message)

    def outcome(self) -> int:
        """The status to count: what was sent, 499 where the client left before its end, 500
        where the reply broke off here.
        """
        if self.left:
            return LEFT
        return self.status if self.status is not None and self.finished else 500


def _within(size: int) -> None:
    limit = int(limits.current().max_bytes * _BODY_FACTOR)
    if size > limit:
        raise TooLargeError(
            f"The body has more than {limit:,} bytes.",
            hint="Send less, or raise limits.max_bytes in ogam.toml.",
        )
