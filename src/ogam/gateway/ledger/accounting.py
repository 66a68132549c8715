"""What a hold and its end do to the budgets: the whole of the accounting, and no I/O.

Each state of a hold, and what it counts as under every budget it falls under::

    admit ── held ──sent()── sent ──────────┐
              │ │              │            │ its process died, or nobody knows the bill
              │ └─lapse─ lapsed│            │
              │  (nothing)     │         unknown   counts in full, as held
              ├────────────────┼────────────┘ │
              │             settle ── settled (its cost, as settled)
              └─release─ released (nothing)

For each budget and period ``settled + held <= cap``: a hold is admitted only where its bound
fits, and a settlement is never above that bound. Two things may break it, and neither by
admitting a call: an operator lowers the cap, and a vendor bills above a bound that was thought
proven. The bill is then charged all the same and reported as an overrun, because what was spent
was spent; nothing more is admitted until there is room again.

A budget that is made today counts what was spent before in its present period. So a counter is
always the sum of the holds that fall under it, and can be added up anew at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from ogam.errors import BudgetError, UnpricedError
from ogam.gateway.ledger.values import Budget, Hold, Settlement, State, period_of, span
from ogam.gateway.money import dollars

# Which holds set their bound aside.
OPEN: frozenset[State] = frozenset(("held", "sent", "unknown"))


class Entry(msgspec.Struct, gc=False):
    """A hold as the accounts see it. ``cost`` is 0 until it is settled."""

    id: str
    call: str
    at: int
    key: str
    capability: str
    vendor: str
    bound: int | None
    state: State
    cost: int = 0

    @classmethod
    def of(cls, hold: Hold) -> Entry:
        """The entry of a new hold."""
        return cls(
            hold.id,
            hold.call,
            hold.at,
            hold.key,
            hold.capability,
            hold.vendor,
            hold.bound,
            "sent" if hold.sent else "held",
        )


class Counter(msgspec.Struct, gc=False):
    """What one budget's holds come to in one period."""

    settled: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """What is no longer left of the cap."""
        return self.settled + self.held


class Place(NamedTuple):
    """Where something counts: a budget's id, and the name of the period."""

    budget: str
    period: str


class Settled(NamedTuple):
    """What a settlement came to. ``repeated``: the hold had ended before, nothing was changed.
    ``over`` is what was billed above the bound.
    """

    cost: int = 0
    over: int = 0
    repeated: bool = False


