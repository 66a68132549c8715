"""Starts and stops everything that listens: HTTP, HTTPS, gRPC, gRPC over TLS.

Knows which protocols there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import ipaddress
import logging
import socket
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import uvicorn

from ogam.config import Config
from ogam.errors import ConfigurationError
from ogam.extras import needs
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys
from ogam.media import limits
from ogam.protocols.serving import Protocol
from ogam.server import accounts, console, openapi
from ogam.server.app import App, Plain, page
from ogam.server.gathering import Http
from ogam.server.metrics import Metrics
from ogam.server.telemetry import Traces, logged
from ogam.server.tls import Authority

PROTOCOLS = ("openai", "elevenlabs", "deepl", "google_vision", "google_speech")
# Those that are spoken over gRPC too; each has a module ``grpc`` with ``services``.
GRPC = ("google_vision", "google_speech")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# How long requests in flight may take to end once the server is told to stop, in seconds.
GRACE = 20.0


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server really listens: 0 in the settings means any free port. None: it does not."""

    http: int
    grpc: int | None = None
    https: int | None = None
    grpc_tls: int | None = None


def loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    if host.lower() in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def protocols() -> list[Protocol]:
    """Every protocol, in the order in which they answer a path that two of them have."""
    return [importlib.import_module(f"ogam.protocols.{name}.routes").PROTOCOL for name in PROTOCOLS]


