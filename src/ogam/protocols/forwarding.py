"""Bodies that go through unchanged: a request whose route leads to a vendor of its own protocol.

What routing, budget and ledger need is read; all else arrives as it was sent, and so does the
reply. What the vendor finds wrong in a request the client reads in the vendor's words. Where the
vendor fails before its first byte, and something else stands behind it, the call goes on there.
Knows no vendor: a protocol says how it sends, what that can cost and what it did use.
"""

from __future__ import annotations

import typing
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ogam.capabilities.base import Capability, Units
from ogam.errors import OgamError, VendorError
from ogam.gateway import caller, routing
from ogam.gateway.bounds import Unprovable
from ogam.gateway.cache_keys import Ask
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.passed import PassedHead, PassedRequest, PassedResult
from ogam.gateway.routing import Facts
from ogam.gateway.spending import Asked
from ogam.gateway.trail import Trail
from ogam.gateway.walk import Attempt, Walk
from ogam.protocols.forwarding_client import DROPPED
from ogam.protocols.serving import Call, Passed, Protocol, SocketCall, Stream, begun
from ogam.routes import Route, Step, matches

# What tells of other fields is needed until they are dropped.
_dropped = frozenset(name.encode() for name in DROPPED - {"connection"})
# A reply's names; what stands under them is not read.
_names = msgspec.json.Decoder(dict[str, msgspec.Raw])


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

    def same(self) -> PassedRequest | None:
        """What makes two of it equal; None where that is not to be told of its bytes."""
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

    def same(self) -> PassedRequest | None:
        """Nothing that tells."""
        return None

    def open(self, engine: Any, model: str, *, paid: bool) -> typing.NoReturn:
        """Nothing asks for that."""
        raise NotImplementedError


class ExhaustedError(Exception):
    """Every step failed; ``failure`` says why, to who has nothing else to ask."""

    def __init__(self, failure: OgamError) -> None:
        super().__init__(str(failure))
        self.failure = failure


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


class Way(NamedTuple):
    """Where a call can go unchanged: its route, the first steps to try, and what is behind them."""

    route: Route
    steps: tuple[Step, ...]
    behind: tuple[Step, ...]

    def hand_on(self, trail: Trail) -> None:
        """The caller's next call is this one, at what is behind."""
        asks = caller.current()
        asks.trail, asks.rest = trail, msgspec.structs.replace(self.route, models=self.behind)


def way(
    call: Call | SocketCall, capability: Capability, target: Target, facts: Callable[[], Facts]
) -> Way | None:
    """To vendors of the call's own protocol; None where others are to be tried first."""
    gateway, speaks = call.gateway, call.protocol.name
    route = gateway.route(capability, target)
    if not any(_vendor_of(gateway, step.model, speaks) for step in route.steps):
        return None
    asks = caller.current()
    steps = [_named(gateway, step, call.protocol, asks.asked) for step in route.steps]
    planned = routing.plan(steps, facts(), asks).steps
    count = 0
    while count < len(planned) and _vendor_of(gateway, planned[count].model, speaks):
        count += 1
    return Way(route, planned[:count], planned[count:]) if count else None


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
    found = way(call, capability, target, passing.facts)
    if found is None:
        return None
    gateway, (route, steps, behind) = call.gateway, found
    same = passing.same() if route.cache else None
    if route.cache and same is None:
        return None  # what cannot be kept as it came is kept by the ordinary way
    trail = gateway.trail(capability, target)
    walk = gateway.walk(trail, route, steps, passing)
    ask = Ask(trail, route, steps, same)
    result: PassedResult | None = None
    failure: BaseException | None = None
    over = not passing.streamed
    try:
        if passing.streamed:
            flow = await call.while_there(begun(_flowing(gateway, ask, walk, passing)))
            response = Stream(flow, media_type="text/event-stream", broken=broken)
            head: PassedHead = await anext(flow)
            response.status_code = head.status
            response.headers.update(_fields(head, trail))
            return response
        work = gateway.cache.answer(ask, lambda: _sent(gateway, walk, passing, unsettled))
        result = await call.while_there(work)
        assert result is not None
        _record(gateway, ask, passing, result)
        return Passed(result.body, result.status, _fields(result, trail))
    except ExhaustedError as error:
        if not behind:
            over, failure = True, error.failure
            raise error.failure from None
        over = False
        found.hand_on(trail)
        return None
    except BaseException as error:
        failure = error
        raise
    finally:
        if over and not trail.left:
            gateway.spending.end(trail, _answered(result), failure)


def _vendor_of(gateway: Gateway, name: str, protocol: str) -> bool:
    vendor = gateway.vendor(name)
    return vendor is not None and vendor.protocol == protocol


def _named(gateway: Gateway, step: Step, protocol: Protocol, asked: str) -> Step:
    """A step ``vendor`` with the model of the vendor's that the caller named, if any; a step
    ``vendor/*`` without it, where the caller named none: the vendor then has one of its own.
    """
    vendor, _, model = step.model.partition("/")
    if model not in ("", "*") or not _vendor_of(gateway, vendor, protocol.name):
        return step
    if not model and matches(asked, protocol.vendor_names):
        return msgspec.structs.replace(step, model=f"{vendor}/{asked}")
    return msgspec.structs.replace(step, model=vendor) if model and not asked else step