class Budgets:
    """The budgets in force, found by what a hold is for."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._by_scope: dict[tuple[str, str], list[Budget]] = {}
        for budget in sorted(budgets, key=lambda one: one.id):
            self._by_scope.setdefault((budget.scope, budget.subject), []).append(budget)

    def over(self, hold: Entry) -> Iterator[tuple[Budget, Place]]:
        """Every budget that ``hold`` falls under, and where it counts there."""
        found = self._by_scope
        if not found:
            return
        for scope in (
            ("total", ""),
            ("key", hold.key),
            ("capability", hold.capability),
            ("vendor", hold.vendor),
        ):
            for budget in found.get(scope, ()):
                yield budget, Place(budget.id, period_of(budget.period, hold.at))


class Accounts:
    """The part of the books that a few operations touch: their holds, and the counters of those.

    Made for one transaction and written back with it, or thrown away, ``counters`` too. Before
    an operation its hold must be in ``holds`` (but for a new one) and the counters of its
    ``places`` in ``counters``.
    """

    def __init__(self, budgets: Budgets, counters: dict[Place, Counter] | None = None) -> None:
        self._budgets = budgets
        self.holds: dict[str, Entry] = {}
        self.counters: dict[Place, Counter] = {} if counters is None else counters
        self.touched: set[Place] = set()

    def places(self, holds: Iterable[Entry]) -> set[Place]:
        """The counters that these holds fall under."""
        return {place for hold in holds for _, place in self._budgets.over(hold)}

    def admit(self, entry: Entry) -> None:
        """Set the hold's bound aside under every budget, or under none.

        BudgetError names the budget that has too little left, the tightest where several have.
        UnpricedError where the bound is not known and a budget stands over it.
        """
        over = list(self._budgets.over(entry))
        bound = entry.bound
        if over:
            if bound is None:
                raise _unpriced(over[0][0], entry)
            tight = min(over, key=lambda one: one[0].cap - self.counters[one[1]].total)
            budget, place = tight
            if self.counters[place].total + bound > budget.cap:
                raise _refused(budget, place, self.counters[place], bound)
            for _, place in over:
                self._counter(place).held += bound
        self.holds[entry.id] = entry

    def adopt(self, entry: Entry) -> None:
        """Take in a hold that was let through while the books were shut, fit or not."""
        for place in self.places((entry,)):
            self._counter(place).held += entry.bound or 0
        self.holds[entry.id] = entry

    def sent(self, hold_id: str) -> bool:
        """The call goes out. False where its money is no longer set aside: it must not."""
        entry = self.holds.get(hold_id)
        if entry is None or entry.state not in ("held", "sent"):
            return False
        entry.state = "sent"
        return True

    def settle(self, settlement: Settlement) -> Settled:
        """End a hold. What has ended before stays as it is, but for one that had only lapsed.

        A lapsed hold was never sent as far as anybody knew. If it costs something after all, it
        is charged in full, as over its bound: nothing was set aside for it any more.
        """
        entry = self.holds[settlement.hold]
        if entry.state in ("settled", "released"):
            return Settled(repeated=True)
        if settlement.outcome == "unknown":
            return self._unknown(entry)
        if settlement.outcome == "released":
            self._move(entry, "released")
            return Settled()
        cost = settlement.cost or 0
        aside = 0 if entry.state == "lapsed" else entry.bound
        if entry.state == "lapsed" and not cost:
            return Settled()
        self._move(entry, "settled", cost)
        return Settled(cost=cost, over=0 if aside is None else max(0, cost - aside))

    def lapse(self, hold_id: str) -> None:
        """Its process died: nothing was sent and it lapses, or all of it stays set aside."""
        entry = self.holds[hold_id]
        if entry.state == "held":
            self._move(entry, "lapsed")
        elif entry.state == "sent":
            entry.state = "unknown"

    def reconcile(self, hold_id: str, cost: int) -> Settled:
        """Say what a hold cost that nobody could settle. Repeated where it is not such a one."""
        if self.holds[hold_id].state != "unknown":
            return Settled(repeated=True)
        return self.settle(Settlement(hold=hold_id, cost=cost))

    def _unknown(self, entry: Entry) -> Settled:
        if entry.state == "lapsed":
            return Settled(repeated=True)
        entry.state = "unknown"
        return Settled()

    def _move(self, entry: Entry, state: State, cost: int = 0) -> None:
        aside = entry.bound or 0 if entry.state in OPEN else 0
        for place in self.places((entry,)):
            counter = self._counter(place)
            counter.held -= aside
            counter.settled += cost
        entry.state, entry.cost = state, cost

    def _counter(self, place: Place) -> Counter:
        self.touched.add(place)
        return self.counters[place]


def _refused(budget: Budget, place: Place, counter: Counter, needed: int) -> BudgetError:
    left = budget.cap - counter.total
    until = span(place.period)
    later = f"wait until {_day_after(place)} (UTC), " if until else ""
    return BudgetError(
        f"The call may cost up to {dollars(needed)}, and {dollars(max(0, left))} is left of "
        f"{_named(budget)}: {dollars(counter.settled)} is spent and {dollars(counter.held)} set "
        f"aside for calls under way.",
        hint=f"Ask for less, {later}or raise the budget.",
        budget=budget.id,
        needed=needed,
        left=left,
    )


def _unpriced(budget: Budget, entry: Entry) -> UnpricedError:
    return UnpricedError(
        f"Nobody knows what this call can cost at {entry.vendor}, and {_named(budget)} stands "
        "over it.",
        hint="Give the model a price, ask for less, or use a local model.",
        budget=budget.id,
    )


def _named(budget: Budget) -> str:
    whose = "" if budget.scope == "total" else f" for the {budget.scope} {budget.subject!r}"
    often = {"day": "a day", "month": "a month", "ever": "in all"}[budget.period]
    return f"the budget {budget.id!r} ({dollars(budget.cap)} {often}{whose})"


def _day_after(place: Place) -> str:
    from ogam.gateway.ledger.values import day_of

    ends = span(place.period)
    return day_of(ends[1]) if ends else ""
