"""All protocols as one ASGI application. Knows no vendor: a protocol is a value it is given.

Plain ASGI with a dictionary of exact paths first, because what stands around a request must
cost less than the request; starlette's Request and Response carry what travels.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ogam.errors import EngineError, NotFoundError, OgamError, OverloadedError
from ogam.gateway import caller, ids
from ogam.gateway.caller import Caller
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Key, Keys
from ogam.protocols.serving import Call, Protocol, Route, Socket, SocketCall, raw_path
from ogam.server.exchange import Exchange, Incoming
from ogam.server.metrics import Metrics

_log = logging.getLogger("ogam.server")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ELSEWHERE = "Call it by the name it was started with, or add yours to server.hosts in ogam.toml."


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
    """The ASGI application.

    ``in_flight`` counts the requests and WebSockets of the protocols that are being answered.
    While ``draining``, those go on and new ones are refused as overload is.
    """

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
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._elsewhere = lru_cache(1000)(self._where)
        self._plain = {(one.method, one.path): one.handler for one in plain}
        self._exact: dict[tuple[str, str], list[Served]] = {}
        self._patterns: list[Served] = []
        self._sockets: list[Served] = []
        self.in_flight = 0
        self.draining = False
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
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            if scope["type"] == "websocket":
                await self._websocket(scope, receive, send)
            else:
                await self._http(scope, receive, send)
        except asyncio.CancelledError:
            # The time to finish ran out; a traceback would tell nobody anything.
            if not self.draining:
                raise
            _log.error("%s was cut off, as the server stops.", scope["path"])

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        request = Incoming(scope, exchange.receive)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        plain = self._plain.get((method, scope["path"]))
        if plain is not None:
            foreign = self._foreign(exchange.fields) is not None
            shown = Response("Wrong Host.\n", 403) if foreign else await plain(request)
            await shown(scope, receive, send)
            return
        started = time.perf_counter()
        served, params = self._find(request, method, scope["path"])
        protocol = served.protocol if served else self._speaker(request)
        identity = ids.new()
        call = None
        if served is not None and isinstance(served.route, Route):
            call = Call(
                request,
                gateway=self.gateway,
                protocol=protocol,
                route=served.route,
                params=params,
                request_id=identity,
            )
        self.in_flight += 1
        try:
            try:
                response = await self._answer(request, protocol, call, exchange)
            except OgamError as error:
                if isinstance(error, EngineError):
                    _log.error("%s %s (request %s): %s", method, scope["path"], identity, error)
                response = protocol.failure(error, call)
            _identify(response, protocol, identity)
            await exchange.linger()
            await response(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.left = True
        except OgamError as error:
            # The status is out, so the reply stays unfinished: the client sees it break off.
            _log.error("%s %s broke off (request %s): %s", method, scope["path"], identity, error)
        except Exception as error:
            _log.exception("%s %s failed (request %s)", method, scope["path"], identity)
            if exchange.status is None:
                said = EngineError(f"Something failed here: {type(error).__name__}.")
                response = protocol.failure(said, call)
                _identify(response, protocol, identity)
                await response(scope, exchange.receive, exchange.send)
        finally:
            self.gateway.end_begun()
            await request.close()  # the files of a form
            self.in_flight -= 1
            name = call.route.path if call else "unknown"
            seconds = time.perf_counter() - started
            self.metrics.count(protocol.name, name, exchange.outcome(), seconds)

    async def _answer(
        self, request: Request, protocol: Protocol, call: Call | None, exchange: Exchange
    ) -> Response:
        if (why := self._foreign(exchange.fields)) is not None:
            raise NotFoundError(why, hint=_ELSEWHERE)
        if call is None:
            return self._unknown(protocol, request.scope)
        if not call.route.open:
            call.key = self._keys.check(protocol.key(request), protocol.name)
        trace = exchange.fields.get(b"traceparent", b"").decode("latin-1")
        caller.bind(Caller(key=call.key, protocol=protocol.name, request=call.id, trace=trace))
        if self.draining:
            raise OverloadedError("The server is stopping.", retry_after=2)
        exchange.check_length()
        return await call.route.handler(call)

    def _find(
        self, request: Request, method: str, path: str
    ) -> tuple[Served | None, Mapping[str, str]]:
        found = self._exact.get((method, path))
        if found:
            if len(found) == 1:
                return found[0], {}
            return next((one for one in found if one.protocol.speaks(request)), found[0]), {}
        # The path as it travelled: %2F inside a name is not a slash.
        raw = raw_path(request.scope)
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

    def _unknown(self, protocol: Protocol, scope: Scope) -> Response:
        method, path = scope["method"], scope["path"]
        allowed = sorted(
            {key[0] for key in (*self._exact, *self._plain) if key[1] == path}
            | {
                one.route.method
                for one in self._patterns
                if isinstance(one.route, Route) and one.pattern.fullmatch(raw_path(scope))
            }
        )
        if not allowed:
            raise NotFoundError(
                f"There is nothing at {method} {path[:200]}.", hint="GET /openapi.json lists all."
            )
        error = NotFoundError(f"{path[:200]} takes {' or '.join(allowed)}, not {method}.")
        response = protocol.failure(error, None)
        # No vendor's table of errors has a 405; each one's SDK goes by the status line.
        response.status_code = 405
        response.headers["allow"] = ", ".join(allowed)
        return response

    def _foreign(self, fields: Mapping[bytes, bytes]) -> str | None:
        """Why a request must not be answered at all: a page elsewhere sent it."""
        return self._elsewhere(fields.get(b"host", b""), fields.get(b"origin"))

    def _where(self, host_field: bytes, origin_field: bytes | None) -> str | None:
        host = host_field.decode("latin-1")
        origin = origin_field and origin_field.decode("latin-1")
        try:
            name = urlsplit(f"//{host}").hostname if host else None
            theirs = urlsplit(origin).netloc if origin else None
        except ValueError:
            return "The Host or Origin is no address."
        if self._hosts is not None and name is not None and name not in self._hosts:
            return f"This server is not called {name}."
        if theirs is not None and theirs != host:
            return f"Pages of {origin} may not call this server."
        return None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        for served in self._sockets:
            match = served.pattern.fullmatch(raw_path(scope))
            if match and isinstance(served.route, Socket):
                break
        else:
            await socket.close(4404)
            return
        request = Request({**scope, "type": "http", "method": "GET"}, receive)
        if self._foreign(dict(scope["headers"])) is not None:
            await socket.close(4403)
            return
        identity = ids.new()
        started = time.perf_counter()
        self.in_flight += 1
        try:
            if self.draining:
                raise OverloadedError("The server is stopping.", retry_after=2)
            shown = served.protocol.key(request)
            asks = Caller(protocol=served.protocol.name, request=identity)

            def admit(key: str | None) -> Key:
                asks.key = self._keys.check(key, served.protocol.name)
                return asks.key

            call = SocketCall(
                socket=socket,
                gateway=self.gateway,
                protocol=served.protocol,
                params={key: unquote(part) for key, part in match.groupdict().items()},
                id=identity,
                key=None if served.route.open else admit(shown),
                shown=shown,
                admit=admit,
            )
            caller.bind(asks)
            await served.route.handler(call)
        except OgamError as error:
            with suppress(WebSocketDisconnect, RuntimeError):
                if socket.application_state is WebSocketState.CONNECTING:
                    await socket.accept()
                code = 1013 if isinstance(error, OverloadedError) else 1008
                await socket.close(code, str(error)[:120])
        except WebSocketDisconnect:
            return
        except Exception:
            _log.exception("socket %s failed (request %s)", scope["path"], identity)
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.close(1011)
        finally:
            self.in_flight -= 1
            self.metrics.count(
                served.protocol.name, served.route.path, 101, time.perf_counter() - started
            )


def _identify(response: Response, protocol: Protocol, identity: str) -> None:
    """Say which request it answers, and whether from the cache."""
    response.raw_headers.append((protocol.request_id_header.lower().encode(), identity.encode()))
    if cached := caller.current().cached:
        response.raw_headers.append((b"x-ogam-cache", cached.encode()))


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
