"""Requests to one origin."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl as tls
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from functools import lru_cache
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from ogam.errors import ConfigurationError, InvalidRequestError, VendorError
from ogam.net import headers as fields
from ogam.net import loops, proxies
from ogam.net.connecting import Way, trusted, written
from ogam.net.connection import Connection
from ogam.net.headers import Headers
from ogam.net.pool import Pool

Body = bytes | AsyncIterable[bytes]
Fields = Sequence[tuple[str, str]]
_Upload = AsyncGenerator[bytes | memoryview, None]

_METHOD = re.compile(r"[A-Z]{1,20}")
_PATH = re.compile(r"([/?][!\"$-~]*)?")  # what may stand in a request's first line
# Servers resolve them: a name out of a request that is ".." would lead elsewhere.
_DOTS = re.compile(r"[^?]*/(\.|%2e){1,2}([/?]|$)", re.IGNORECASE)
_HOST = re.compile(r"[0-9A-Za-z._:-]+")
_SMALL = 65_536  # bytes of a body that leave in one write with the head
_SLICE = 262_144  # of a longer one


class Reply(msgspec.Struct, frozen=True):
    """A whole answer, of any status: what a 404 means is the caller's to say."""

    status: int
    headers: Headers
    body: bytes


class Client:
    """One origin, and the path that all of its requests begin with.

    It keeps up to ``connections`` connections and uses them again; who finds them all in use
    waits in turn. ``connect_timeout`` (seconds) bounds the making of one. ``ssl`` takes the place
    of the machine's own authorities. It belongs to the event loop that first uses it, and to
    another once that one is closed. ConfigurationError for a ``url`` that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 100,
        connect_timeout: float = 5.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self._secure, self._host, self._port, self._prefix = _origin(url)
        self._limit, self._connect_timeout, self._ssl = connections, connect_timeout, ssl
        self._proxy = proxies.find("https" if self._secure else "http", self._host, self._port)
        usual = self._port == (443 if self._secure else 80)
        where = written(self._host, self._port)
        named = where.rpartition(":")[0] if usual else where
        self._start = f" HTTP/1.1\r\nhost: {named}\r\n".encode()
        if self._proxy is not None and not self._secure:
            self._prefix = f"http://{where}{self._prefix}"
            self._start += self._proxy.authorization
        # A vendor's fields are the same from call to call.
        self._lines = lru_cache(maxsize=64)(fields.lines)
        self._pool: Pool | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Fields = (),
        body: Body = b"",
        timeout: float | None = None,  # noqa: ASYNC109 - it is told apart: sent or not
        max_bytes: int | None = 256_000_000,
    ) -> Reply:
        """Ask, and read the whole answer, of at most ``max_bytes``.

        ``timeout`` bounds all of it in seconds, from the wait for a connection to the last byte.
        A body that comes by and by is closed when it is no longer wanted.
        """
        head, rest = self.message(method, path, headers, body)
        pool = self.pool()
        deadline = None if timeout is None else pool.loop.time() + timeout
        connection = pool.ready() or await pool.lend(deadline, timeout)
        alarm = _alarm(pool.loop, connection, deadline, timeout)
        upload: asyncio.Task[None] | None = None
        try:
            connection.start(head, head_only=method == "HEAD", limit=max_bytes)
            if rest is not None:
                upload = pool.loop.create_task(_send(connection, rest, body))
            data = await connection.body()
            return Reply(connection.status, connection.headers(), data)
        finally:
            if alarm is not None:
                alarm.cancel()
            await _finish(pool, connection, upload) if upload else pool.take_back(connection)

    def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Fields = (),
        body: Body = b"",
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> Streamed:
        """Ask, and read the answer as it comes: ``async with client.stream(...) as answer``.

        ``timeout`` bounds the wait for the head, and then that for each chunk. Who leaves before
        the end ends the connection.
        """
        message = self.message(method, path, headers, body)
        return Streamed(self, message, body, method == "HEAD", timeout=timeout, limit=max_bytes)

    def close(self) -> None:
        """End every connection. From any thread, also once the loop is closed, and once more."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is pool.loop:
            pool.shut()
        else:
            with contextlib.suppress(RuntimeError):  # closed, and the connections before it
                pool.loop.call_soon_threadsafe(pool.shut)

    def pool(self) -> Pool:
        """The connections, in the loop that asks. RuntimeError where they are another's."""
        loop = loops.running()
        pool = self._pool
        if pool is not None and pool.loop is loop:
            return pool
        if self._closed:
            where = written(self._host, self._port)
            raise VendorError(f"The connections to {where} were closed.", sent=False)
        if pool is not None and not pool.loop.is_closed():
            raise RuntimeError("This client belongs to another event loop.")
        way = Way(
            loop,
            self._host,
            self._port,
            context=(self._ssl or trusted()) if self._secure else None,
            proxy=self._proxy,
            timeout=self._connect_timeout,
        )
        self._pool = pool = Pool(loop, way, self._limit)
        return pool

    def message(
        self, method: str, path: str, given: Fields, body: Body
    ) -> tuple[bytes, _Upload | None]:
        """The head, with the body where that is small; else what is to be sent after the head.

        InvalidRequestError for what would be another request than the caller meant.
        """
        head = _asked(method, self._prefix, path) + self._start + self._lines(tuple(given))
        if not isinstance(body, bytes):
            return head + b"transfer-encoding: chunked\r\n\r\n", _chunked(body)
        if not body and method in ("GET", "HEAD", "DELETE"):
            return head + b"\r\n", None
        head = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        return (head + body, None) if len(body) <= _SMALL else (head, _sliced(body))


