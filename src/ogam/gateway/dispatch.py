"""Runs a request on an engine: finds the model, keeps CPU work in bounded threads, measures
the time, stops the work when the caller goes away, and turns an engine's own failures into
Ogam's errors.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from inspect import isawaitable
from typing import Any, TypeVar, cast

import msgspec

from ogam.capabilities.base import (
    CancelledWork,
    Capability,
    Result,
    Timing,
    Units,
    cancellable,
)
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.speech_recognition import RecognitionOptions
from ogam.capabilities.vision import FEATURES, Feature, SeeRequest, SeeResult
from ogam.config import Config
from ogam.errors import (
    DeadlineError,
    EngineError,
    NotConfiguredError,
    OgamError,
    OverloadedError,
    UnsupportedOptionError,
)
from ogam.gateway import queues, sharing
from ogam.gateway.feed import Feed
from ogam.gateway.queues import Batcher, Door
from ogam.registry import Registry

R = TypeVar("R", bound=Result)
T = TypeVar("T")
# Streams that wait for live sound hold a thread while they wait, so they have threads of
# their own: sixteen people talking at once do not stop an embedding.
_LIVE_STREAMS = 16
_END = object()


class Gateway:
    """One per client. ``close`` ends the engines it made.

    With ``queue`` it serves many: so many requests may wait or work for one model, more are
    refused, and small ones run together.
    """

    def __init__(self, config: Config, *, queue: int | None = None) -> None:
        self.config = config
        self.registry = Registry()
        self._queue = queue
        self._doors: dict[str, Door] = {}
        self._batchers: dict[tuple[str, str], Batcher] = {}
        self._threads = ThreadPoolExecutor(config.threads, thread_name_prefix="ogam")
        self._live = ThreadPoolExecutor(_LIVE_STREAMS, thread_name_prefix="ogam-live")
        self._talking = 0

    def close(self) -> None:
        """End every engine and thread. Work that still runs is told to stop."""
        self.registry.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._live.shutdown(wait=False, cancel_futures=True)

    def models(self, capability: Capability, model: str | None) -> tuple[str, ...]:
        """The models to use: those named (commas between several), else the route's."""
        if model is not None:
            named = tuple(name.strip() for name in model.split(",") if name.strip())
            if not named:
                raise NotConfiguredError("The model's name is empty.", hint="Write engine/model.")
            return named
        route: tuple[str, ...] = getattr(self.config.routes, capability)
        if not route:
            raise NotConfiguredError(
                f"No model is configured for {capability}.",
                hint=f'Name one, as in model="engine/model" or --model engine/model, or in '
                f'ogam.toml: [routes] {capability} = ["engine/model"]. For tests there is "fake".',
            )
        return route

    def engine(self, capability: Capability, name: str) -> Any:
        """The engine for ``name``; it has ``capability``, or the error says so."""
        engine = self.registry.get(name)
        if capability not in engine.capabilities:
            raise UnsupportedOptionError(
                f"{name!r} cannot {capability}.",
                hint=f"It can {', '.join(sorted(engine.capabilities))}.",
                param="model",
            )
        return engine

    async def preload(self, capabilities: Iterable[Capability]) -> None:
        """Load the models of the routes of ``capabilities``, where their engines can ahead."""
        for capability in capabilities:
            for name in getattr(self.config.routes, capability):
                load = getattr(self.engine(capability, name), "load", None)
                if load is not None:
                    await self.run(name, load)

    async def call(
        self,
        capability: Capability,
        request: Any,
        kind: type[R],
        model: str | None,
        *,
        patient: bool = False,
    ) -> R:
        """Carry out a request whole, on the model of its route that it is for.

        With ``patient`` a full queue is waited for, and not an error.
        """
        started = time.perf_counter()
        names = self.models(capability, model)
        name = names[0]
        if isinstance(request, ClassifyRequest) and len(names) > 1:
            shares = sharing.by_language(request, {one: self._classifying(one) for one in names})
            parts = await asyncio.gather(
                *(
                    self._one(one, capability, sharing.part(request, places), patient)
                    for one, places in shares.items()
                )
            )
            result: Any = sharing.joined(len(request.texts), list(shares.values()), parts)
        else:
            result = await self._one(name, capability, request, patient)
        assert isinstance(result, kind)
        return self._stamp(result, started, None)

    def _classifying(self, name: str) -> sharing.Classifying:
        engine = self.engine("classify", name)
        about = self.registry.manifest(name)
        return sharing.Classifying(
            languages=about.understands if about else (),
            zero_shot=getattr(engine, "zero_shot", False),
        )

    async def _one(self, name: str, capability: Capability, request: Any, patient: bool) -> Any:
        engine = self.engine(capability, name)
        work = getattr(engine, capability)
        if self._queue is None:
            return await self.run(name, work, request)
        joins = queues.joins(request, engine)
        places = queues.places(request) if joins else 1.0
        async with self._door(name).entered(patient=patient, places=places):
            if not joins:
                return await self.run(name, work, request)
            batcher = self._batchers.get((name, capability))
            if batcher is None:
                batcher = Batcher(lambda joined: self.run(name, work, joined))
                self._batchers[name, capability] = batcher
            return await batcher.submit(request)

    def _door(self, name: str) -> Door:
        door = self._doors.get(name)
        if door is None:
            door = self._doors[name] = Door(name, self._queue or 1)
        return door

    async def answer(
        self,
        capability: Capability,
        request: Any,
        kind: type[R],
        model: str | None,
        *,
        patient: bool = False,
    ) -> R:
        """As :meth:`call`, for any capability: to see may take several engines."""
        if isinstance(request, SeeRequest):
            return cast(R, await self.see(request, model, patient=patient))
        return await self.call(capability, request, kind, model, patient=patient)

    async def see(
        self, request: SeeRequest, model: str | None, *, patient: bool = False
    ) -> SeeResult:
        """Share the features among the models of the route and join what they find."""
        started = time.perf_counter()
        names = self.models("see", model)
        shares = self._shares(names, request.features)
        results: list[SeeResult] = await asyncio.gather(
            *(
                self._one(name, "see", msgspec.structs.replace(request, features=features), patient)
                for name, features in shares.items()
            )
        )
        return self._stamp(_join(results), started, None)

    def _shares(
        self, names: tuple[str, ...], wanted: tuple[Feature, ...]
    ) -> dict[str, tuple[Feature, ...]]:
        have = {name: self.engine("see", name).features for name in names}
        shares: dict[str, tuple[Feature, ...]] = {}
        asked = wanted or tuple(one for one in FEATURES if any(one in own for own in have.values()))
        for feature in dict.fromkeys(asked):
            name = next((name for name, own in have.items() if feature in own), None)
            if name is None:
                found = sorted(frozenset[str]().union(*have.values()))
                raise UnsupportedOptionError(
                    f"Nothing on the route for see finds {feature}.",
                    hint=f"{', '.join(names)} find {', '.join(found)}.",
                    param="features",
                )
            shares[name] = (*shares.get(name, ()), feature)
        return shares

    def _stamp(self, result: R, started: float, first: float | None) -> R:
        timing = Timing(total=time.perf_counter() - started, first=first)
        abouts = (self.registry.manifest(name) for name in result.model.split(","))
        untrained = any(about is not None and about.untrained for about in abouts)
        return msgspec.structs.replace(result, timing=timing, untrained=untrained)

    async def run(self, name: str, function: Callable[..., T | Awaitable[T]], *args: Any) -> T:
        """Run one blocking or asynchronous engine call, stopping it when the caller goes."""
        async with _watched(name) as context:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: context.run(function, *args)
            )
            return await answer if isawaitable(answer) else cast(T, answer)

    async def stream(
        self, capability: Capability, request: tuple[Any, ...], model: str | None, live: bool
    ) -> AsyncGenerator[Any]:
        """Yield what an engine's stream yields; the last item is the Result, stamped.

        Each piece is made when it is taken, so a slow reader holds no thread between pieces.
        OverloadedError where as many ``live`` streams are open as there are threads for them.
        """
        started = time.perf_counter()
        first: float | None = None
        name = self.models(capability, model)[0]
        source = getattr(self.engine(capability, name), f"{capability}_stream")(*request)
        door = nullcontext() if self._queue is None else self._door(name).entered(patient=False)
        async with door, _watched(name) as context, self._thread_for(live):
            pieces = (
                cast(AsyncIterator[Any], source)
                if hasattr(source, "__anext__")
                else _in_threads(source, context, self._live if live else self._threads)
            )
            try:
                async for piece in pieces:
                    first = first or time.perf_counter() - started
                    yield self._stamp(piece, started, first) if isinstance(piece, Result) else piece
            finally:
                close = getattr(pieces, "aclose", None)
                if close is not None:
                    await close()

    async def listen(
        self, sound: AsyncIterable[bytes], options: RecognitionOptions, model: str | None
    ) -> AsyncGenerator[Any]:
        """Transcribe live sound that arrives asynchronously; what its source raises is raised."""
        async with Feed(sound) as blocks:
            stream = self.stream("transcribe", (blocks, options), model, live=True)
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    blocks.check()
                    yield piece

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


def _join(results: list[SeeResult]) -> SeeResult:
    if len(results) == 1:
        return results[0]
    units = Units()
    for result in results:
        units += result.units
    joined: dict[str, Any] = {}
    for field in ("faces", "objects", "labels", "colors", "crop_hints", "barcodes"):
        joined[field] = tuple(item for result in results for item in getattr(result, field))
    return SeeResult(
        engine=",".join(result.engine for result in results),
        model=",".join(result.model for result in results),
        units=units,
        image=results[0].image,
        features=tuple(feature for result in results for feature in result.features),
        document=next((one.document for one in results if one.document), None),
        **joined,
    )
