"""One piece of work that several wait for: what it yields is given to each from its beginning.

The work is a task of its own, so that it goes on when the one who began it leaves and others
stay; when nobody is left it is stopped. Knows no request and no engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ogam.capabilities.base import Result
from ogam.errors import EngineError
from ogam.gateway.trail import Trail

if TYPE_CHECKING:
    from ogam.gateway.ledger.values import Cache

End = Callable[[Trail, Result | None, BaseException | None], None]


class Flight:
    """``trail`` is of the call that began it; ``how`` the answer was found, empty where it was
    made; ``result`` is the last of the ``pieces``.

    ``end`` is told of the trail's end, where its caller left before.
    """

    def __init__(self, trail: Trail, end: End) -> None:
        self.trail = trail
        self.how: Cache = ""
        self.pieces: list[Any] = []
        self.result: Result | None = None
        self._end = end
        self._waiting = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the work; it calls :meth:`add`."""

        def done(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            self._tell()
            if self.trail.left:
                self._end(self.trail, self.result, error or asyncio.CancelledError())

        self._task = asyncio.create_task(work)
        self._task.add_done_callback(done)

    def add(self, piece: Any) -> None:
        """The next piece; a Result is the last."""
        self.pieces.append(piece)
        if isinstance(piece, Result):
            self.result = piece
        self._tell()

    async def follow(self) -> AsyncGenerator[Any]:
        """Yield every piece from the first; what the work failed by is raised."""
        at = 0
        while True:
            while at < len(self.pieces):
                at += 1
                yield self.pieces[at - 1]
            assert self._task is not None
            if self.result is not None:
                return
            if self._task.done():
                if self._task.cancelled():
                    raise EngineError("The work was stopped before it had answered.")
                self._task.result()
                return
            await self._news.wait()

    def enter(self) -> None:
        """One more waits."""
        self._waiting += 1

    def leave(self, own: bool) -> bool:
        """One less waits: the one who began it where ``own``. Whether the work is stopped."""
        self._waiting -= 1
        assert self._task is not None
        if self.result is not None or self._task.done():
            return False
        if own:
            self.trail.left = True
        return self._waiting == 0 and self._task.cancel()

    async def settled(self) -> None:
        """Wait until all is done. Work that has not answered is stopped."""
        assert self._task is not None
        if self.result is None:
            self._task.cancel()
        await asyncio.wait([self._task])

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
