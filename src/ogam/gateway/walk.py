"""One call on its way through the steps of its route: which is tried, when again, when the next.

Before the first byte a failure goes to the next step; what the request is at fault for goes back
to the caller. Knows no engine: what an attempt does is the caller's code, in its ``async with``::

    for attempt in walk:
        async with attempt:
            await attempt.begin()
            return attempt.answered(await attempt.within(work(attempt.step)))
    raise walk.failure()
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Literal, TypeVar

from ogam.capabilities.base import Result
from ogam.errors import (
    BudgetError,
    DeadlineError,
    EngineError,
    LedgerError,
    NotConfiguredError,
    NotFoundError,
    OgamError,
    OverloadedError,
    RateLimitedError,
    UnsupportedOptionError,
    VendorError,
)
from ogam.gateway.breaker import Breaker
from ogam.gateway.deadline import Deadline
from ogam.gateway.spending import Asked, Spending, Stake
from ogam.gateway.trail import Trail
from ogam.routes import Route, Step
from ogam.vendors import Vendor

T = TypeVar("T")
R = TypeVar("R", bound=Result)
Outcome = Literal["answered", "refused", "failed", "abandoned"]
# Only this model cannot do it, or not now: another may.
_ELSEWHERE = (
    BudgetError,
    DeadlineError,
    EngineError,
    LedgerError,
    NotConfiguredError,
    NotFoundError,
    OverloadedError,
    UnsupportedOptionError,
)
# Of several failures the caller is told the one that says most: these say least.
_LESS_TELLING = (NotFoundError, UnsupportedOptionError, NotConfiguredError)
# Statuses by which a vendor says that it has not begun: asking again costs nothing.
_NOT_BEGUN = (429, 503)
# The mean pause before the first retry, in seconds; doubled each time, and jittered by half.
_PAUSE = 0.4
# A vendor that asks for a longer pause is left, if another stands behind it.
_PATIENCE = 2.0


class Walk:
    """The attempts of one call (or of one share of it), as an iterator."""

    def __init__(
        self,
        route: Route,
        steps: Sequence[Step],
        *,
        trail: Trail,
        spending: Spending,
        vendor: Callable[[str], Vendor | None],
        breaker: Callable[[str], Breaker],
        asked: Asked,
    ) -> None:
        self.route, self.trail, self.spending, self.asked = route, trail, spending, asked
        self.vendor, self.breaker = vendor, breaker
        self._steps = tuple(steps)
        self._failures: list[OgamError] = []
        # What costs nothing only, after a budget has refused.
        self.free_only = False

    def __iter__(self) -> Iterator[Attempt]:
        for place, step in enumerate(self._steps):
            vendor = self.vendor(step.model)
            if self.free_only and vendor is not None and not vendor.free:
                continue
            last = place + 1 == len(self._steps)
            for number in range(self.route.retries + 1):
                attempt = Attempt(self, step, vendor, number=number, last=last)
                yield attempt
                if not attempt.again:
                    break

    def left(self) -> float | None:
        """Seconds until the route's own deadline."""
        if self.route.timeout is None:
            return None
        return self.trail.started + self.route.timeout - time.perf_counter()

    def failed(self, error: OgamError) -> None:
        """Remember why an attempt did not answer."""
        self._failures.append(error)

    def failure(self) -> OgamError:
        """What to tell the caller after every attempt has failed."""
        if not self._failures:
            return NotConfiguredError(
                "No step of the route is for this request.",
                hint="ogam route explain shows which is tried, and why.",
            )
        telling = (one for one in reversed(self._failures) if not isinstance(one, _LESS_TELLING))
        return next(telling, self._failures[0])


