"""A vendor that says what it was told to say, slowly where told, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec


class Asked(NamedTuple):
    """A request as it came; the names of ``headers`` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return msgspec.json.decode(self.body)


class Scripted(NamedTuple):
    """Where it listens, and what it was asked so far."""

    url: str
    asked: list[Asked]


def answer(status: int, body: object = b"", **headers: str) -> bytes:
    """A whole answer; what is not bytes is written as JSON."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    fields = {"content-length": str(len(data)), "connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data


@asynccontextmanager
async def scripted(*answers: bytes | Sequence[bytes | float]) -> AsyncGenerator[Scripted]:
    """Each request gets the next of ``answers``: bytes, or pieces of them and pauses in seconds.

    After its answer a connection ends. A request too many is answered with 418.
    """
    asked: list[Asked] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = head[0].split(" ")
            asked.append(Asked(method, path, headers, body))
            said = answers[len(asked) - 1] if len(asked) <= len(answers) else answer(418)
            for piece in [said] if isinstance(said, bytes) else said:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Scripted(f"http://127.0.0.1:{port}", asked)
    finally:
        server.close()
