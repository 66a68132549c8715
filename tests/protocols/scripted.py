"""A vendor that says what a test tells it to, byte for byte, slowly where told, and keeps what it
was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

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
    """A request as it came; the names of ``headers`` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return msgspec.json.decode(self.body)


# All at once, in pieces and pauses in seconds, or as the request says.
Said = bytes | Sequence[bytes | float] | Callable[[Asked], bytes]


class Scripted(NamedTuple):
    """Where it listens, and what it was asked so far."""

    url: str
    asked: list[Asked]


def answer(status: int, body: object = b"", *, cut: int = 0, **headers: str) -> bytes:
    """A whole answer; what is not bytes is written as JSON. ``cut`` leaves out the last so many
    bytes of its body.
    """
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    fields = {"content-length": str(len(data)), "connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data[: len(data) - cut]


def failure(status: int, name: str, message: str, *details: dict[str, Any]) -> bytes:
    """An error in Google's shape."""
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return answer(status, {"error": error})


@asynccontextmanager
async def scripted(*answers: Said, again: bool = False) -> AsyncGenerator[Scripted]:
    """Each request gets the next of ``answers``, after which its connection ends.

    A request too many is answered with 418, or ``again`` with the last of them.
    """
    asked: list[Asked] = []
    serving: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        asked.append(Asked(method, path, headers, body))
        at = min(len(asked), len(answers)) if again else len(asked)
        said = answers[at - 1] if at <= len(answers) else answer(418)
        if callable(said):
            said = said(asked[-1])
        for piece in [said] if isinstance(said, bytes) else said:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            # Whoever asked may have gone, and who waits may be told to stop.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await one(reader, writer)
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Scripted(f"http://127.0.0.1:{port}", asked)
    finally:
        server.close()
        left = [*serving]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
