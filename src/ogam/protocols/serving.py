"""What every protocol is served with: routes, one call's state, replies, streams.

Knows no vendor and no server: a :class:`Protocol` is a value that says what it answers, where
its SDK puts the key, and what its errors look like. The server joins several into one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ogam import registry, routes
from ogam.capabilities.base import Capability, Result
from ogam.errors import EngineError, InvalidRequestError, OgamError, UnknownModelError
from ogam.gateway import caller
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.keys import Key
from ogam.net import loops

T = TypeVar("T")
_log = logging.getLogger("ogam.server")
# Who leaves sooner is not noticed before that, in seconds.
_SOON = 0.05
# It warns of every form that cannot be read; the client is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
Handler = Callable[["Call"], Awaitable[Response]]
SocketHandler = Callable[["SocketCall"], Awaitable[None]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a protocol answers. ``path`` may hold ``{names}``, each one part of the path.

    ``body`` and ``reply`` are the wire types of its JSON (a tuple of replies: one of them),
    ``form`` and ``query`` those of the fields of a multipart body, which has also a ``file`` of
    that name, and of a query. ``media`` are the types that it answers in beside JSON, ``status``
    is that of success, ``page`` the vendor's page about it: together they are the OpenAPI
    document. An ``open`` route wants no key.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    page: str = ""
    body: Any = None
    form: Any = None
    file: str = ""
    query: Any = None
    reply: Any = None
    media: tuple[str, ...] = ()
    status: int = 200
    open: bool = False


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket that a protocol answers. The handler of an ``open`` one checks the key itself,
    by ``call.admit``, because it may come in the first message.
    """

    path: str
    handler: SocketHandler
    summary: str
    page: str = ""
    open: bool = False


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor's protocol.

    ``key`` finds the key where this vendor's SDK puts it. ``failure`` is the vendor's reply to
    an error. ``speaks`` tells whether a request comes from this vendor's SDK: it settles who
    answers a path that two protocols have, and in whose shape an unknown path is refused.
    ``vendor_names`` are patterns (fnmatch) of the vendor's own models, which lead to the route
    unless the configuration says otherwise. ``start`` is entered when the server answers and left
    before the gateway is closed: for work that goes on between requests.
    """

    name: str
    routes: tuple[Route, ...]
    key: Callable[[Request], str | None]
    failure: Callable[[OgamError, Call | None], Response]
    speaks: Callable[[Request], bool]
    sockets: tuple[Socket, ...] = ()
    vendor_names: tuple[str, ...] = ()
    request_id_header: str = "x-request-id"
    start: Callable[[Gateway, Protocol], AbstractAsyncContextManager[None]] | None = None


class Call:
    """One request being answered, and all that its handler may ask of the house."""

    def __init__(
        self,
        request: Request,
        *,
        gateway: Gateway,
        protocol: Protocol,
        route: Route,
        params: Mapping[str, str],
        request_id: str,
    ) -> None:
        self.request = request
        self.gateway = gateway
        self.protocol = protocol
        self.route = route
        self.params = params
        self.id = request_id
        self.key: Key | None = None

    async def json(self, kind: type[T]) -> T:
        """The body as ``kind``, a wire type. InvalidRequestError says where it is wrong."""
        return decode(await self.request.body(), kind)

    async def form(self) -> FormData:
        """The parts of a multipart or URL-encoded body. Files are spooled to disk if large."""
        try:
            return await self.request.form()
        except (HTTPException, MultiPartException) as error:
            said = getattr(error, "detail", None) or getattr(error, "message", "")
            raise InvalidRequestError(f"The form cannot be read: {said}") from None

    def model(self, name: str | None) -> Target:
        """Where the name leads that a client gave: None is the capability's route.

        First ``[names]`` of the configuration, then a model of Ogam's own (``espeak/ko``), then
        the vendor's names, which lead to the route. UnknownModelError for any other.
        """
        asks = caller.current()
        if asks.rest is not None:
            return asks.rest
        if not name:
            return None
        asks.asked = name
        names = self.gateway.config.names
        for pattern in (name, *(one for one in names if routes.matches(name, (one,)))):
            if pattern in names:
                return routes.route(names[pattern]) if names[pattern] else None
        if routes.matches(name, self.protocol.vendor_names):
            return None
        try:
            # A folder is the operator's to name, in a route or in [names]; so is a list, whose
            # further names nobody would look at here; so is a vendor: nothing leaves the
            # machine unless a route says so.
            if "," in name or name.partition("/")[2].startswith((".", "/", "~")):
                raise UnknownModelError("Clients name no folders and no lists.")
            if self.gateway.vendor(name) is not None and not self.gateway.routed(name):
                raise UnknownModelError("No route leads there.")
            self.gateway.registry.get(name)
        except OgamError as error:
            raise UnknownModelError(
                f"The model {name!r} does not exist here.",
                hint="GET /v1/models lists what does, and [names] in ogam.toml maps others.",
                param="model",
            ) from error
        return name

    async def answer(
        self,
        capability: Capability,
        request: Any,
        kind: type[Any],
        name: str | None = None,
        *,
        patient: bool = False,
    ) -> Any:
        """Carry out ``request`` on the model that a client's ``name`` leads to.

        With ``patient`` a full queue is waited for, and not an error.
        """
        model = self.model(name)
        work = self.gateway.answer(capability, request, kind, model, patient=patient)
        return await self.while_there(work)

    async def pieces(
        self, capability: Capability, *request: Any, name: str | None = None, live: bool = False
    ) -> AsyncGenerator[Any]:
        """A stream's pieces, the Result last; returns once the first piece is there.

        So what fails before it is an ordinary error reply, in the vendor's own status.
        """
        stream = self.gateway.stream(capability, request, self.model(name), live=live)
        return await self.while_there(begun(stream))

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` until the client leaves, then stop it: an SDK that runs out of patience
        sends again, and nobody waits for the first answer. ClientDisconnect tells that it left.
        """
        return await while_there(self.request.receive, work)

    def streamed_by(self, capability: Capability, name: str | None) -> dict[str, str]:
        """The headers of a stream, whose Result is not there yet: see :func:`answered_by`."""
        model = caller.current().answered
        model = model or self.gateway.models(capability, self.model(name))[0]
        return {"x-ogam-engine": _engine(model), "x-ogam-model": model}


