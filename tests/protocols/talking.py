"""A vendor that does over a socket what a test tells it to, and Ogam before it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .conftest import KEY, Address, running
from .passed import _asked
from .test_elevenlabs_passing import VENDOR_KEY
from .test_elevenlabs_passing import config as passing_config

Talk = Callable[[ServerConnection], Awaitable[None]]
SOUND = '{ "audio":"AAAA", "new" : [1.0] }'
FINAL = '{"audio":null,"isFinal":true}'
END = '{"text":""}'
HEADERS = {"xi-api-key": KEY}


class Vendor(NamedTuple):
    """Where it listens, how it was called, what it was sent, and how each talk ended."""

    url: str
    requests: list[Any]
    seen: list[str | bytes]
    closed: list[int | None]


@contextmanager
def vendor(talk: Talk, *, status: int = 0) -> Iterator[Vendor]:
    """A vendor in a loop of its own; with ``status`` it opens no socket."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    told = Vendor("", [], [], [])

    async def talked(socket: ServerConnection) -> None:
        async def recv(*given: Any, **more: Any) -> Any:
            told.seen.append(await ServerConnection.recv(socket, *given, **more))
            return told.seen[-1]

        socket.recv = recv  # type: ignore[method-assign]
        with suppress(ConnectionClosed):
            await talk(socket)
        await socket.wait_closed() if socket.close_code else await socket.close()
        told.closed.append(socket.close_code)

    async def asked(socket: ServerConnection, request: Any) -> Any:
        told.requests.append(request)
        said = {"detail": {"status": "said", "message": f"no, {VENDOR_KEY}"}}
        return socket.respond(status, json.dumps(said)) if status else None  # type: ignore[arg-type]

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def begin() -> Any:
        # Packed, all that waits would be nothing.
        more: Any = {"process_request": asked, "close_timeout": 1, "compression": None}
        return await serve(talked, "127.0.0.1", 0, **more)

    async def end() -> None:
        serving.close()
        await serving.wait_closed()

    serving = run(begin())
    port = serving.sockets[0].getsockname()[1]
    try:
        yield told._replace(url=f"http://127.0.0.1:{port}")
    finally:
        run(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def says(*said: str | bytes, code: int = 1000, reason: str = "") -> Talk:
    """All of it once the text has ended; then it closes."""

    async def talk(socket: ServerConnection) -> None:
        while json.loads(await socket.recv()).get("text") != "":
            pass
        for one in said:
            await socket.send(one)
        await socket.close(code, reason)

    return talk


def at_once(*said: str, code: int, reason: str) -> Talk:
    """The same as soon as a message is there."""

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        for one in said:
            await socket.send(one)
        await socket.close(code, reason)

    return talk


@contextmanager
def before(
    tmp_path: Any, talk: Talk, *, speak: Any = None, status: int = 0
) -> Iterator[tuple[Address, Vendor]]:
    """Ogam before such a vendor."""
    with (
        vendor(talk, status=status) as told,
        running(passing_config(told.url, str(tmp_path), speak=speak), grpc=False) as address,
    ):
        yield address, told


def opened(
    address: Address, query: str = "", *, voice: str = "aB3", headers: Any = HEADERS, **more: Any
) -> Any:
    url = address.http.replace("http", "ws")
    path = f"/v1/text-to-speech/{voice}/stream-input{query}"
    return connect(url + path, additional_headers=headers, **more)


def heard(socket: Any) -> tuple[list[Any], int, str]:
    """All that comes, as it comes; the code and reason of the end."""
    found: list[Any] = []
    try:
        while True:
            found.append(socket.recv(timeout=20))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return found, closed.rcvd.code, closed.rcvd.reason


def talked(address: Address, *messages: str | bytes, query: str = "") -> Any:
    """What comes back when these are sent, and Ogam is done with them."""
    with opened(address, query) as socket:
        for one in messages:
            socket.send(one)
        found = heard(socket)
    over(address)
    return found


def over(address: Address) -> None:
    """Wait until nothing is under way, and see that nothing is left behind."""
    until(lambda: not address.server.app.in_flight)

    async def left() -> list[str]:
        return [str(one.get_coro()) for one in asyncio.all_tasks() if "_Talk" in str(one)]

    assert asyncio.run_coroutine_threadsafe(left(), address.loop).result(20) == []


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def rows(address: Address) -> list[Any]:
    return _asked(address, lambda books: books.calls(limit=50))


def text(count: int, letter: str = "a") -> str:
    return json.dumps({"text": letter * count})
