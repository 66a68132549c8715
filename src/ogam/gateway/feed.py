"""Sound that arrives asynchronously, for an engine that waits for it in a thread.

Knows no engine: between the two stands a queue that holds a few blocks, so a fast sender waits.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterable, Iterator
from contextlib import suppress
from types import TracebackType

from ogam.errors import OgamError

# Blocks that wait for the engine. Of 100 ms each these are six seconds.
_MOST = 64


class Feed:
    """``async with Feed(source) as blocks``: an iterator of what ``source`` gives.

    The iterator ends when the source does, when the source fails, and when the ``async with``
    is left, so no thread waits for ever. :meth:`check` raises what the source raised; leaving
    does so too.
    """

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = source
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_MOST)
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self._blocks.get()
        if block is None:
            self._blocks.put(None)  # whoever asks again is told again
            raise StopIteration
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._room.release)
        return block

    async def __aenter__(self) -> Feed:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._fill())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        self._blocks.put(None)
        # An engine whose sound ended too early complains of that; the source's failure is why.
        if kind is None or issubclass(kind, OgamError):
            self.check()

    def check(self) -> None:
        """Raise what the source raised, if it did."""
        if self._failure is not None:
            raise self._failure

    async def _fill(self) -> None:
        try:
            async for block in self._source:
                await self._room.acquire()
                self._blocks.put(block)
        except Exception as error:
            self._failure = error
        finally:
            self._blocks.put(None)
