"""What goes into the ledger and comes out of it. Knows no database.

Money is in whole nano-dollars, times are milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec

from ogam.capabilities.base import Units

Scope = Literal["total", "key", "capability", "vendor"]
Period = Literal["day", "month", "ever"]
Cache = Literal["", "hit", "semantic", "shared", "replay"]
# `held`: set aside, the call not yet sent. `sent`: it may be billed. `unknown`: it may have been
# billed, and nobody is left to say how much. The other three are ends.
State = Literal["held", "sent", "unknown", "settled", "released", "lapsed"]
Grouping = Literal["key", "capability", "vendor", "model", "day"]

_DAY_MS = 86_400_000


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with keyword-only fields."""


class Hold(_Value, frozen=True, kw_only=True):
    """Money set aside for one attempt of a call.

    ``bound`` is the most that it can cost; None where nobody knows that, which no budget may
    stand over. The hold belongs to the periods that ``at`` lies in, whenever it is settled. With
    ``sent`` it counts as sent from the start: one transaction less where the request follows
    at once.
    """

    id: str
    call: str
    at: int
    key: str = ""
    capability: str
    vendor: str
    model: str
    bound: int | None
    price_version: str = ""
    sent: bool = False


class Settlement(_Value, frozen=True, kw_only=True):
    """How a hold ends.

    ``settled``: it cost ``cost``. ``released``: it was never billed. ``unknown``: it may have
    been, so that all of it stays set aside until it is reconciled.
    """

    hold: str
    cost: int | None = None
    outcome: Literal["settled", "released", "unknown"] = "settled"


class Attempt(_Value, frozen=True, kw_only=True, omit_defaults=True):
    """One model that was tried for a call: what came of it, after how long, at what cost."""

    model: str
    outcome: str
    ms: int
    cost: int = 0
    error: str = ""


class Row(_Value, frozen=True, kw_only=True):
    """One call, as it is kept.

    ``route`` is what the client asked for, ``attempts`` what was tried, ``engine`` and ``model``
    what answered, ``status`` "ok" or the error's name. ``cost`` is what the call's settled holds
    come to: the ledger adds that up itself, whatever is given here.
    """

    id: str
    at: int
    key: str = ""
    capability: str
    protocol: str = ""
    route: str = ""
    attempts: tuple[Attempt, ...] = ()
    engine: str = ""
    model: str = ""
    units: Units = Units()
    price_version: str = ""
    cost: int = 0
    first_ms: int | None = None
    total_ms: int = 0
    cache: Cache = ""
    status: str = "ok"


class Budget(_Value, frozen=True, kw_only=True):
    """A cap on what a scope may cost in each period of the UTC calendar.

    ``subject`` is the key's id, the capability or the vendor; empty for ``total``.
    """

    id: str
    scope: Scope
    subject: str = ""
    period: Period
    cap: int


class BudgetState(_Value, frozen=True, kw_only=True):
    """A budget in its present period (``2026-11-22``, ``2026-11`` or ``ever``).

    ``held`` is set aside for calls under way and for those that nobody could settle. ``left``
    is below zero where more was spent than the cap allows: it was lowered, or a vendor billed
    over a bound.
    """

    budget: Budget
    period: str
    settled: int
    held: int

    @property
    def left(self) -> int:
        """What may still be set aside."""
        return self.budget.cap - self.settled - self.held


class OpenHold(_Value, frozen=True, kw_only=True):
    """A hold that still sets money aside."""

    hold: Hold
    state: State


class Usage(_Value, frozen=True, kw_only=True):
    """Sums over a group of calls; a field that was not grouped by is empty.

    ``cost`` is what was settled and ``unknown`` what is set aside for attempts that nobody could
    settle, both counted where the money went: the vendor and model that were asked, on the day
    they were. ``calls`` and ``units`` count for what answered.
    """

    key: str = ""
    capability: str = ""
    vendor: str = ""
    model: str = ""
    day: str = ""
    calls: int = 0
    units: Units = Units()
    cost: int = 0
    unknown: int = 0


class StoredKey(_Value, frozen=True, kw_only=True):
    """One of Ogam's own keys: its SHA-256 in hex, never itself."""

    id: str
    name: str
    hash: str
    created: int
    expires: int | None = None
    revoked: int | None = None
    limits: dict[str, Any] = {}
    allowed: dict[str, Any] = {}


class Status(_Value, frozen=True, kw_only=True):
    """How the ledger is, since it was opened in this process.

    ``error`` says in a line why it does not answer, while it does not. ``waiting`` operations
    are not yet written. What went wrong is counted: ``lost`` rows found the queue full,
    ``spoilt`` ones the database would not take, ``uncounted`` holds were let through while it
    did not answer, ``overruns`` were billed above their bound, ``repeated`` settlements came a
    second time, ``stray`` ones for a hold that was never made.
    """

    database: str
    up: bool
    error: str = ""
    waiting: int = 0
    lost: int = 0
    spoilt: int = 0
    uncounted: int = 0
    overruns: int = 0
    repeated: int = 0
    stray: int = 0


class Difference(_Value, frozen=True, kw_only=True):
    """Two sums that should be equal and are not: ``what`` was added up, and both."""

    what: str
    expected: int
    found: int


def period_of(period: Period, at: int) -> str:
    """The name of the period that ``at`` lies in: ``2026-11-22``, ``2026-11`` or ``ever``."""
    if period == "ever":
        return "ever"
    day = day_of(at)
    return day if period == "day" else day[:7]


def day_of(at: int) -> str:
    """The UTC day of a time, as ``2026-11-22``."""
    return _day(at // _DAY_MS)


def span(name: str) -> tuple[int, int] | None:
    """The first millisecond of a named period and the first after it; None for ``ever``."""
    from datetime import UTC, datetime, timedelta

    if name == "ever":
        return None
    if len(name) == 7:
        first = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        first = datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
        after = first + timedelta(days=1)
    return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).strftime("%Y-%m-%d")
