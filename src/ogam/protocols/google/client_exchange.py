"""A stream of messages to one of Google's vendors and one back over gRPC, both as bytes.

By grpc's blocking side, in threads: its asynchronous one loses the vendor's status where a message
is being written as the vendor ends the call ("Internal error from Core", grpcio 1.85), and so
every error that comes of the first message. Knows no service.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

from ogam.errors import VendorError
from ogam.vendors import Vendor


class Exchange:
    """Messages out, replies in. The source of messages may block."""

    def __init__(self, messages: Iterator[bytes], vendor: Vendor) -> None:
        self._messages, self._vendor = messages, vendor
        self._loop = asyncio.get_running_loop()
        self._came: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._call: Any = None

    async def replies(
        self, method: Callable[..., Any], headers: list[tuple[str, str]]
    ) -> AsyncGenerator[bytes]:
        """Yield each reply. What the source of messages raises is raised, and grpc.RpcError.

        While there are messages a reply may take any time, after their end as long as an attempt
        may: VendorError.
        """
        self._call = method(self._sent(), metadata=tuple(headers))
        threading.Thread(target=self._read, name="ogam-heard", daemon=True).start()
        try:
            while (one := await self._came.get()) is not None:
                if isinstance(one, Exception):
                    raise one
                yield one
        finally:
            self._call.cancel()

    def _sent(self) -> Iterator[bytes]:
        try:
            yield from self._messages
        except Exception as error:
            self._tell(error)
            return
        self._tell_later()

    def _read(self) -> None:
        from grpc import RpcError

        try:
            for data in self._call:
                self._tell(data)
        except RpcError as error:
            self._tell(error)
        self._tell(None)

    def _tell(self, what: bytes | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop has gone, and who waited with it
            self._loop.call_soon_threadsafe(self._came.put_nowait, what)

    def _tell_later(self) -> None:
        """The messages have ended: from now on the vendor has an attempt's time for the rest."""
        late = VendorError(
            f"{self._vendor.name} did not answer within {self._vendor.timeout:g} s "
            "after the end of the sound."
        )
        # Whoever has read to the end by then reads no more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(
                self._loop.call_later, self._vendor.timeout, self._came.put_nowait, late
            )
