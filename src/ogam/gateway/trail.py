"""What happened to one call, for its row in the ledger: who asked, what was tried, what it cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ogam.capabilities.base import Capability, Result, Units
from ogam.errors import (
    BudgetError,
    DeadlineError,
    EngineError,
    LedgerError,
    OgamError,
    OverloadedError,
)
from ogam.gateway.caller import Caller
from ogam.gateway.ledger.values import Attempt, Cache, Row, Settlement

if TYPE_CHECKING:
    from ogam.gateway.limits import Ticket


# What kept a model from answering, and may not keep it for long.
_PASSING = (BudgetError, DeadlineError, EngineError, LedgerError, OverloadedError)


class Trail:
    """One call's. ``route`` is the name that the client gave, or empty. Once the caller has
    ``left`` work that others wait for, its row is written when that ends.
    """

    def __init__(self, caller: Caller, capability: Capability, route: str) -> None:
        self.caller, self.route = caller, route
        self.capability: Capability = capability
        self.id = caller.next_id()
        self.at = time.time_ns() // 1_000_000
        self.started = time.perf_counter()
        self.pause = 0.0
        self.cache: Cache = ""
        self.left = False
        self.cost = 0
        self.price_version = ""
        self.settlements: list[Settlement] = []
        self.ticket: Ticket | None = None
        self._attempts: list[tuple[str, str, float, BaseException | None]] = []
        self._first: float | None = None
        self._holds = 0

    def next_hold(self) -> str:
        """An id for money set aside for one attempt."""
        self._holds += 1
        return f"{self.id}-{self._holds}"

    def attempt(
        self, model: str, outcome: str, seconds: float, error: BaseException | None
    ) -> None:
        """A model was tried."""
        self._attempts.append((model, outcome, seconds, error))

    def first(self) -> None:
        """The first piece of the answer is there."""
        if self._first is None:
            self._first = time.perf_counter() - self.started

    @property
    def makeshift(self) -> bool:
        """Whether a model that should have come first failed for a reason that may pass."""
        answered = {model for model, outcome, _, _ in self._attempts if outcome == "answered"}
        return any(
            isinstance(error, _PASSING) and model not in answered
            for model, _, _, error in self._attempts
        )

    @property
    def first_seconds(self) -> float | None:
        """Seconds until the first piece of a stream."""
        return self._first

    def row(self, result: Result | None, error: BaseException | None) -> Row:
        """The call as the ledger keeps it."""
        tried = [
            Attempt(model=model, outcome=outcome, ms=round(seconds * 1000), error=_named(failure))
            for model, outcome, seconds, failure in self._attempts
        ]
        return Row(
            id=self.id,
            at=self.at,
            key=self.caller.key.id,
            capability=self.capability,
            protocol=self.caller.protocol,
            route=self.route,
            attempts=tuple(tried),
            engine=result.engine if result else "",
            model=result.model if result else "",
            units=result.units if result else Units(),
            price_version=self.price_version,
            cost=self.cost,
            first_ms=None if self._first is None else round(self._first * 1000),
            total_ms=round((time.perf_counter() - self.started) * 1000),
            cache=self.cache,
            status=_named(error) or "ok",
        )


def _named(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, OgamError):
        return type(error).__name__.removesuffix("Error")
    return "Abandoned" if not isinstance(error, Exception) else type(error).__name__
