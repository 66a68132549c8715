"""Bodies that go through unchanged: a request whose route leads to a vendor of its own protocol.

What routing, budget and ledger need is read; all else arrives as it was sent, and so does the
reply. What the vendor finds wrong in a request the client reads in the vendor's words. Where the
vendor fails before its first byte, and something else stands behind it, the call goes on there.
Knows no vendor: a protocol says how it sends, what that can cost and what it did use.
"""

from __future__ import annotations

import fnmatch
import typing
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from hashlib import sha256
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Capability, Result, Units
from ogam.errors import OgamError, VendorError
from ogam.gateway import caller, routing
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.routing import Facts
from ogam.gateway.spending import Asked
from ogam.gateway.trail import Trail
from ogam.gateway.walk import Attempt, Walk
from ogam.protocols.serving import Call, Protocol, Stream, begun
from ogam.routes import Step


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's reply before its body. ``headers`` are those that may go to the client."""

    status: int
    headers: tuple[tuple[str, str], ...]


class Passing(Asked, typing.Protocol):
    """One request that may go through: what a protocol knows of it.

    A whole reply that is no failure must be a JSON object, with one of the names ``promised``
    where there are any; where that is None it must be something else than JSON.
    """

    streamed: bool
    promised: tuple[str, ...] | None

    @property
    def said(self) -> bytes:
        """The body, for a route that keeps what was asked; empty where it is not to be kept."""
        ...

    def facts(self) -> Facts:
        """What conditions of a route are about."""
        ...

    async def send(
        self, engine: Any, model: str, *, paid: bool
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole, for ``model``; the reply, and what it says it used. Where it is
        ``paid``, with a maximum, without which its cost would have no bound.
        """
        ...

    def open(self, engine: Any, model: str, *, paid: bool) -> AbstractAsyncContextManager[Flow]:
        """The same, for a reply that is read as it comes."""
        ...


class Whole:
    """A request whose reply is always read whole: the base of such a :class:`Passing`."""

    features: tuple[str, ...] = ()
    streamed = False
    promised: tuple[str, ...] | None = ()

    @property
    def said(self) -> bytes:
        """Nothing that can be kept."""
        return b""

    def open(self, engine: Any, model: str, *, paid: bool) -> typing.NoReturn:
        """Nothing asks for that."""
        raise NotImplementedError


class Flow(typing.Protocol):
    """A reply that comes piece by piece; ``units`` are there once it has ended whole."""

    @property
    def head(self) -> Head:
        """What stands before the body."""
        ...

    @property
    def units(self) -> Units | None:
        """What it says it used."""
        ...

    def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. VendorError where it is cut."""
        ...


async def through(
    call: Call,
    capability: Capability,
    target: Target,
    passing: Passing,
    *,
    broken: Callable[[OgamError], bytes] | None = None,
    unsettled: Callable[[str, str], None] | None = None,
) -> Response | None:
    """The vendor's own reply; None where the call is for other steps of its route.

    Then the next call of the gateway goes on where this one ended. ``unsettled`` is told the
    model that answered whole without saying what it used, and the hold that it leaves behind.
    """
    gateway = call.gateway
    route = gateway.route(capability, target)
    speaks = call.protocol.name
    if not any(_vendor_of(gateway, name, speaks) for name in route.names):
        return None
    steps = [_named(gateway, step, call.protocol) for step in route.steps]
    plan = routing.plan(steps, passing.facts(), caller.current())
    count = 0
    while count < len(plan.steps) and _vendor_of(gateway, plan.steps[count].model, speaks):
        count += 1
    if not count:
        return None
    trail = gateway.trail(capability, target)
    walk = gateway.walk(trail, route, plan.steps[:count], passing)
    if passing.streamed:
        response = await _streamed(call, walk, passing, broken)
    else:
        response = await call.while_there(_sent(gateway, walk, passing, unsettled))
    if response is not None:
        return response
    behind = plan.steps[count:]
    if not behind:
        error = walk.failure()
        gateway.spending.end(trail, None, error)
        raise error
    asks = caller.current()
    asks.trail, asks.rest = trail, msgspec.structs.replace(route, models=behind)
    return None


def _vendor_of(gateway: Gateway, name: str, protocol: str) -> bool:
    vendor = gateway.vendor(name)
    return vendor is not None and vendor.protocol == protocol


def _named(gateway: Gateway, step: Step, protocol: Protocol) -> Step:
    """A step ``vendor`` with the model of the vendor's that the caller named, if any; a step
    ``vendor/*`` without it, where the caller named none: the vendor then has one of its own.
    """
    vendor, _, model = step.model.partition("/")
    asked = caller.current().asked
    if model not in ("", "*") or not _vendor_of(gateway, vendor, protocol.name):
        return step
    if not model and any(fnmatch.fnmatchcase(asked, one) for one in protocol.vendor_names):
        return msgspec.structs.replace(step, model=f"{vendor}/{asked}")
    return msgspec.structs.replace(step, model=vendor) if model and not asked else step


async def _sent(
    gateway: Gateway,
    walk: Walk,
    passing: Passing,
    unsettled: Callable[[str, str], None] | None,
) -> Response | None:
    result = None
    failure: BaseException | None = None
    over = True
    try:
        for attempt in walk:
            async with attempt:
                await attempt.begin()
                engine = gateway.engine(walk.trail.capability, attempt.step.model)
                sending = passing.send(engine, _model(attempt), paid=attempt.paid)
                head, body, units = await attempt.within(sending)
                if head.status < 400 and not _keeps(passing.promised, head, body):
                    raise VendorError(
                        f"{attempt.step.model} answered what its protocol does not promise."
                    )
                result = _done(walk.trail, attempt, head, units)
                _record(gateway, walk, passing, head, body)
                if unsettled is not None and result is not None and units is None:
                    unsettled(attempt.step.model, attempt.hold)
                return Response(body, head.status, _headers(attempt, head))
        over = False
        return None
    except BaseException as error:
        failure = error
        raise
    finally:
        if over:
            gateway.spending.end(walk.trail, result, failure)


async def _streamed(
    call: Call, walk: Walk, passing: Passing, broken: Callable[[OgamError], bytes] | None
) -> Response | None:
    flow = await call.while_there(begun(_flowing(call.gateway, walk, passing)))
    head = await anext(flow)
    if head is None:
        await flow.aclose()
        return None
    attempt, said = head
    response = Stream(flow, media_type="text/event-stream", broken=broken)
    response.status_code = said.status
    response.headers.update(_headers(attempt, said))
    return response


async def _flowing(gateway: Gateway, walk: Walk, passing: Passing) -> AsyncGenerator[Any]:
    """First the head (None: all failed), then the body."""
    result = None
    failure: BaseException | None = None
    over = True
    try:
        for attempt in walk:
            async with attempt:
                await attempt.begin()
                engine = gateway.engine(walk.trail.capability, attempt.step.model)
                opening = passing.open(engine, _model(attempt), paid=attempt.paid)
                async with opening as flow, aclosing(flow.pieces()) as pieces:
                    first = await attempt.within(_next(pieces))
                    attempt.commit()
                    walk.trail.caller.answered = attempt.step.model
                    yield attempt, flow.head
                    kept = [first or b""]
                    if first is not None:
                        yield first
                    async for piece in pieces:
                        if walk.route.record:
                            kept.append(piece)
                        yield piece
                    result = _done(walk.trail, attempt, flow.head, flow.units)
                    _record(gateway, walk, passing, flow.head, b"".join(kept))
                return
        over = False
        yield None
    except BaseException as error:
        failure = error
        raise
    finally:
        if over:
            gateway.spending.end(walk.trail, result, failure)


def _record(gateway: Gateway, walk: Walk, passing: Passing, head: Head, body: bytes) -> None:
    """Keep what was asked and answered, where the route says so: of sound its hash."""
    if not walk.route.record or not passing.said:
        return
    kind = dict(head.headers).get("content-type", "")
    if not kind.startswith(("application/json", "text/")):
        body = msgspec.json.encode({"media_type": kind, "sha256": sha256(body).hexdigest()})
    gateway.spending.record(walk.trail, walk.route, passing.said, body)


def _keeps(promised: tuple[str, ...] | None, head: Head, body: bytes) -> bool:
    said = dict(head.headers)
    if promised is None:
        return not said.get("content-type", "").startswith("application/json")
    if said.get("content-encoding", "identity") != "identity":
        return True  # it cannot be read here
    try:
        names = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return not promised or any(one in names for one in promised)


async def _next(pieces: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(pieces, None)


def _model(attempt: Attempt) -> str:
    return attempt.step.model.partition("/")[2]


def _done(trail: Trail, attempt: Attempt, head: Head, units: Units | None) -> Result | None:
    name = attempt.step.model
    trail.caller.answered = name
    if head.status >= 400:
        attempt.declined()
        return None
    if units is None:
        attempt.untold()
    return attempt.answered(
        Result(engine=name.partition("/")[0], model=name, units=units or Units())
    )


def _headers(attempt: Attempt, head: Head) -> dict[str, str]:
    name = attempt.step.model
    own = {"x-ogam-engine": name.partition("/")[0], "x-ogam-model": name}
    return {**dict(head.headers), **own}
