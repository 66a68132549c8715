"""A vendor that answers what a test tells it to, byte for byte, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from ogam.net import Client

T = TypeVar("T")
_clients: list[Client] = []


def connected(url: str) -> Client:
    """A client that :func:`run` closes."""
    _clients.append(Client(url))
    return _clients[-1]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in a loop of its own, and close what it connected before the loop goes."""

    async def whole() -> T:
        try:
            return await work
        finally:
            while _clients:
                _clients.pop().close()
            await asyncio.sleep(0)

    return asyncio.run(whole())


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Scripted(NamedTuple):
    """Where the vendor is, and what it was asked, in order."""

    url: str
    asked: list[Asked]


def answer(body: Any = b"", status: int = 200, headers: str = "", cut: int | None = None) -> bytes:
    """A reply as bytes; ``cut`` leaves out the last so many of its body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\nConnection: close\r\n{headers}"
    return head.encode() + b"\r\n" + (data[:-cut] if cut else data)


def failure(status: int, name: str, message: str, *details: dict[str, Any]) -> bytes:
    """An error in Google's shape."""
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return answer({"error": error}, status)


@asynccontextmanager
async def scripted(*replies: bytes | Callable[[Asked], bytes]) -> AsyncGenerator[Scripted]:
    """Answers with each reply in turn, and with the last one again."""
    asked: list[Asked] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await one(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        method, path, _ = first.split()
        headers = {
            name.lower(): value for name, _, value in (one.partition(": ") for one in lines if one)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked.append(Asked(method, path, headers, body))
        reply = replies[min(len(asked), len(replies)) - 1]
        writer.write(reply if isinstance(reply, bytes) else reply(asked[-1]))
        await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Scripted(f"http://127.0.0.1:{port}", asked)
    await asyncio.gather(*serving, return_exceptions=True)
