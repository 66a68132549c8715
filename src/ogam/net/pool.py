"""The connections to one origin: lent, taken back, and waited for in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from ogam.errors import VendorError
from ogam.net.connecting import Way
from ogam.net.connection import IDLE_SECONDS, Connection


class Pool:
    """At most ``limit`` connections by ``way``; belongs to ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, way: Way, limit: int) -> None:
        self.loop, self._way, self._limit = loop, way, limit
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._slots = 0  # of connections that are, and of those that are being made
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._guard: AsyncGenerator[None, None] | None = None
        self._closed = False

    def ready(self) -> Connection | None:
        """A connection that lies ready: the one used last, for it is the likeliest to live."""
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh():
                return connection
            connection.abort()
            self._free()
        return None

    async def lend(self, deadline: float | None, seconds: float | None) -> Connection:
        """A connection, when there is one. VendorError (not sent) where there is none in time."""
        if (connection := self.ready()) is not None:
            return connection
        if self._closed:
            raise self._gone()
        if self._slots < self._limit:
            self._slots += 1
        elif (connection := await self._turn(deadline, seconds)) is not None:
            if connection.fresh():
                return connection
            connection.abort()
        try:
            if self._guard is None:
                self._guard = self._end_with_loop()
                await anext(self._guard)
            connection = await self._way.connect(self._lost, deadline, seconds)
            if self._closed:
                connection.abort()
                raise self._gone()
        except BaseException:
            self._free()
            raise
        self._all.add(connection)
        return connection

    def take_back(self, connection: Connection) -> None:
        """The exchange is over."""
        if not connection.release():
            self._free()
        elif not self._hand_over(connection):
            self._idle.append(connection)
            if self._sweep is None:
                self._sweep = self.loop.call_later(IDLE_SECONDS, self._end_idle)

    def shut(self) -> None:
        """End every connection, at once. In the loop, or where the loop runs no more."""
        if not self._closed:
            self._end()
            if self._guard is not None:
                with contextlib.suppress(StopIteration):  # it has nothing left to wait for
                    self._guard.aclose().__await__().send(None)

    def _end(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in tuple(self._all):
            connection.fail(self._gone(sent=True))
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(self._gone())

    async def _end_with_loop(self) -> AsyncGenerator[None, None]:
        """``asyncio.run`` closes generators before the loop: the connections go with this one."""
        try:
            yield
        finally:
            if not self._closed:
                self._end()
                await asyncio.sleep(0)  # sockets are closed in the loop's next turn

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._free()

    def _end_idle(self) -> None:
        self._sweep = None
        now = self.loop.time()
        for connection in [one for one in self._idle if one.idle_until < now]:
            self._idle.remove(connection)
            connection.abort()
            self._free()
        if self._idle:
            self._sweep = self.loop.call_later(IDLE_SECONDS, self._end_idle)

    def _free(self) -> None:
        """A slot is free: the next in line makes a connection of it."""
        if not self._hand_over(None):
            self._slots -= 1

    def _hand_over(self, connection: Connection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def _turn(self, deadline: float | None, seconds: float | None) -> Connection | None:
        """A connection that another gave back, or None: the right to make one."""
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # it was given just as it gave up
            if isinstance(error, TimeoutError):
                raise VendorError(
                    f"All {self._limit} connections to {self._way.where} were in use"
                    f" for {seconds or 0:g} s.",
                    hint="Raise the vendor's connections.",
                    sent=False,
                ) from None
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is not None and connection.fresh():
            if not self._hand_over(connection):
                self._idle.append(connection)
            return
        if connection is not None:
            connection.abort()
        self._free()

    def _gone(self, *, sent: bool = False) -> VendorError:
        return VendorError(f"The connections to {self._way.where} were closed.", sent=sent)
