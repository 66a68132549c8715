"""Carries out requests: follows the route, tries its models, and says which one answered.

What an attempt costs is :mod:`ogam.gateway.spending`'s, how engines are run
:mod:`ogam.gateway.work`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import aclosing, nullcontext
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from ogam import routes, vendors
from ogam.capabilities.base import CAPABILITIES, Capability, Result, Timing
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest, Vectors
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.vision import SeeRequest, SeeResult
from ogam.config import Config
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    UnsupportedOptionError,
)
from ogam.gateway import caller, queues, routing, sharing
from ogam.gateway.breaker import Breaker
from ogam.gateway.cache import Ask, Cache
from ogam.gateway.feed import Feed
from ogam.gateway.keys import Keys
from ogam.gateway.limits import Limits
from ogam.gateway.queues import Batcher, Door
from ogam.gateway.spending import Asked, Spending, Valued
from ogam.gateway.trail import Trail
from ogam.gateway.walk import Attempt, Walk
from ogam.gateway.work import Workers
from ogam.registry import Registry
from ogam.routes import Route, Step
from ogam.vendors import Vendor

R = TypeVar("R", bound=Result)
T = TypeVar("T")
# What a caller may ask for: a model or several by name, a route, or None: the capability's.
Target = str | Route | None


class Gateway:
    """One per client. ``close`` ends the engines it made.

    With ``queue`` it serves many: so many requests may wait or work for one model, more are
    refused, and small ones run together.
    """

    def __init__(
        self, config: Config, *, queue: int | None = None, keys: Keys | None = None
    ) -> None:
        self.config = config
        self.limits = Limits(Keys() if keys is None else keys)
        self.vendors = vendors.found(config.vendors)
        # Who asks over the wire may name any model there is: those no route names are bounded.
        most = None if queue is None else config.server.models
        self.registry = Registry(self.vendors, most=most, kept=self.named, closed=self._forget)
        self.spending = Spending(config)
        self.cache = Cache(config, embed=self._vectors, end=self.spending.end)
        self._queue = queue
        self._doors: dict[str, Door] = {}
        self._batchers: dict[tuple[str, str], Batcher] = {}
        self._breakers: dict[str, Breaker] = {}
        self._workers = Workers(config.threads)

    async def aclose(self) -> None:
        """Write down what is not yet, and end every engine and thread."""
        await self.cache.aclose()
        await self.spending.close()
        await self.registry.aclose()
        self.close()

    def close(self) -> None:
        """End every engine and thread. Work that still runs is told to stop."""
        self.registry.close()
        self._workers.close()

    def reconfigure(self, config: Config) -> None:
        """From the next request on, follow ``config``: its routes, names, vendors and prices.

        What is under way ends as it began. ConfigurationError where a vendor or a price is wrong;
        then nothing has changed.
        """
        found = vendors.found(config.vendors)
        self.spending.reprice(config.prices)
        self.config = msgspec.structs.replace(
            self.config,
            routes=config.routes,
            names=config.names,
            vendors=config.vendors,
            prices=config.prices,
        )
        changed = {name for name, one in self.vendors.items() if found.get(name) != one}
        self.vendors = found
        self.registry.revise(found, changed)
        for name in [one for one in self._breakers if one.partition("/")[0] in changed]:
            del self._breakers[name]
        for cached in ("_named", "_spoken", "_own_routes"):
            vars(self).pop(cached, None)

    def route(self, capability: Capability, target: Target) -> Route:
        """The route to follow: the one named, else the capability's."""
        if target is not None:
            chosen = routes.route(target)
            if not chosen.models:
                raise NotConfiguredError("The model's name is empty.", hint="Write engine/model.")
            return chosen
        chosen = self._own_routes[capability]
        if not chosen.models:
            raise NotConfiguredError(
                f"No model is configured for {capability}.",
                hint=f'Name one, as in model="engine/model" or --model engine/model, or in '
                f'ogam.toml: [routes] {capability} = ["engine/model"]. For tests there is "fake".',
            )
        return chosen

    def models(self, capability: Capability, target: Target) -> tuple[str, ...]:
        """The names of the models on the route."""
        return self.route(capability, target).names

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

    async def run(self, name: str, function: Callable[..., T | Awaitable[T]], *args: Any) -> T:
        """Run one call of the engine of ``name``: see :meth:`Workers.run`."""
        with self.registry.held(name):
            return await self._workers.run(name, function, *args)

    async def preload(self, capabilities: Iterable[Capability]) -> None:
        """Load the models of the routes of ``capabilities``, where their engines can ahead."""
        for capability in capabilities:
            for name in self.config.routes.of(capability).names:
                load = getattr(self.engine(capability, name), "load", None)
                if load is not None:
                    await self.run(name, load)

    async def answer(
        self,
        capability: Capability,
        request: Any,
        kind: type[R],
        target: Target = None,
        *,
        patient: bool = False,
    ) -> R:
        """Carry out a request whole, on the model of its route that it is for.

        With ``patient`` a full queue is waited for, and not an error.
        """
        route = self.route(capability, target)
        trail = self.trail(capability, target)
        result: Any = None
        failure: BaseException | None = None
        try:
            steps = await self._steps(route, request)
            found = await self.cache.answer(
                Ask(trail, route, steps, request, patient),
                lambda: self._shared(trail, route, steps, request, patient),
            )
            result = self._stamp(found, trail)
            trail.caller.answered = result.model
            self.spending.record(trail, route, request, result)
        except BaseException as error:
            failure = error
            raise
        finally:
            if not trail.left:
                self.spending.end(trail, result, failure)
        assert isinstance(result, kind)
        return result

    async def _shared(
        self, trail: Trail, route: Route, steps: Sequence[Step], request: Any, patient: bool
    ) -> Any:
        """The answer of the route's models, to each its share where a request has shares."""

        async def part(names: Sequence[str], own: Any) -> Any:
            chosen = [one for one in steps if one.model in names]
            return await self._walked(trail, route, chosen, own, patient)

        if len(steps) > 1 and isinstance(request, ClassifyRequest):
            texts = sharing.by_language(
                request, {one.model: self._classifying(one.model) for one in steps}
            )
            found = await _every(
                part(names, sharing.part(request, places)) for names, places in texts.items()
            )
            return sharing.joined(len(request.texts), list(texts.values()), found)
        if isinstance(request, SeeRequest):
            have = {one.model: self.engine("see", one.model).features for one in steps}
            features = sharing.by_feature(request.features, have)
            seen: list[SeeResult] = await _every(
                part(names, msgspec.structs.replace(request, features=own))
                for names, own in features.items()
            )
            return sharing.joined_seen(seen)
        return await self._walked(trail, route, steps, request, patient)

    async def _walked(
        self, trail: Trail, route: Route, steps: Sequence[Step], request: Any, patient: bool
    ) -> Any:
        bounded = self._bounded(request)
        walk = self.walk(trail, route, steps, Valued(trail.capability, bounded))
        for attempt in walk:
            async with attempt:
                await attempt.begin()
                own = bounded if attempt.paid else request
                work = self._one(attempt.step.model, trail.capability, own, patient)
                return attempt.answered(await attempt.within(work))
        raise walk.failure()

    async def _one(self, name: str, capability: Capability, request: Any, patient: bool) -> Any:
        with self.registry.held(name):
            return await self._queued(name, capability, request, patient)

    async def _queued(self, name: str, capability: Capability, request: Any, patient: bool) -> Any:
        engine = self.engine(capability, name)
        work = getattr(engine, capability)
        if self._queue is None or self.vendor(name) is not None:
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

    async def _vectors(self, texts: Sequence[str]) -> Vectors:
        """Vectors for the cache, by a model that costs nothing."""
        name = self.cache.encoder
        if self.vendor(name) is not None:
            raise ConfigurationError(
                f"The cache's encoder {name!r} is a vendor's.", hint="Name a model that runs here."
            )
        result = await self._one(name, "embed", EmbedRequest(texts=tuple(texts)), patient=True)
        return result.vectors

    def _classifying(self, name: str) -> sharing.Classifying:
        engine = self.engine("classify", name)
        about = self.registry.manifest(name)
        return sharing.Classifying(
            languages=about.understands if about else (),
            zero_shot=getattr(engine, "zero_shot", False),
        )

    async def stream(
        self, capability: Capability, request: tuple[Any, ...], target: Target, live: bool
    ) -> AsyncGenerator[Any]:
        """Yield what an engine's stream yields; the last item is the Result, stamped.

        ``request`` are the arguments of the engine's method. What fails before the first piece
        goes to the next model of the route, but for ``live`` sound, which is gone once it is
        read.
        """
        route = self.route(capability, target)
        trail = self.trail(capability, target)
        last: Any = None
        failure: BaseException | None = None
        try:
            # The language of live sound stands in its options, behind the sound.
            steps = await self._steps(route, request[-1])
            asked = Valued(capability, self._bounded(request[0]))
            walk = self.walk(trail, route, steps[:1] if live else steps, asked)
            source = self.cache.stream(
                Ask(trail, route, steps, request[0]), lambda: self._streamed(walk, request, live)
            )
            async with aclosing(source) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Result):
                        piece = last = self._stamp(piece, trail)  # noqa: PLW2901
                        self.spending.record(trail, route, request[0], last)
                    yield piece
        except BaseException as error:
            # Whoever has the Result needs no more, and may close the stream right then.
            failure = None if last is not None and isinstance(error, GeneratorExit) else error
            raise
        finally:
            if not trail.left:
                self.spending.end(trail, last, failure)

    async def _streamed(
        self, walk: Walk, request: tuple[Any, ...], live: bool
    ) -> AsyncGenerator[Any]:
        capability = walk.trail.capability
        for attempt in walk:
            async with attempt:
                await attempt.begin()
                name = attempt.step.model
                with self.registry.held(name):
                    engine = self.engine(capability, name)
                    work = getattr(engine, f"{capability}_stream")
                    own = self._bounded(request[0]) if attempt.paid else request[0]
                    alone = self._queue is None or attempt.vendor is not None
                    door = nullcontext() if alone else self._door(name).entered(patient=False)
                    waits = getattr(engine, "waits", False)
                    pulled = work(own, *request[1:])
                    source = self._workers.stream(name, pulled, live=live, waits=waits)
                    async with door, aclosing(source) as pieces:
                        # Its first piece may need all of the sound that is yet to be spoken.
                        first = await (
                            anext(pieces, None) if live else attempt.within(_first(pieces))
                        )
                        attempt.commit()
                        walk.trail.caller.answered = name
                        if first is not None:
                            yield _noted(attempt, first)
                        async for piece in pieces:
                            yield _noted(attempt, piece)
                return
        raise walk.failure()

    async def listen(
        self, sound: AsyncIterable[bytes], options: RecognitionOptions, target: Target
    ) -> AsyncGenerator[Any]:
        """Transcribe live sound that arrives asynchronously; what its source raises is raised."""
        async with Feed(sound) as blocks:
            stream = self.stream("transcribe", (blocks, options), target, live=True)
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    blocks.check()
                    yield piece

    async def _steps(self, route: Route, request: Any) -> tuple[Step, ...]:
        seconds = None
        if isinstance(request, TranscribeRequest) and routing.measures_sound(route.steps):
            seconds = await asyncio.to_thread(lambda: request.audio.duration)
        plan = routing.plan(route.steps, routing.facts(request, seconds), caller.current())
        if not plan.steps:
            raise plan.refusal()
        return plan.steps

    def _bounded(self, request: Any) -> Any:
        """The request with a maximum, without which its cost would have no bound."""
        if isinstance(request, GenerateRequest) and request.max_tokens is None:
            most = self.config.ledger.max_output_tokens
            return msgspec.structs.replace(request, max_tokens=most)
        return request

    def walk(self, trail: Trail, route: Route, steps: Sequence[Step], asked: Asked) -> Walk:
        """The attempts of a call."""
        return Walk(
            route,
            steps,
            trail=trail,
            spending=self.spending,
            vendor=self.vendor,
            breaker=self.breaker,
            asked=asked,
        )

    def vendor(self, name: str) -> Vendor | None:
        """The vendor that a model's name leads to; None for what runs here."""
        return self.vendors.get(name.partition("/")[0])

    def routed(self, name: str) -> bool:
        """Whether a route of the configuration, or one of its names, leads to a model."""
        return name in self._named or f"{name.partition('/')[0]}/*" in self._named

    @cached_property
    def _own_routes(self) -> dict[Capability, Route]:
        """Each capability's."""
        return {one: self.config.routes.of(one) for one in CAPABILITIES}

    @cached_property
    def _named(self) -> frozenset[str]:
        """The models of all routes."""
        own = self.config.routes
        written = [*(getattr(own, one) for one in CAPABILITIES), *self.config.names.values()]
        return frozenset(one for route in written for one in routes.route(route).names)

    def named(self) -> frozenset[str]:
        """The models of all routes."""
        return self._named

    @cached_property
    def _spoken(self) -> frozenset[str]:
        """The protocols of the vendors that routes lead to."""
        found = (self.vendor(name) for name in self._named)
        return frozenset(one.protocol for one in found if one is not None)

    def forwards(self, protocol: str) -> bool:
        """Whether any route leads to a vendor that speaks ``protocol``."""
        return protocol in self._spoken

    def breaker(self, name: str) -> Breaker:
        """The breaker of a vendor's model."""
        return self._breakers.setdefault(name, Breaker())

    def trail(self, capability: Capability, target: Target) -> Trail:
        """What is to be known of a call that begins now, or that goes on from another's trail.

        ForbiddenError or RateLimitedError where its key may not make it, or not now.
        """
        asks = caller.current()
        if asks.trail is not None:
            begun, asks.trail = asks.trail, None
            return begun
        ticket = self.limits.admit(asks, capability)
        trail = Trail(asks, capability, target if isinstance(target, str) else "")
        trail.ticket = ticket
        return trail

    def end_begun(self) -> None:
        """Write down the caller's call whose vendors failed, and that was found at fault before
        it could go on. Nothing where there is none.
        """
        asks = caller.current()
        begun, asks.trail = asks.trail, None
        if begun is not None:
            error = InvalidRequestError("Nothing else could be asked for it.")
            self.spending.end(begun, None, error)

    def _door(self, name: str) -> Door:
        door = self._doors.get(name)
        if door is None:
            door = self._doors[name] = Door(name, self._queue or 1)
        return door

    def _forget(self, name: str) -> None:
        """Drop what is kept beside an engine that is closed."""
        self._doors.pop(name, None)
        for capability in CAPABILITIES:
            self._batchers.pop((name, capability), None)

    def _stamp(self, result: R, trail: Trail) -> R:
        timing = Timing(total=time.perf_counter() - trail.started, first=trail.first_seconds)
        abouts = (self.registry.manifest(name) for name in result.model.split(","))
        untrained = any(about is not None and about.untrained for about in abouts)
        return msgspec.structs.replace(result, timing=timing, untrained=untrained)


async def _every(shares: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results of all shares of one call; the first failure once every one has ended.

    One that went on alone would end after the call's row was written, and nobody would settle
    what it cost.
    """
    found = await asyncio.gather(*shares, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


async def _first(pieces: AsyncGenerator[Any]) -> Any:
    return await anext(pieces, None)


def _noted(attempt: Attempt, piece: Any) -> Any:
    return attempt.answered(piece) if isinstance(piece, Result) else piece