class Server:
    """One server. ``start`` returns once it answers; ``stop`` once all in flight has ended."""

    def __init__(self, config: Config, *, grpc: bool = True, tls: Authority | None = None) -> None:
        self.config, self._want_grpc, self._tls = config, grpc, tls
        own = config.server
        keys = Keys(own.keys)
        if not own.keys and not loopback(own.host):
            raise ConfigurationError(
                f"Without a key, the server answers on this machine only, not on {own.host}.",
                hint="Give one: ogam serve --key KEY, or server.keys in ogam.toml.",
            )
        _check(config)
        limits.use(config.limits)
        self.gateway = Gateway(config, queue=own.queue, keys=keys)
        self.ready = False
        self._keys = keys
        self._metrics = Metrics(self.gateway.named, self.gateway.spending.status)
        self._traces = Traces(config.telemetry.traces) if config.telemetry.traces else None
        observers = self.gateway.spending.observers
        observers.append(self._metrics.call)
        if config.telemetry.log:
            observers.append(logged(config.telemetry.log))
        if self._traces is not None:
            observers.append(self._traces.call)
        found = protocols()
        self.app = App(
            self.gateway,
            found,
            keys=keys,
            plain=self._plain(found),
            hosts=(*_LOOPBACK, own.host, *own.hosts) if loopback(own.host) else None,
            metrics=self._metrics,
        )
        self._uvicorns: list[tuple[_Uvicorn, asyncio.Task[None]]] = []
        self._grpc: list[Any] = []
        self._started = contextlib.AsyncExitStack()

    @property
    def wants_key(self) -> bool:
        """Whether callers must show a key."""
        return bool(self._keys)

    def _plain(self, found: Sequence[Protocol]) -> list[Plain]:
        document = openapi.document(found, accounts.PATHS)
        return [
            page("/healthz", lambda: {"status": "ok"}),
            self._readiness(),
            page(
                "/metrics",
                self._metrics.text,
                "text/plain; version=0.0.4; charset=utf-8",
            ),
            page("/openapi.json", lambda: document),
            *accounts.pages(self.gateway, self._keys),
            *console.pages(self.config, self._keys, lambda: self.ready),
        ]

    def _readiness(self) -> Plain:
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response

        async def handler(_: Request) -> Response:
            return JSONResponse({"ready": self.ready}, 200 if self.ready else 503)

        return Plain("/readyz", handler)

    async def start(self) -> Ports:
        """Listen. ConfigurationError where a port is taken."""
        own = self.config.server
        # First of all, so that nobody is let in whom the ledger's keys would refuse.
        await self._keys.open(await self.gateway.spending.open())
        http = await self._listen(own.host, own.port, None)
        https = None
        if self._tls is not None:
            https = await self._listen(own.host, own.tls_port, self._tls)
        plain = secure = None
        if self._want_grpc:
            plain = await self._listen_grpc(own.host, own.grpc_port, None)
            if self._tls is not None:
                secure = await self._listen_grpc(own.host, own.grpc_tls_port, self._tls)
        for protocol in self.app.protocols:
            if protocol.start is not None:
                await self._started.enter_async_context(protocol.start(self.gateway, protocol))
        self.ready = True
        return Ports(http=http, grpc=plain, https=https, grpc_tls=secure)

    async def _listen(self, host: str, port: int, tls: Authority | None) -> int:
        listener = _bind(host, port)
        settings = uvicorn.Config(
            self.app,
            log_level="error",  # below that it tells of each malformed request
            access_log=False,
            proxy_headers=False,  # who the client is nobody asks
            lifespan="off",
            server_header=False,
            http=Http,
            timeout_graceful_shutdown=1,  # `stop` has waited before
            ws="websockets-sansio",
            ssl_certfile=tls and str(tls.certificate),
            ssl_keyfile=tls and str(tls.key),
        )
        logging.getLogger("uvicorn.error").addFilter(_worth_telling)
        server = _Uvicorn(settings)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        self._uvicorns.append((server, task))
        while not server.started:
            if task.done():
                await task
                raise ConfigurationError(f"Port {port} does not open.")
            await asyncio.sleep(0.005)
        return int(listener.getsockname()[1])

    async def _listen_grpc(self, host: str, port: int, tls: Authority | None) -> int:
        with needs("grpc"):
            from grpc import aio, ssl_server_credentials
        server: Any = aio.server(
            options=[
                # Vision's own limit on a request is 41,943,040 bytes.
                ("grpc.max_receive_message_length", limits.current().max_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ]
        )
        for name in GRPC:
            module = importlib.import_module(f"ogam.protocols.{name}.grpc")
            server.add_generic_rpc_handlers(tuple(module.services(self.gateway, self._keys)))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                bound = server.add_insecure_port(address)
            else:
                pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
                bound = server.add_secure_port(address, ssl_server_credentials([pair]))
        except RuntimeError:
            raise _taken(port) from None
        await server.start()
        self._grpc.append(server)
        return int(bound)

    async def stop(self) -> None:
        """Let what is in flight end, for GRACE seconds at most, and close the engines.

        Until then the ports stay open: /readyz says 503, and new requests are told to come
        again later.
        """
        self.ready = False
        self.app.draining = True
        calls = [asyncio.ensure_future(one.stop(GRACE)) for one in self._grpc]
        end = time.monotonic() + GRACE
        # Looked at now and then: a request should not have to pay for an event.
        while self.app.in_flight and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for server, _ in self._uvicorns:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in self._uvicorns), *calls)
        await self._started.aclose()
        await self._keys.close()
        await self.gateway.aclose()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: one of ours stops all servers together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def _worth_telling(record: logging.LogRecord) -> bool:
    """A client's text that is no UTF-8 closes its WebSocket with 1007; no traceback for that."""
    return not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError))


def _check(config: Config) -> None:
    own = config.server
    for name in ("port", "grpc_port", "tls_port", "grpc_tls_port"):
        if not 0 <= getattr(own, name) <= 65535:
            raise ConfigurationError(f"server.{name} must be from 0 to 65535.")
    if own.queue < 1:
        raise ConfigurationError(f"server.queue must be 1 or more, not {own.queue}.")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two processes may have bound one port; only one may listen on it.
        listener.listen(2048)
    except (OSError, UnicodeError) as error:
        listener.close()
        if isinstance(error, PermissionError):
            raise ConfigurationError(
                f"Port {port} is not for ordinary users.", hint="Take one above 1023."
            ) from None
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise _taken(port) from None
        raise ConfigurationError(
            f"There is no address {host!r} here.", hint="127.0.0.1 is this machine, 0.0.0.0 all."
        ) from None
    return listener


def _taken(port: int) -> ConfigurationError:
    return ConfigurationError(
        f"Port {port} is taken.",
        hint="Stop what listens there, or name others: --port, --grpc-port; tls_port and "
        "grpc_tls_port under [server] in ogam.toml.",
    )
