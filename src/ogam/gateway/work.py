"""Carries out engine calls: blocking ones in bounded threads, asynchronous ones on the loop;
stops the work when the caller goes away, and turns an engine's own failures into Ogam's errors.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeVar, cast

from ogam.capabilities.base import CancelledWork, cancellable
from ogam.errors import DeadlineError, EngineError, OgamError, OverloadedError

T = TypeVar("T")
# Streams that wait for live sound hold a thread while they wait, so they have threads of
# their own: sixteen people talking at once do not stop an embedding.
_LIVE_STREAMS = 16
# So have calls that only wait for an engine's own threads: it sees many at once, as it writes
# them together.
_WAITING = 32
_END = object()


class Workers:
    """The threads of one gateway."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ogam")
        self._live = ThreadPoolExecutor(_LIVE_STREAMS, thread_name_prefix="ogam-live")
        self._waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="ogam-waiting")
        self._talking = 0

    def close(self) -> None:
        """End the threads. Work that still runs is told to stop."""
        for threads in (self._threads, self._live, self._waiting):
            threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, name: str, function: Callable[..., T | Awaitable[T]], *args: Any) -> T:
        """Run one blocking or asynchronous engine call, stopping it when the caller goes."""
        async with _watched(name) as context:
            if iscoroutinefunction(function):
                return await function(*args)
            waits = getattr(getattr(function, "__self__", None), "waits", False)
            answer = await asyncio.get_running_loop().run_in_executor(
                self._waiting if waits else self._threads, lambda: context.run(function, *args)
            )
            return await answer if isawaitable(answer) else cast(T, answer)

    async def stream(
        self, name: str, source: Any, *, live: bool, waits: bool = False
    ) -> AsyncGenerator[Any]:
        """Yield what an engine's stream yields; ``waits`` as the engine says it.

        Each piece is made when it is taken, so a slow reader holds no thread between pieces.
        OverloadedError where as many ``live`` streams are open as there are threads for them.
        """
        threads = self._live if live else self._waiting if waits else self._threads
        async with _watched(name) as context, self._thread_for(live):
            pieces = (
                cast(AsyncIterator[Any], source)
                if hasattr(source, "__anext__")
                else _in_threads(source, context, threads)
            )
            try:
                async for piece in pieces:
                    yield piece
            finally:
                close = getattr(pieces, "aclose", None)
                if close is not None:
                    await close()

    @asynccontextmanager
    async def _thread_for(self, live: bool) -> AsyncGenerator[None]:
        """A live stream that waited for a thread would be deaf: it is refused instead."""
        if live and self._talking >= _LIVE_STREAMS:
            raise OverloadedError(
                f"{_LIVE_STREAMS} live streams are open already.", hint="End one, or wait."
            )
        self._talking += live
        try:
            yield
        finally:
            self._talking -= live


@asynccontextmanager
async def _watched(name: str) -> AsyncGenerator[contextvars.Context]:
    """Give a context whose worker stops at its next checkpoint once this block is left.

    A failure that is not one of Ogam's errors becomes an EngineError.
    """
    gone = threading.Event()
    context = contextvars.copy_context()
    context.run(cancellable, gone)
    try:
        yield context
    except OgamError:
        raise
    except TimeoutError as error:
        raise DeadlineError(f"{name} did not answer in time.") from error
    except Exception as error:
        # Said in one line for the user; the cause stays attached for the developer.
        raise EngineError(f"{name} failed: {type(error).__name__}: {error}") from error
    finally:
        gone.set()


async def _in_threads(
    source: Iterator[Any], context: contextvars.Context, threads: ThreadPoolExecutor
) -> AsyncIterator[Any]:
    """Pull a blocking generator from worker threads, one piece at a time."""
    loop = asyncio.get_running_loop()
    busy = threading.Lock()  # a generator must not be closed while it makes a piece

    def step() -> Any:
        with busy:
            return next(source, _END)

    def close() -> None:
        with busy:
            getattr(source, "close", lambda: None)()

    try:
        while (piece := await loop.run_in_executor(threads, context.run, step)) is not _END:
            yield piece
    finally:
        # Not awaited: whoever left must not wait for a piece that is still being made.
        with suppress(RuntimeError):  # the threads are shut down: the engine is closed too
            threads.submit(_quietly, close)


def _quietly(close: Callable[[], None]) -> None:
    with suppress(CancelledWork):
        close()
