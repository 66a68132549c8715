"""Answers that were given before, for the routes that want them: exact, near, or replayed.

Between a route's plan and its models: a call whose answer is kept never reaches a budget, a
breaker or an engine. Equal calls at once are carried out once, and each gets all of it. See
docs/cache.md for what that means to whoever configures it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ogam.capabilities.base import Request, Result
from ogam.capabilities.embedding import Vectors
from ogam.config import Config
from ogam.errors import (
    AuthenticationError,
    BudgetError,
    EngineError,
    ForbiddenError,
    OutputError,
    OverloadedError,
    RateLimitedError,
    ReplayMissError,
)
from ogam.gateway import cache_keys, cache_values
from ogam.gateway.cache_flight import End, Flight
from ogam.gateway.cache_keys import Ask, Meaning
from ogam.gateway.cache_semantic import Nearest
from ogam.gateway.cache_store import Store
from ogam.gateway.cache_values import DamagedError, Kept
from ogam.gateway.passed import lasting

# What stands in the ledger; loading it loads a database.
if TYPE_CHECKING:
    from ogam.gateway.ledger.values import Cache as How

__all__ = ["Ask", "Cache", "Embed"]

# Vectors of length 1 for texts, by a model that costs nothing.
Embed = Callable[[Sequence[str]], Awaitable[Vectors]]
Work = Callable[[], AsyncGenerator[Any]]
# These are about the one who asked: others who wait for the same try for themselves.
_PERSONAL = (AuthenticationError, BudgetError, ForbiddenError, RateLimitedError)
# Media above this are hashed in a thread: 1 MB takes a millisecond.
_MUCH = 1_000_000
_SHOWN = 60


class Cache:
    """One gateway's. ``end`` is called for a call whose caller left while others waited for its
    work. ``encoder`` is the model that ``embed`` asks. ``trouble`` says why an answer was last not
    kept, or a near one not looked for.
    """

    def __init__(self, config: Config, *, embed: Embed, end: End) -> None:
        self._embed, self._end = embed, end
        own = config.cache
        self.encoder = own.encoder
        folder = Path(own.folder) if own.folder else config.server.folder() / "cache"
        self.store = Store(folder, own.max_bytes)
        self.trouble = ""
        self._nearest = Nearest(self.store)
        self._flights: dict[tuple[Any, ...], Flight] = {}

    async def answer(self, ask: Ask, work: Callable[[], Awaitable[Any]]) -> Any:
        """The Result of a call: a kept one, that of an equal call, or what ``work`` gives."""
        if not self._keeps(ask):
            return await work()

        async def whole() -> AsyncGenerator[Any]:
            yield await work()

        last: Any = None
        async with aclosing(self._pieces(ask, whole)) as pieces:
            async for piece in pieces:
                last = piece
        return last

    def stream(self, ask: Ask, work: Work) -> AsyncGenerator[Any]:
        """What ``work`` yields, the Result last; or the same of an answer that was kept."""
        return self._streamed(ask, work) if self._keeps(ask) else work()

    async def aclose(self) -> None:
        """Wait until what was answered is kept; stop what was not."""
        here = asyncio.get_running_loop()
        for which in [one for one in self._flights if one[0] is here]:
            if (flight := self._flights.pop(which, None)) is not None:
                await flight.settled()

    def _keeps(self, ask: Ask) -> bool:
        # Live sound is a source, not a request, and is gone once it was heard.
        return bool(ask.route.cache) and isinstance(ask.request, Request)

    async def _streamed(self, ask: Ask, work: Work) -> AsyncGenerator[Any]:
        bare = True
        async with aclosing(self._pieces(ask, work)) as pieces:
            async for piece in pieces:
                if bare and isinstance(piece, Result):
                    for one in await asyncio.to_thread(cache_values.pieces, piece):
                        ask.trail.first()
                        yield one
                bare = False
                ask.trail.first()
                yield piece

    async def _pieces(self, ask: Ask, work: Work) -> AsyncGenerator[Any]:
        key = await _in_thread_if(_big(ask), lambda: cache_keys.key(ask))
        if ask.route.cache == "replay":
            yield await self._replayed(ask, key)
            return
        while True:
            which, flight, own = self._joined(ask, key, work)
            found = flight.result is not None
            began = False
            try:
                async with aclosing(flight.follow()) as pieces:
                    async for piece in pieces:
                        if not began:
                            made: How = "" if own else "hit" if found else "shared"
                            _mark(ask, flight.how or made, flight)
                        began = True
                        yield piece
                return
            except _PERSONAL:
                if own or began:
                    raise
            finally:
                if flight.leave(own):
                    self._flights.pop(which, None)

    def _joined(self, ask: Ask, key: str, work: Work) -> tuple[tuple[Any, ...], Flight, bool]:
        """The work that an equal call began, or one that begins; and whether it does."""
        route = ask.route
        # Another loop's work cannot be waited for, and the impatient may be refused.
        which = (
            asyncio.get_running_loop(),
            *(key, ask.patient, route.cache, route.cache_seconds, route.similarity),
        )
        flight = self._flights.get(which)
        own = flight is None
        if flight is None:
            flight = self._flights[which] = Flight(ask.trail, self._end)
            flight.begin(self._joinable(which, flight, ask, key, work))
        flight.enter()
        return which, flight, own

    async def _joinable(
        self, which: tuple[Any, ...], flight: Flight, ask: Ask, key: str, work: Work
    ) -> None:
        """Work that may be joined until it ends. By the work itself: a callback comes too late
        for a caller who asks again at once, and would be given a failure that is over.
        """
        try:
            await self._carried_out(flight, ask, key, work)
        finally:
            if self._flights.get(which) is flight:
                del self._flights[which]

    async def _carried_out(self, flight: Flight, ask: Ask, key: str, work: Work) -> None:
        found = await self._kept(ask, key, ask.route.cache_seconds)
        if found is not None:
            flight.how = "hit"
            flight.add(found)
            return
        meaning, vector = await self._meant(ask)
        if meaning is not None:
            found = await self._near(ask, meaning, vector)
            if found is not None:
                flight.how = "semantic"
                flight.add(found)
                return
        result: Result | None = None
        async with aclosing(work()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Result):
                    result = piece
                else:
                    flight.add(piece)
        # Told of only now, when its work has ended and its money is settled.
        if result is None:
            raise EngineError("The model's stream ended without its result.")
        flight.add(result)
        if not ask.trail.makeshift and lasting(result):
            await self._keep(ask, key, result, meaning, vector)

    async def _kept(self, ask: Ask, key: str, seconds: float | None) -> Result | None:
        """The answer that is kept under a key, unless it is older than ``seconds``."""

        def read() -> Result | None:
            data = self.store.read(key)
            if data is None:
                return None
            try:
                kept = cache_values.unpack(data, ask.trail.capability, ask.request)
            except DamagedError:
                # Left alone where it is all there is: somebody may still mend it.
                if seconds is not None:
                    self.store.remove(key)
                return None
            if seconds is None:
                return kept.result
            if time.time() - kept.at / 1000 > seconds:
                return None
            self.store.touch(key)
            return kept.result

        return await asyncio.to_thread(read)

    async def _keep(
        self, ask: Ask, key: str, result: Result, meaning: Meaning | None, vector: bytes
    ) -> None:
        def write() -> None:
            kept = Kept(at=time.time_ns() // 1_000_000, result=result)
            try:
                data = cache_values.pack(ask.trail.capability, ask.request, kept)
                self.store.write(key, data)
                if meaning is not None:
                    self._nearest.add(meaning.scope, key, vector)
            except (OutputError, UnicodeEncodeError) as error:
                # The answer is there; that the next call has to ask again is no reason to fail.
                self.trouble = str(error)

        await asyncio.to_thread(write)

    async def _meant(self, ask: Ask) -> tuple[Meaning | None, bytes]:
        """What a near text would have to be near to, and its vector."""
        if ask.route.cache != "semantic":
            return None, b""
        meaning = cache_keys.meaning(ask, self.encoder)
        if meaning is None:
            return None, b""
        try:
            vectors = await self._embed((meaning.text,))
        except (EngineError, OverloadedError) as error:
            # Broken or busy for now; one that is not there at all is told to the caller.
            self.trouble = str(error)
            return None, b""
        return (meaning, vectors.data) if any(vectors.data) else (None, b"")

    async def _near(self, ask: Ask, meaning: Meaning, vector: bytes) -> Result | None:
        near = await asyncio.to_thread(
            self._nearest.find, meaning.scope, vector, ask.route.similarity
        )
        for one in near:
            found = await self._kept(ask, one.key, ask.route.cache_seconds)
            if found is not None:
                self.store.touch(one.key, meaning.scope)
                return found
            self._nearest.remove(meaning.scope, one.key)
        return None

    async def _replayed(self, ask: Ask, key: str) -> Result:
        # An answer is given before it is kept: who recorded it and asks again at once finds it.
        here = asyncio.get_running_loop()
        for which, flight in list(self._flights.items()):
            if which[:2] == (here, key) and flight.result is not None:
                await flight.settled()
        found = await self._kept(ask, key, None)
        if found is None:
            models = ", ".join(step.model for step in ask.steps)
            raise ReplayMissError(
                f"There is no recording of {ask.trail.capability} by {models} for "
                f"{_shown(ask.request)} ({key[:12]}) in {self.store.folder}.",
                hint='Record it: run it once with cache = "exact" on this route, its models and '
                "this [cache] folder.",
            )
        ask.trail.cache = ask.trail.caller.cached = "replay"
        ask.trail.caller.answered = found.model
        return found


def _mark(ask: Ask, how: How, flight: Flight) -> None:
    """Note in a call's trail that its answer came from the cache, before its first piece goes."""
    ask.trail.cache = ask.trail.caller.cached = how
    if how:
        model = flight.result.model if flight.result else flight.trail.caller.answered
        ask.trail.caller.answered = model


def _big(ask: Ask) -> bool:
    return sum(len(one.data) for one in cache_keys.media(ask.request)) > _MUCH


async def _in_thread_if(much: bool, work: Callable[[], str]) -> str:
    return await asyncio.to_thread(work) if much else work()


def _shown(request: Any) -> str:
    """A request in a few words, for whoever looks for it."""
    for name in ("text", "prompt", "texts", "messages"):
        value = getattr(request, name, None)
        if value:
            last = cast(Any, value[-1] if isinstance(value, tuple) else value)
            text = str(getattr(last, "content", last))
            return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    return " and ".join(repr(one) for one in cache_keys.media(request)) or "this request"