async def _sent(
    gateway: Gateway,
    walk: Walk,
    passing: Passing,
    unsettled: Callable[[str, str], None] | None,
) -> PassedResult:
    """The reply of the first that gives one."""
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
            result = _done(walk.trail, attempt, head, body, units)
            if unsettled is not None and head.status < 400 and units is None:
                unsettled(attempt.step.model, attempt.hold)
            return result
    raise ExhaustedError(walk.failure())


async def _flowing(gateway: Gateway, ask: Ask, walk: Walk, passing: Passing) -> AsyncGenerator[Any]:
    """First the head, then the body. The call is over when it is, but for one that goes on."""
    result: PassedResult | None = None
    failure: BaseException | None = None
    over = True
    try:
        source = gateway.cache.stream(ask, lambda: _pieces(gateway, walk, passing))
        async with aclosing(source) as pieces:
            async for piece in pieces:
                if isinstance(piece, PassedResult):
                    result = piece
                    _record(gateway, ask, passing, piece)
                else:
                    yield piece
    except ExhaustedError:
        over = False
        raise
    except BaseException as error:
        failure = error
        raise
    finally:
        if over and not ask.trail.left:
            gateway.spending.end(ask.trail, _answered(result), failure)


async def _pieces(gateway: Gateway, walk: Walk, passing: Passing) -> AsyncGenerator[Any]:
    """The head, the body piece by piece, and the result."""
    keeps = bool(walk.route.record or walk.route.cache)
    for attempt in walk:
        async with attempt:
            await attempt.begin()
            engine = gateway.engine(walk.trail.capability, attempt.step.model)
            opening = passing.open(engine, _model(attempt), paid=attempt.paid)
            async with opening as flow, aclosing(flow.pieces()) as pieces:
                first = await attempt.within(_next(pieces))
                attempt.commit()
                name = walk.trail.caller.answered = attempt.step.model
                head = flow.head
                yield PassedHead(model=name, status=head.status, headers=head.headers)
                kept = [first or b""]
                if first is not None:
                    yield first
                async for piece in pieces:
                    if keeps:
                        kept.append(piece)
                    yield piece
                body = b"".join(kept) if keeps else b""
                yield _done(walk.trail, attempt, flow.head, body, flow.units)
            return
    raise ExhaustedError(walk.failure())


def _record(gateway: Gateway, ask: Ask, passing: Passing, result: PassedResult) -> None:
    """Keep what was asked and answered, where the route says so: of sound its hash."""
    if not ask.route.record or not passing.said:
        return
    kind, body = dict(result.headers).get("content-type", ""), result.body
    if not kind.startswith(("application/json", "text/")):
        body = msgspec.json.encode({"media_type": kind, "sha256": sha256(body).hexdigest()})
    gateway.spending.record(ask.trail, ask.route, passing.said, body)


def _keeps(promised: tuple[str, ...] | None, head: Head, body: bytes) -> bool:
    said = dict(head.headers)
    if promised is None:
        return not said.get("content-type", "").startswith("application/json")
    if said.get("content-encoding", "identity") != "identity":
        return True  # it cannot be read here
    try:
        names = _names.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return not promised or any(one in names for one in promised)


async def _next(pieces: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(pieces, None)


def _model(attempt: Attempt) -> str:
    return attempt.step.model.partition("/")[2]


def _done(
    trail: Trail, attempt: Attempt, head: Head, body: bytes, units: Units | None
) -> PassedResult:
    name = attempt.step.model
    trail.caller.answered = name
    result = PassedResult(
        engine=name.partition("/")[0],
        model=name,
        units=units or Units(),
        status=head.status,
        headers=head.headers,
        body=body,
    )
    if head.status >= 400:
        attempt.declined()
        return result
    if units is None:
        attempt.untold()
    return attempt.answered(result)


def _answered(result: PassedResult | None) -> PassedResult | None:
    """For the row: a refusal is no answer."""
    return result if result is not None and result.status < 400 else None


def _fields(head: PassedHead | PassedResult, trail: Trail) -> dict[str, str]:
    """The header fields of a reply; one that was kept has no more than what its body needs."""
    kept = dict(head.headers)
    if trail.cache:
        kept = {name: value for name, value in kept.items() if name.startswith("content-")}
    kept["x-ogam-engine"], kept["x-ogam-model"] = head.model.partition("/")[0], head.model
    return kept


def fields(request: Request) -> Sequence[tuple[str, str]]:
    """The header fields of a request, but for those that never go on. A client's are the same
    from call to call, but for the length of what it says.
    """
    given: list[tuple[bytes, bytes]] = request.scope["headers"]
    return _decoded(tuple([one for one in given if one[0] not in _dropped]))


@lru_cache(64)
def _decoded(given: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in given])


def unknown(name: str) -> Unprovable:
    """Nobody knows what ``name`` costs."""
    return Unprovable(reason=f"What {name[:60]!r} costs is not known.", hint="Leave it out.")


def same(call: Call, body: Any, *, text: str = "", query: str | None = None) -> PassedRequest:
    """The request of ``call`` as the cache is to know it; ``query`` in place of its own."""
    scope = call.request.scope
    given = scope["query_string"].decode("latin-1") if query is None else query
    return PassedRequest(
        where=f"{call.protocol.name} {scope['path']}?{given}", body=body, text=text
    )
