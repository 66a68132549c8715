"""How a connection is made: addresses, TLS, a proxy. Whatever fails here, no request has left."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl as tls
from collections.abc import Callable
from functools import cache

from ogam.errors import VendorError
from ogam.net.connection import Connection
from ogam.net.proxies import Proxy

_Lost = Callable[[Connection], None]


@cache
def trusted() -> tls.SSLContext:
    """The machine's own authorities, or those of SSL_CERT_FILE. Made once: it takes 10 ms."""
    context = tls.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Way:
    """The way to an origin. ``context`` is None for plain HTTP; ``timeout`` is in seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        *,
        context: tls.SSLContext | None,
        proxy: Proxy | None,
        timeout: float,
    ) -> None:
        self.where = written(host, port)
        self._loop, self._host, self._port, self._context = loop, host, port, context
        self._proxy, self._timeout = proxy, timeout
        self._good = ""  # the address that answered last

    async def connect(
        self,
        lost: _Lost,
        deadline: float | None,
        seconds: float | None,
    ) -> Connection:
        """A new connection. VendorError, not sent, says why there is none."""
        latest, given = self._loop.time() + self._timeout, self._timeout
        if deadline is not None and deadline < latest:
            latest, given = deadline, seconds or 0.0
        try:
            async with asyncio.timeout_at(latest):
                if self._proxy is None:
                    return await self._dial(lost, self._host, self._port, self._context, latest)
                return await self._by_proxy(lost, self._proxy, latest)
        except TimeoutError:
            raise self._unreachable(f"no connection in {given:g} s") from None
        except tls.SSLCertVerificationError as error:
            raise self._unreachable(
                f"its certificate is not accepted: {error.verify_message}",
                "SSL_CERT_FILE may name the authority to trust.",
            ) from None
        except tls.SSLError as error:
            raise self._unreachable(f"TLS failed: {error.reason or error}") from None
        except OSError as error:  # of getaddrinfo too
            number = None if isinstance(error, socket.gaierror) else error.errno
            reason = os.strerror(number) if number else error.strerror or str(error)
            raise self._unreachable(reason or "the connection was closed") from None

    async def _by_proxy(self, lost: _Lost, proxy: Proxy, latest: float) -> Connection:
        first = await self._dial(lost, proxy.host, proxy.port, None, latest)
        if self._context is None:
            return first
        try:
            asked = f"CONNECT {self.where} HTTP/1.1\r\nhost: {self.where}\r\n".encode()
            first.start(asked + proxy.authorization + b"\r\n", head_only=True)
            await first.answered()
            if first.status >= 300:
                raise VendorError(f"the proxy answered {first.status}.")
            connection = Connection(self._loop, self.where, lost)
            transport = await self._loop.start_tls(
                first.transport,
                connection,
                self._context,
                server_hostname=self._host,
                ssl_handshake_timeout=self._timeout,
            )
            if transport is None:
                raise ConnectionAbortedError("TLS failed")
            connection.connection_made(transport)
        except VendorError as error:
            first.abort()
            raise self._unreachable(error.message.rstrip("."), "See HTTPS_PROXY.") from None
        except BaseException:
            first.abort()
            raise
        return connection

    async def _dial(
        self,
        lost: _Lost,
        host: str,
        port: int,
        context: tls.SSLContext | None,
        latest: float,
    ) -> Connection:
        """Each address in turn gets half of the time that is left, the last one all of it: a
        network that swallows IPv6 costs a wait, not the call.
        """
        addresses = await self._addresses(host, port)
        where = self.where if self._proxy is None else written(host, port)
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            until = latest if not left else (self._loop.time() + latest) / 2
            try:
                async with asyncio.timeout_at(until):
                    _, connection = await self._loop.create_connection(
                        lambda: Connection(self._loop, where, lost),
                        address,
                        port,
                        ssl=context,
                        server_hostname=host if context else None,
                        ssl_handshake_timeout=self._timeout if context else None,
                    )
            except tls.SSLError:
                raise
            except OSError:
                if not left:
                    raise
            else:
                self._good = address
                return connection
        raise OSError("no address")

    async def _addresses(self, host: str, port: int) -> list[str]:
        """At most four: the one that answered last, then both families by turns."""
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        families: dict[int, list[str]] = {}
        for family, _, _, _, address in found:
            families.setdefault(family, []).append(str(address[0]))
        by_turns = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
        every = list(dict.fromkeys(one for one in by_turns if one))
        return sorted(every, key=lambda one: one != self._good)[:4]

    def _unreachable(self, reason: str, hint: str = "") -> VendorError:
        via = ""
        if self._proxy is not None:
            via = f" through the proxy {written(self._proxy.host, self._proxy.port)}"
        return VendorError(f"{self.where} cannot be reached{via}: {reason}.", hint=hint, sent=False)


def written(host: str, port: int) -> str:
    """As in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
