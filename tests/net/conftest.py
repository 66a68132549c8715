"""Servers that say exactly what a test has written, over real sockets, and both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import pytest

from ogam import net

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Peer:
    """One connection, seen from the server."""

    def __init__(self, reader, writer, requests):
        self.reader, self.writer, self._requests = reader, writer, requests

    async def request(self):
        """The next request, head and body, as it came."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        parts = []
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                parts.append(await self.reader.readexactly(int(line.partition(b":")[2])))
            elif line == b"transfer-encoding: chunked":
                size = 1
                while size:
                    size = int(await self.reader.readuntil(b"\r\n"), 16)
                    parts.append((await self.reader.readexactly(size + 2))[:-2])
        body = b"".join(parts)
        self._requests.append((head, body))
        return head, body

    async def say(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self):
        """Wait until the client has gone."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self):
        self.writer.transport.abort()


class Server:
    def __init__(self):
        self.connections, self.requests, self.url, self.port = 0, [], "", 0


@contextlib.asynccontextmanager
async def serving(script, *, ssl=None):
    """A server that runs ``script(peer)`` on each connection, and closes it after."""
    server, tasks = Server(), set()

    async def one(reader, writer):
        server.connections += 1
        tasks.add(asyncio.current_task())
        try:
            await script(Peer(reader, writer, server.requests))
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await writer.wait_closed()

    listener = await asyncio.start_server(one, "127.0.0.1", 0, ssl=ssl, limit=1 << 22)
    server.port = listener.sockets[0].getsockname()[1]
    host = "localhost" if ssl else "127.0.0.1"
    server.url = f"{'https' if ssl else 'http'}://{host}:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def serve() -> Callable:
    return serving


def ok(body=b"ok", *more):
    fields = b"".join(b"%b\r\n" % one for one in more)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), fields, body)


@pytest.fixture(name="ok")
def _ok() -> Callable:
    return ok


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Callable:
    """Runs a coroutine function to its end, as the server does and as a script does."""
    if request.param == "uvloop" and sys.platform == "win32":
        pytest.skip("Windows has no uvloop")

    def run(main, *arguments):
        factory = None
        if request.param == "uvloop":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main(*arguments))

    return run


@pytest.fixture
def say(run, serve) -> Callable:
    """The answer to one request, or the error, where the server says ``pieces`` and hangs up."""

    def said(*pieces, method="GET", body=b"", linger=False, **options):
        async def script(peer):
            await peer.request()
            for piece in pieces:
                await peer.say(piece)
                await asyncio.sleep(0)
            if linger:
                await peer.closed()

        async def main():
            async with serve(script) as server, contextlib.AsyncExitStack() as stack:
                client = net.Client(server.url)
                stack.callback(client.close)
                return await client.request(method, "/", body=body, **({"timeout": 20} | options))

        return run(main)

    return said


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