class SocketCall(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket being answered (starlette's, not accepted yet).

    ``shown`` is the key that came with it; ``admit(key)`` checks one, as AuthenticationError.
    """

    socket: Any
    gateway: Gateway
    protocol: Protocol
    params: Mapping[str, str]
    id: str
    key: Key | None
    shown: str | None
    admit: Callable[[str | None], Key]

    model = Call.model


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """See :meth:`Call.while_there`. The body was read, so what is received next is that the client
    has left.
    """
    loop = loops.running()
    task = asyncio.current_task(loop)
    assert task is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher: asyncio.Task[None] | None = None

    def begin() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    # The work stays in this task, and what is done soon is not watched: a task takes 10 µs.
    timer = loop.call_later(_SOON, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if not left:
            raise
        task.uncancel()
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


def raw_path(scope: Scope) -> str:
    """The path as it travelled, percent signs and all."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.split(b"?")[0].decode("latin-1")


def decode(data: bytes, kind: type[T]) -> T:
    """JSON to ``kind``; InvalidRequestError names the field at fault."""
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        param = place.rstrip("`").lstrip(".") or None
        where = f" (at {param})" if param else ""
        raise InvalidRequestError(f"The body is wrong: {said}{where}.", param=param) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            f"The body is not valid JSON: {error}.", hint="Send UTF-8 JSON."
        ) from None


@cache
def _engine(model: str) -> str:
    # A collection's manifest is read once; only names of models that answered come here.
    return registry.parse(model).engine


def answered_by(result: Result | None) -> dict[str, str]:
    """The headers that say which engine and model answered."""
    if result is None:
        return {}
    return {"x-ogam-engine": result.engine, "x-ogam-model": result.model}


def reply(
    value: Any,
    result: Result | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """``value`` as JSON, bytes and str as they stand; ``result`` tells which engine answered."""
    content: bytes | str = value if isinstance(value, bytes | str) else msgspec.json.encode(value)
    every = {**answered_by(result), **(headers or {})}
    return Response(content, status, every, media_type)


class Passed(Response):
    """A vendor's reply as it came: its body, and the fields that stand with it, in lower case."""

    def __init__(self, body: bytes, status: int, fields: Mapping[str, str]) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()
        ]
        if status not in (204, 304):
            self.raw_headers.append((b"content-length", b"%d" % len(body)))


async def begun(stream: AsyncIterator[T]) -> AsyncGenerator[T]:
    """The same stream, once its first piece is there; what fails before it is raised here."""
    source = cast(AsyncGenerator[T], stream)
    try:
        first = await anext(source)
    except StopAsyncIteration:
        raise EngineError("The engine's stream was empty.") from None

    async def rest() -> AsyncGenerator[T]:
        async with aclosing(source):
            yield first
            async for piece in source:
                yield piece

    return rest()


class Stream(StreamingResponse):
    """A reply that comes piece by piece.

    An error in the middle becomes ``broken(error)``, the protocol's own last piece, and the
    pieces' generator is closed when the client leaves.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        *,
        media_type: str,
        broken: Callable[[OgamError], bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(_guarded(pieces, broken), headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it. ClientDisconnect where the client leaves: starlette's group of tasks, which
        watches for that too, takes 60 µs.
        """
        await while_there(receive, self.stream_response(send))


async def _guarded(
    pieces: AsyncGenerator[bytes], broken: Callable[[OgamError], bytes] | None
) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                yield piece
        except OgamError as error:
            if broken is None:
                raise
            yield broken(error)


def event(value: Any, name: str | None = None) -> bytes:
    """A server-sent event with JSON data."""
    data = b"data: " + msgspec.json.encode(value) + b"\n\n"
    return f"event: {name}\n".encode() + data if name else data


class Patient(Response):
    """A JSON reply whose making may take long: from ``after`` seconds on, spaces keep the
    connection alive (JSON allows them in front), for an SDK that would send again.

    What fails before that is ``failed(error)`` with its own status; later the status is out, so
    ``failed``'s body is sent under 200.
    """

    def __init__(
        self,
        work: Awaitable[Response],
        failed: Callable[[OgamError], Response],
        *,
        after: float = 4.0,
    ) -> None:
        super().__init__()
        self._work, self._failed, self._after = work, failed, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the work, then send it."""
        task = asyncio.ensure_future(self._work)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._after)
            # What was put on this reply from outside, such as the request's id, goes out with it.
            own = [one for one in self.raw_headers if one[0] != b"content-length"]
            if done:
                outcome = self._outcome(task)
                outcome.raw_headers += own
                self.status_code = outcome.status_code
                await outcome(scope, receive, send)
                return
            headers = [(b"content-type", b"application/json"), *own]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not done:
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                done, _ = await asyncio.wait({task}, timeout=self._after)
            await send({"type": "http.response.body", "body": self._outcome(task).body})
        finally:
            task.cancel()

    def _outcome(self, task: asyncio.Future[Response]) -> Response:
        try:
            return task.result()
        except OgamError as error:
            return self._failed(error)
        except ClientDisconnect:
            return Response()
        except Exception as error:
            _log.exception("the work of a patient reply failed")
            return self._failed(EngineError(f"Something failed here: {type(error).__name__}."))


def now() -> int:
    """Unix seconds, as replies give their time."""
    return int(time.time())