class Streamed:
    """An answer that is read as it comes. Iterating gives its chunks, each of at least a byte."""

    status: int
    headers: Headers

    def __init__(
        self,
        client: Client,
        message: tuple[bytes, _Upload | None],
        body: Body,
        head_only: bool,
        *,
        timeout: float | None,
        limit: int | None,
    ) -> None:
        self._client, self._message, self._body = client, message, body
        self._head_only, self._timeout, self._limit = head_only, timeout, limit
        self._connection: Connection | None = None
        self._upload: asyncio.Task[None] | None = None
        # When the chunk that is waited for is late; the alarm is set anew only once it rings.
        self._late: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Streamed:
        self._pool = pool = self._client.pool()
        head, rest = self._message
        seconds = self._timeout
        deadline = None if seconds is None else pool.loop.time() + seconds
        connection = pool.ready() or await pool.lend(deadline, seconds)
        self._connection = connection
        alarm = _alarm(pool.loop, connection, deadline, seconds)
        try:
            connection.start(head, streaming=True, head_only=self._head_only, limit=self._limit)
            if rest is not None:
                self._upload = pool.loop.create_task(_send(connection, rest, self._body))
            await connection.answered()
        except BaseException:
            await self.__aexit__()
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        self.status, self.headers = connection.status, connection.headers()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        connection, self._connection = self._connection, None
        if self._alarm is not None:
            self._alarm.cancel()
        if connection is not None:
            await _finish(self._pool, connection, self._upload)

    def _ring(self) -> None:
        self._alarm, late, connection = None, self._late, self._connection
        if late is None or connection is None:
            return
        loop = self._pool.loop
        if loop.time() < late:
            self._alarm = loop.call_at(late, self._ring)
        else:
            connection.expire(self._timeout or 0.0)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        connection, seconds = self._connection, self._timeout
        if connection is None:
            raise StopAsyncIteration
        if seconds is not None and connection.waiting:
            loop = self._pool.loop
            self._late = loop.time() + seconds
            if self._alarm is None:
                self._alarm = loop.call_later(seconds, self._ring)
        try:
            data = await connection.chunk()
        finally:
            self._late = None
        if not data:
            raise StopAsyncIteration
        return data

    async def read(self) -> bytes:
        """All that is left."""
        return b"".join([chunk async for chunk in self])


def _origin(url: str) -> tuple[bool, str, int, str]:
    """Whether it is https, its host, port, and path without a slash at its end."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    path = parts.path.rstrip("/")
    plain = not (parts.query or parts.fragment or "@" in parts.netloc) and _PATH.fullmatch(path)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or not plain:
        raise ConfigurationError(
            "The address of a vendor must be http:// or https://, a host, and at most a path.",
            hint="A key does not belong in it.",
        )
    secure = parts.scheme == "https"
    return secure, host, port or (443 if secure else 80), path


@lru_cache(maxsize=64)
def _asked(method: str, prefix: str, path: str) -> bytes:
    if not _METHOD.fullmatch(method):
        raise InvalidRequestError(f"{method[:100]!r} is no HTTP method.")
    if not _PATH.fullmatch(path) or _DOTS.match(path):
        raise InvalidRequestError(f"{path[:100]!r} is no path of a URL.")
    path = prefix + path
    if path[:1] != "/" and not path.startswith("http:"):
        path = f"/{path}"
    return f"{method} {path}".encode()


def _alarm(
    loop: asyncio.AbstractEventLoop,
    connection: Connection,
    deadline: float | None,
    seconds: float | None,
) -> asyncio.TimerHandle | None:
    if deadline is None or seconds is None:
        return None
    return loop.call_at(deadline, connection.expire, seconds)


async def _send(connection: Connection, message: _Upload, body: Body) -> None:
    """Send a body that is long, or comes by and by. In a task of its own, for the answer may come
    before its end.
    """
    connection.uploading = True
    try:
        async with aclosing(message):
            async for data in message:
                if not await connection.write(data):
                    return
        connection.uploading = False
    except Exception as error:
        connection.fail(error)
    finally:
        if connection.uploading:
            connection.fail(VendorError(f"The request to {connection.where} was not sent whole."))
        if (aclose := getattr(body, "aclose", None)) is not None:
            await aclose()


async def _finish(pool: Pool, connection: Connection, upload: asyncio.Task[None] | None) -> None:
    try:
        if upload is not None:
            upload.cancel()
            await asyncio.wait((upload,))
    finally:
        pool.take_back(connection)


async def _sliced(body: bytes) -> _Upload:
    view = memoryview(body)
    for start in range(0, len(body), _SLICE):
        yield view[start : start + _SLICE]


async def _chunked(body: AsyncIterable[bytes]) -> _Upload:
    async for data in body:
        if data:
            yield b"%x\r\n%b\r\n" % (len(data), data)
    yield b"0\r\n\r\n"