class Attempt:
    """One step, tried once. ``again``: the same step is to be tried after ``pause`` seconds."""

    def __init__(
        self, walk: Walk, step: Step, vendor: Vendor | None, *, number: int, last: bool
    ) -> None:
        self.step, self.vendor = step, vendor
        self.again = False
        self._walk, self._number, self._last = walk, number, last
        self._stake: Stake | None = None
        self._breaker: Breaker | None = None
        self._committed = False
        self._result: Result | None = None
        self._declined, self._told = False, True
        self._started = time.perf_counter()

    @property
    def paid(self) -> bool:
        """Whether it may cost money."""
        return self.vendor is not None and not self.vendor.free

    @property
    def hold(self) -> str:
        """The id of what was set aside for it; empty where nothing was."""
        return self._stake.hold if self._stake else ""

    async def begin(self) -> None:
        """Pass the breaker and set money aside; nothing was sent before."""
        if self.vendor is None:
            return
        breaker = self._walk.breaker(self.step.model)
        if not breaker.admit():
            wait = breaker.wait()
            raise OverloadedError(
                f"{self.step.model} has failed and is left alone for {wait:.0f} s.",
                hint="Give its route another model behind it.",
                retry_after=max(1.0, wait),
            )
        self._breaker = breaker
        if not self.vendor.free:
            self._stake = await self._walk.spending.stake(
                self._walk.trail, self.step.model, self.vendor, self._walk.asked
            )

    async def within(self, work: Awaitable[T]) -> T:
        """``work`` inside this attempt's deadline, which lies inside the route's."""
        own = self.vendor.timeout if self.vendor else None
        limits = [one for one in (self.step.timeout, own, self._walk.left()) if one is not None]
        if not limits:
            return await work
        seconds = max(0.0, min(limits))
        try:
            with Deadline(seconds):
                return await work
        except TimeoutError:
            raise DeadlineError(
                f"{self.step.model} did not answer within {seconds:.3g} s."
            ) from None

    def commit(self) -> None:
        """The first byte is out: nothing else is tried from here on."""
        self._committed = True
        self._walk.trail.first()

    def answered(self, result: R) -> R:
        """It answered whole."""
        self._result = result
        return result

    def untold(self) -> None:
        """It answered, and did not say what it used."""
        self._told = False

    def declined(self) -> None:
        """It found the request at fault, and says so itself."""
        self._declined = True

    async def __aenter__(self) -> Attempt:
        if self._number:
            await asyncio.sleep(self._walk.trail.pause)
        self._started = time.perf_counter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._result is not None:
            self._close("answered", None)
            return False
        if self._declined and error is None:
            self._close("refused", None)
            return False
        if not isinstance(error, OgamError):
            # The caller has left, or it is a mistake of ours: the vendor may have worked.
            self._close("abandoned", error)
            return False
        if not isinstance(error, _ELSEWHERE) or isinstance(error, RateLimitedError):
            self._close("refused", error)
            return False
        refused = not isinstance(error, EngineError | DeadlineError)
        self._close("refused" if refused else "failed", error)
        if self._committed or self._out_of_time():
            return False
        if isinstance(error, BudgetError | LedgerError):
            if self._walk.route.over_budget != "next":
                return False
            self._walk.free_only = True
        self._walk.failed(error)
        pause = self._pause(error)
        if pause is not None:
            self.again, self._walk.trail.pause = True, pause
        return True

    def _out_of_time(self) -> bool:
        left = self._walk.left()
        return left is not None and left <= 0

    def _pause(self, error: OgamError) -> float | None:
        """How long to wait before the same vendor is asked again; None: it is not."""
        if not isinstance(error, VendorError) or self._number >= self._walk.route.retries:
            return None
        if error.sent and error.status not in _NOT_BEGUN:
            return None
        if error.retry_after is not None:
            pause = error.retry_after
            if pause > _PATIENCE and not self._last:
                return None
        else:
            pause = _PAUSE * 2**self._number * random.uniform(0.5, 1.5)  # noqa: S311
        left = self._walk.left()
        enough = self.vendor.timeout if self.vendor else _PATIENCE
        return pause if pause < (enough if left is None else left) else None

    def _close(self, outcome: Outcome, error: BaseException | None) -> None:
        if self._breaker is not None:
            if outcome == "answered":
                self._breaker.succeeded()
            elif outcome == "failed":
                after = error.retry_after if isinstance(error, VendorError) else None
                self._breaker.failed(after)
            else:
                self._breaker.passed()
        took = time.perf_counter() - self._started
        self._walk.trail.attempt(self.step.model, outcome, took, error)
        if self._stake is not None:
            if self._result is not None and self._told:
                self._stake.settle(self._result)
            elif self._result is None and (outcome == "refused" or not may_be_billed(error)):
                self._stake.release()
            else:
                self._stake.leave()


def may_be_billed(error: BaseException | None) -> bool:
    """Whether a vendor may ask money for an attempt that failed so."""
    if isinstance(error, VendorError):
        return error.sent and (error.status is None or error.status >= 500)
    return not isinstance(error, OgamError) or isinstance(error, EngineError | DeadlineError)
