"""gRPC to one of Google's vendors: where it is, the connection, and one message out, one in.

By grpc's blocking side, in threads of its own: its asynchronous one loses the vendor's status
where a message is being written as the vendor ends the call ("Internal error from Core", grpcio
1.85). Knows no service.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from ogam.errors import VendorError
from ogam.extras import needs
from ogam.protocols.google.client_auth import Auth
from ogam.vendors import Vendor

# Of messages: a page that was read is larger than the 4 MB that grpc takes by itself.
_ANY_SIZE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def answers(vendor: Vendor) -> bool:
    """Whether a vendor is known to answer gRPC: Google itself, and who says where."""
    host = urlsplit(vendor.url).hostname or ""
    return bool(vendor.grpc_url) or host.endswith(".googleapis.com")


class Connection:
    """A channel, made at the first use."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._channel: Any = None
        self._made = False

    async def channel(self) -> Any:
        """The grpc.Channel, connected. VendorError (``sent`` False) where it cannot be."""
        url = urlsplit(self._vendor.grpc_url or self._vendor.url)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        secure = url.scheme == "https"
        target = f"{host}:{url.port or (443 if secure else 80)}"
        if self._channel is None:
            with needs("grpc"):
                import grpc
            self._channel = (
                grpc.secure_channel(target, grpc.ssl_channel_credentials(), options=_ANY_SIZE)
                if secure
                else grpc.insecure_channel(target, options=_ANY_SIZE)
            )
        if not self._made and not await self._connected(self._channel):
            raise VendorError(
                f"{self._vendor.name} could not be reached by gRPC at {target}.", sent=False
            )
        self._made = True
        return self._channel

    async def _connected(self, channel: Any) -> bool:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        states: list[str] = []

        def changed(state: Any) -> None:
            states.append(state.name)
            if state.name in ("READY", "TRANSIENT_FAILURE"):
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(told.set)

        channel.subscribe(changed, try_to_connect=True)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._vendor.connect_timeout):
                    await told.wait()
        finally:
            channel.unsubscribe(changed)
        return "READY" in states

    def lost(self) -> None:
        """It may be gone: the next use looks."""
        self._made = False

    def close(self) -> None:
        """End the connection, from any thread."""
        channel, self._channel = self._channel, None
        self._made = False
        if channel is not None:
            channel.close()


class Rpcs:
    """A vendor's methods, messages as bytes, over one connection."""

    def __init__(self, vendor: Vendor, auth: Auth) -> None:
        self._vendor, self._auth = vendor, auth
        self._connection = Connection(vendor)

    async def channel(self) -> Any:
        """The connection, for a stream: see :meth:`Connection.channel`."""
        return await self._connection.channel()

    async def unary(self, method: str, data: bytes, headers: list[tuple[str, str]]) -> bytes:
        """What ``method`` answers. grpc.RpcError as the vendor says it, VendorError (``sent``
        False) where nothing left.
        """
        own = await self._auth.headers()
        channel = await self._connection.channel()
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def told(_: Any) -> None:
            with suppress(RuntimeError):  # the loop has gone, and who waited with it
                loop.call_soon_threadsafe(done.set)

        call: Any = channel.unary_unary(method).future(
            data, metadata=(*headers, *own), timeout=self._vendor.timeout
        )
        call.add_done_callback(told)
        try:
            await done.wait()
        finally:
            call.cancel()
        if call.code().name == "UNAVAILABLE":
            self._connection.lost()
        return call.result()

    def close(self) -> None:
        """End the connection, from any thread."""
        self._connection.close()
