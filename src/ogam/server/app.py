"""All protocols as one ASGI application. Knows no vendor: a protocol is a value it is given.

Plain ASGI with a dictionary of exact paths first, because what stands around a request must
cost less than the request; starlette's Request and Response carry what travels.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ogam.errors import EngineError, NotFoundError, OgamError, TooLargeError
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys
from ogam.media import limits
from ogam.protocols.serving import Call, Protocol, Route, Socket, SocketCall
from ogam.server.metrics import Metrics

_log = logging.getLogger("ogam.server")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Beyond the media itself: base64 adds a third, JSON and form parts a little.
_BODY_FACTOR = 1.4


class Plain(NamedTuple):
    """A page of the server's own, such as /healthz: no key, no protocol."""

    path: str
    handler: Callable[[Request], Awaitable[Response]]
    method: str = "GET"


class Served(NamedTuple):
    """A route or socket with the protocol it belongs to, and its path as a pattern."""

    protocol: Protocol
    route: Route | Socket
    pattern: re.Pattern[str]


class App:
    """The ASGI application. ``draining`` refuses nothing yet tells /readyz to say so."""

    def __init__(
        self,
        gateway: Gateway,
        protocols: Sequence[Protocol],
        *,
        keys: Keys,
        plain: Sequence[Plain] = (),
        hosts: Sequence[str] | None = _LOOPBACK,
        metrics: Metrics | None = None,
    ) -> None:
        self.gateway, self.protocols, self._keys = gateway, tuple(protocols), keys
        self.metrics = metrics or Metrics()
        # None: every Host is taken. On loopback a page in a browser must not reach us under a
        # name of its own (DNS rebinding).
        self._hosts = None if hosts is None else frozenset(hosts)
        self._plain = {(one.method, one.path): one.handler for one in plain}
        self._exact: dict[tuple[str, str], list[Served]] = {}
        self._patterns: list[Served] = []
        self._sockets: list[Served] = []
        self.in_flight = 0
        for protocol in protocols:
            for route in protocol.routes:
                served = Served(protocol, route, _pattern(route.path))
                if "{" in route.path:
                    self._patterns.append(served)
                else:
                    self._exact.setdefault((route.method, route.path), []).append(served)
            for socket in protocol.sockets:
                self._sockets.append(Served(protocol, socket, _pattern(socket.path)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, WebSocket or lifespan."""
        if scope["type"] == "http":
            self.in_flight += 1
            try:
                await self._http(scope, receive, send)
            finally:
                self.in_flight -= 1
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, _Bounded(receive).receive)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        plain = self._plain.get((method, scope["path"]))
        if plain is not None:
            if self._foreign(request) is not None:
                await Response("Wrong Host.\n", 403)(scope, receive, send)
                return
            await (await plain(request))(scope, receive, send)
            return
        started = time.perf_counter()
        served, params = self._find(request, method, scope["path"])
        protocol = served.protocol if served else self._speaker(request)
        name = served.route.path if served else "unknown"
        identity = secrets.token_hex(12)
        response: Response
        call: Call | None = None
        try:
            if (why := self._foreign(request)) is not None:
                raise NotFoundError(why, hint="Call the server by the name it was started with.")
            if served is None or not isinstance(served.route, Route):
                raise self._unknown(method, scope["path"])
            call = Call(
                request,
                gateway=self.gateway,
                protocol=protocol,
                route=served.route,
                params=params,
                request_id=identity,
            )
            if not served.route.open:
                call.key = self._keys.check(protocol.key(request))
            response = await served.route.handler(call)
        except OgamError as error:
            response = protocol.failure(error, call)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.exception("%s %s failed (request %s)", method, scope["path"], identity)
            said = EngineError(f"Something failed here: {type(error).__name__}.")
            response = protocol.failure(said, call)
        response.headers[protocol.request_id_header] = identity
        try:
            await response(scope, receive, send)
        except ClientDisconnect:
            return
        except OgamError as error:
            # The status is out, so the reply stays unfinished: the client sees it break off.
            _log.error("%s %s broke off (request %s): %s", method, scope["path"], identity, error)
        finally:
            self.metrics.count(
                protocol.name, name, response.status_code, time.perf_counter() - started
            )

    def _find(
        self, request: Request, method: str, path: str
    ) -> tuple[Served | None, Mapping[str, str]]:
        found = self._exact.get((method, path))
        if found:
            chosen = next((one for one in found if one.protocol.speaks(request)), found[0])
            return chosen, {}
        # The path as it travelled: %2F inside a name is not a slash.
        raw = request.scope.get("raw_path", path.encode()).split(b"?")[0].decode("latin-1")
        hits: list[tuple[Served, dict[str, str]]] = []
        for one in self._patterns:
            match = one.pattern.fullmatch(raw)
            if match and isinstance(one.route, Route) and one.route.method == method:
                hits.append((one, {key: unquote(part) for key, part in match.groupdict().items()}))
        if not hits:
            return None, {}
        return next((hit for hit in hits if hit[0].protocol.speaks(request)), hits[0])

    def _speaker(self, request: Request) -> Protocol:
        return next((one for one in self.protocols if one.speaks(request)), self.protocols[0])

    def _unknown(self, method: str, path: str) -> NotFoundError:
        allowed = sorted(
            {key[0] for key in self._exact if key[1] == path}
            | {
                one.route.method
                for one in self._patterns
                if isinstance(one.route, Route) and one.pattern.fullmatch(path)
            }
        )
        if allowed:
            return NotFoundError(f"{path} takes {' or '.join(allowed)}, not {method}.")
        return NotFoundError(
            f"There is nothing at {method} {path[:200]}.", hint="GET /openapi.json lists all."
        )

    def _foreign(self, request: Request) -> str | None:
        """Why a request must not be answered at all: a page elsewhere sent it."""
        host = request.headers.get("host", "")
        name = urlsplit(f"//{host}").hostname if host else None
        if self._hosts is not None and name is not None and name not in self._hosts:
            return f"This server is not called {name}."
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != host:
            return f"Pages of {origin} may not call this server."
        return None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        for served in self._sockets:
            match = served.pattern.fullmatch(scope["path"])
            if match and isinstance(served.route, Socket):
                break
        else:
            await socket.close(4404)
            return
        request = Request({**scope, "type": "http", "method": "GET"}, receive)
        identity = secrets.token_hex(12)
        started = time.perf_counter()
        try:
            if self._foreign(request) is not None:
                await socket.close(4403)
                return
            shown = served.protocol.key(request)
            call = SocketCall(
                socket=socket,
                gateway=self.gateway,
                protocol=served.protocol,
                params=match.groupdict(),
                id=identity,
                key=None if served.route.open else self._keys.check(shown),
                shown=shown,
                admit=self._keys.check,
            )
        except OgamError as error:
            await socket.accept()
            await socket.close(1008, str(error)[:120])
            return
        try:
            await served.route.handler(call)
        except Exception:
            _log.exception("socket %s failed (request %s)", scope["path"], identity)
            await socket.close(1011)
        finally:
            self.metrics.count(
                served.protocol.name, served.route.path, 101, time.perf_counter() - started
            )


class _Bounded:
    """Receives a body and stops at the limit, whatever its length was said to be."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size = receive, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        limit = int(limits.current().max_bytes * _BODY_FACTOR)
        if self._size > limit:
            raise TooLargeError(
                f"The body has more than {limit:,} bytes.",
                hint="Send less, or raise limits.max_bytes in ogam.toml.",
            )
        return message


def _pattern(path: str) -> re.Pattern[str]:
    parts = (
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{\w+\})", path)
    )
    return re.compile("".join(parts))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def page(path: str, make: Callable[[], Any], media_type: str = "application/json") -> Plain:
    """A page made anew for each request from ``make()``: bytes as they are, all else as JSON."""

    async def handler(_: Request) -> Response:
        value = make()
        content = value if isinstance(value, bytes) else msgspec.json.encode(value)
        return Response(content, media_type=media_type)

    return Plain(path, handler)
