"""How much work may wait for a model, and small requests carried out together.

Knows no engine: what runs is handed in. Used where requests come from many clients; the
library, which has one caller, does without.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from ogam.capabilities.base import Units
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.errors import OgamError, OverloadedError

Q = TypeVar("Q", EmbedRequest, ClassifyRequest, TranslateRequest)
# Texts in one joined request. More would make the last caller wait no longer in all, and the
# first one longer.
_TEXTS = 256
# So many texts that join others take one place in a queue: they wait for few runs of an engine,
# where as many requests that run alone wait for each other.
_TEXTS_A_PLACE = 8


class Door:
    """Has ``limit`` places, for the requests at work and those that wait together.

    Who finds none is refused, or, if patient, waits outside.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._inside, self._taken = 0, 0.0
        self._outside: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self._seconds = 0.1  # how long one takes, a running mean

    @asynccontextmanager
    async def entered(self, *, patient: bool, places: float = 1.0) -> AsyncGenerator[None]:
        """Be inside, on ``places`` (1 at most). OverloadedError says when to come again."""
        while self._taken >= self._limit:
            if not patient:
                raise OverloadedError(
                    f"{self._name} has {self._inside} requests waiting.",
                    hint="Try again later, or raise server.queue in ogam.toml.",
                    retry_after=min(60.0, max(1.0, self._seconds * self._inside / 2)),
                )
            turn = asyncio.get_running_loop().create_future()
            await self._outside.put(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was called in just before: the turn is another's
                    self._call_in()
                raise
        self._inside += 1
        self._taken += places
        started = time.perf_counter()
        try:
            yield
        finally:
            self._inside -= 1
            self._taken -= places
            self._seconds += 0.1 * (time.perf_counter() - started - self._seconds)
            self._call_in()

    def _call_in(self) -> None:
        while not self._outside.empty():
            turn = self._outside.get_nowait()
            if not turn.done():
                turn.set_result(None)
                break


def places(request: Any) -> float:
    """How many places a request takes that joins others: by its texts, one at most."""
    return min(1.0, len(request.texts) / _TEXTS_A_PLACE)


class _Waiting(NamedTuple):
    request: Any
    done: asyncio.Future[Any]


class Batcher:
    """Carries out requests of one capability on one model, those that come together as one.

    The first one runs at once; what comes while it runs is the next batch. So nobody waits for
    company, and under load an engine sees batches. What differs in more than its texts is not
    joined.
    """

    def __init__(self, run: Callable[[Any], Awaitable[Any]]) -> None:
        self._run = run
        self._waiting: dict[Hashable, list[_Waiting]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, request: Q) -> Any:
        """The result of ``request``, as if it had run alone."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        alike = msgspec.structs.replace(request, texts=("-",))
        self._waiting.setdefault(alike, []).append(_Waiting(request, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                alike = next(iter(self._waiting))
                batch = self._taken(alike)
                if batch:
                    await self._together(batch)
        finally:
            self._worker = None

    def _taken(self, alike: Hashable) -> list[_Waiting]:
        """The oldest requests of a kind, up to as many texts as go together."""
        waiting = [one for one in self._waiting.pop(alike) if not one.done.done()]
        count = size = 0
        for one in waiting:
            size += len(one.request.texts)
            if count and size > _TEXTS:
                break
            count += 1
        if waiting[count:]:
            # At the end of the line: other kinds have waited too.
            self._waiting[alike] = waiting[count:]
        return waiting[:count]

    async def _together(self, batch: list[_Waiting]) -> None:
        texts = tuple(text for one in batch for text in one.request.texts)
        try:
            result = await self._run(msgspec.structs.replace(batch[0].request, texts=texts))
        except OgamError as error:
            if len(batch) == 1:
                _fail(batch[0].done, error)
                return
            # One of them is at fault, and the others must not suffer from it.
            for one in batch:
                await self._together([one])
            return
        except BaseException as error:
            for one in batch:
                _fail(one.done, error)
            if not isinstance(error, Exception):
                raise
            return
        start = 0
        for one in batch:
            end = start + len(one.request.texts)
            if not one.done.done():
                one.done.set_result(part(result, one.request, start, end))
            start = end


def part(result: Any, request: Any, start: int, end: int) -> Any:
    """What belongs to the texts from ``start`` to ``end`` of a joined request."""
    if isinstance(result, TranslateResult):
        mine = result.translations[start:end]
        units = Units(characters=sum(map(len, request.texts)))
        return msgspec.structs.replace(result, translations=mine, units=units)
    units = Units(input_tokens=sum(result.tokens[start:end]))
    tokens = result.tokens[start:end]
    if isinstance(result, ClassifyResult):
        mine = result.classifications[start:end]
        return msgspec.structs.replace(result, classifications=mine, units=units, tokens=tokens)
    vectors = cast(EmbedResult, result).vectors
    width = 4 * vectors.dimensions
    data = vectors.data[start * width : end * width]
    mine = Vectors(data=data, dimensions=vectors.dimensions)
    return msgspec.structs.replace(result, vectors=mine, units=units, tokens=tokens)


def joins(request: Any, engine: Any) -> bool:
    """Whether a request may run together with others: the engine says so by ``joins = True``.

    It then gives equal texts equal answers whatever stands beside them, and counts the tokens of
    each text.
    """
    kinds = EmbedRequest | ClassifyRequest | TranslateRequest
    return isinstance(request, kinds) and getattr(engine, "joins", False)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
