"""One connection: HTTP/1.1, one request at a time, and what may go wrong with it.

On the gateway's hot path: head and small body leave in one write, a reply wakes its reader once,
and there is no task per request. Measured (benchmarks/outgoing.py, uvloop), a request takes 21 to
31 us of computing here, 130 to 157 in aiohttp, and 900 and more in httpx.
Knows neither the pool nor who asks.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Callable
from typing import cast

import httptools

from ogam.errors import VendorError
from ogam.net.headers import Headers

HEAD_LIMIT = 65_536  # bytes of head, of trailers, or of anything else that is no body
_BUFFER = 262_144  # bytes that a slow reader of a stream may leave lying before we stop reading
# Node and uvicorn close theirs after 5 s, most load balancers after 60 and more. One that the
# other side closed is noticed in any case; the limit keeps unused sockets few.
IDLE_SECONDS = 15.0
_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,6})")


class Connection(asyncio.Protocol):
    """``where`` (host:port) is for messages. ``lost`` is told when the connection has ended."""

    __slots__ = (
        "_drained",
        "_ends_with_connection",
        "_head_only",
        "_held",
        "_idle_seconds",
        "_limit",
        "_loop",
        "_lost",
        "_parser",
        "_parts",
        "_paused",
        "_persists",
        "_poll",
        "_quiet",
        "_raw",
        "_size",
        "_streaming",
        "_waiter",
        "alive",
        "busy",
        "done",
        "error",
        "headed",
        "idle_until",
        "status",
        "transport",
        "uploading",
        "where",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, where: str, lost: Callable[[Connection], None]
    ) -> None:
        self._loop, self.where, self._lost = loop, where, lost
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None
        self.alive = self.busy = self.uploading = self._paused = False
        self.idle_until = 0.0
        self._begin(False, False, None)

    def _begin(self, streaming: bool, head_only: bool, limit: int | None) -> None:
        self._streaming, self._head_only, self._limit = streaming, head_only, limit
        self.error: BaseException | None = None
        self.headed = self.done = self._persists = self._ends_with_connection = False
        self.status = self._size = self._held = self._quiet = 0
        self._idle_seconds = IDLE_SECONDS
        self._raw: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    # What its user does

    def start(
        self,
        data: bytes,
        *,
        streaming: bool = False,
        head_only: bool = False,
        limit: int | None = None,
    ) -> None:
        """Send a request, or its head. The caller has seen ``fresh`` since it last awaited."""
        self._begin(streaming, head_only, limit)
        self.busy = True
        self.transport.write(data)

    async def answered(self) -> None:
        """Wait for the head of the answer."""
        while not self.headed:
            if self.error is not None:
                raise self.error
            await self._wait()

    async def body(self) -> bytes:
        """Wait for the whole body."""
        while not self.done:
            if self.error is not None:
                raise self.error
            await self._wait()
        return b"".join(self._parts)  # a lone part is not copied

    @property
    def waiting(self) -> bool:
        """Whether ``chunk`` would have to wait."""
        return not (self._parts or self.done or self.error)

    async def chunk(self) -> bytes:
        """What has come of the body since the last time, at least one byte; none at its end."""
        while not self._parts:
            if self.done:
                return b""
            if self.error is not None:
                raise self.error
            await self._wait()
        data = b"".join(self._parts)
        self._parts, self._held = [], 0
        self._resume()
        return data

    def headers(self) -> Headers:
        """The fields of the answer's head."""
        return Headers(self._raw)

    async def write(self, data: bytes | memoryview) -> bool:
        """Send more of a body, and wait while more is on its way than the line takes.

        False when the connection is no more.
        """
        if self.alive:
            self.transport.write(data)
            if self._drained is not None:
                await self._drained
        return self.alive

    def expire(self, seconds: float) -> None:
        """The time is up."""
        what = "finish its answer" if self.headed else "answer"
        self.fail(VendorError(f"{self.where} did not {what} in {seconds:g} s."))

    def fail(self, error: BaseException) -> None:
        """End the exchange and the connection with it. The first error stands."""
        if not self.done and self.error is None:
            self.error = error
            self._wake()
        self.abort()

    def abort(self) -> None:
        """End the connection, whatever it is about."""
        self.alive = False
        self.transport.abort()

    def release(self) -> bool:
        """The exchange is over. Whether the connection can have another; if not, it is ended."""
        self.busy = False
        self.error = None  # its traceback leads to the request's body
        if self.done and self._persists and self.alive and not self.uploading:
            self._resume()
            self.idle_until = self._loop.time() + self._idle_seconds
            return True
        self.abort()
        return False

    def fresh(self) -> bool:
        """Whether a request may be sent: the other side has neither gone nor spoken unasked.

        Its end may have come since the loop last looked, so the socket is asked.
        """
        if not self.alive or self._loop.time() >= self.idle_until:
            return False
        return self._poll is None or not self._poll.poll(0)

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open, and TLS is agreed upon."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self.alive = True
        self.idle_until = self._loop.time() + IDLE_SECONDS
        socket = transport.get_extra_info("socket")
        if socket is not None and hasattr(select, "poll"):  # Windows has none
            self._poll = select.poll()
            self._poll.register(socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the ``on_`` methods below."""
        if not self.busy or self.done:
            self.abort()  # nobody asked
            return
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(VendorError(f"{self.where} changed to another protocol unasked."))
        except httptools.HttpParserError:
            self._persists = False  # where it follows a whole answer, that one stands
            self.fail(VendorError(f"{self.where} answered with something that is not HTTP."))
        if self._quiet > HEAD_LIMIT and not self.done:
            self._too_much_head()

    def eof_received(self) -> None:
        """The other side sends no more; whether that is the end of a body or of its patience."""
        self.alive = False
        if self._ends_with_connection and self.error is None:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is given
        """Nothing can be sent or come any more."""
        self.alive = False
        self.resume_writing()
        if self.busy and not self.done and self.error is None:
            when = "in the middle of its answer" if self.headed else "before it answered"
            self.error = VendorError(f"{self.where} closed the connection {when}.")
            self._wake()
        self._lost(self)

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has been sent, or never will be."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # What the parser tells

    def on_message_begin(self) -> None:
        """An answer begins: one too many, if the last is whole."""
        if self.done:
            self._persists = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, or one trailer, which nobody asked for."""
        if not self.headed:
            self._raw.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole. One of 1xx announces another."""
        status = self._parser.get_status_code()
        if status < 200 or self.headed or self.error is not None:
            return
        fields = dict(self._raw)
        length = fields.get(b"content-length")
        coding = fields.get(b"transfer-encoding", b"").lower()
        packed = fields.get(b"content-encoding", b"").lower()
        if sum([len(name) + len(value) for name, value in self._raw]) > HEAD_LIMIT:
            self._too_much_head()
        elif coding not in (b"", b"chunked"):
            self._unreadable("transfer-encoding", coding)
        elif packed not in (b"", b"identity"):
            self._unreadable("content-encoding", packed)
        elif (
            length and self._limit is not None and not self._head_only and int(length) > self._limit
        ):
            self._too_long()
        else:
            self.headed, self.status, self._quiet = True, status, 0
            if kept := _KEEP_ALIVE.search(fields.get(b"keep-alive", b"")):
                self._idle_seconds = min(IDLE_SECONDS, int(kept[1]) - 1.0)
            if self._head_only:
                self._finish()  # and its connection with it: the parser waits for a body
                return
            self._ends_with_connection = not (length or coding or status in (204, 304))
            if self._streaming:
                self._wake()

    def on_body(self, data: bytes) -> None:
        """Some of the body."""
        if self.done or self.error is not None:
            return
        self._quiet = 0
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self._too_long()
            return
        self._parts.append(data)
        if self._streaming:
            self._wake()
            self._held += len(data)
            if self._held > _BUFFER and not self._paused:
                self._paused = True
                self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """The end of the body, or of a head of 1xx."""
        if not self.headed:
            self._raw = []
        elif not self.done and self.error is None:
            self._persists = self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        self.done = True
        self._wake()

    def _too_much_head(self) -> None:
        self.fail(VendorError(f"{self.where} answered with over {HEAD_LIMIT:,} bytes of headers."))

    def _too_long(self) -> None:
        self.fail(VendorError(f"{self.where} answered with more than {self._limit:,} bytes."))

    def _unreadable(self, field: str, value: bytes) -> None:
        text = ascii(value[:40].decode("latin-1"))
        self.fail(VendorError(f"{self.where} answered in a {field} nobody asked for: {text}."))
