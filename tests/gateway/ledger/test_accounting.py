"""The accounting alone: random operations against a plain list of holds, added up anew."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ogam.errors import BudgetError, UnpricedError
from ogam.gateway.ledger.accounting import Accounts, Budgets, Counter, Entry, Place
from ogam.gateway.ledger.values import Budget, Settlement, period_of, span

DAY = 86_400_000
FIRST = 1_795_348_800_000  # 2026-11-22 12:00 UTC
BUDGETS = [
    Budget(id="all", scope="total", period="ever", cap=600),
    Budget(id="daily", scope="total", period="day", cap=300),
    Budget(id="monthly-a", scope="key", subject="a", period="month", cap=250),
    Budget(id="seeing", scope="capability", subject="see", period="day", cap=150),
    Budget(id="deepl", scope="vendor", subject="deepl", period="ever", cap=200),
]


def entry(name: str, bound: int | None, **values) -> Entry:
    given = {"call": name, "at": FIRST, "key": "a", "capability": "see", "vendor": "deepl"}
    return Entry(id=name, bound=bound, state="held", **{**given, **values})


def accounts(*budgets: Budget) -> Accounts:
    made = Accounts(Budgets(budgets))
    for budget in budgets:
        made.counters[Place(budget.id, period_of(budget.period, FIRST))] = Counter()
    return made


class Money(RuleBasedStateMachine):
    """Calls of several processes, some of which die, under budgets that overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Accounts(Budgets(BUDGETS))
        self.owner: dict[str, int] = {}
        self.billed: dict[str, int] = {}
        self.over = 0

    def pick(self, data, *states: str) -> Entry | None:
        found = [one for one in self.books.holds.values() if one.state in states]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(
        bound=st.integers(0, 120),
        key=st.sampled_from("ab"),
        capability=st.sampled_from(["see", "speak"]),
        vendor=st.sampled_from(["deepl", "openai"]),
        day=st.integers(0, 10),
        owner=st.integers(0, 2),
        sent=st.booleans(),
    )
    def admit(self, bound, key, capability, vendor, day, owner, sent):
        name = str(len(self.owner))
        new = entry(
            name, bound, key=key, capability=capability, vendor=vendor, at=FIRST + day * DAY
        )
        new.state = "sent" if sent else "held"
        for place in self.books.places((new,)):
            self.books.counters.setdefault(place, Counter())
        left = min(
            budget.cap - self.books.counters[place].total
            for budget in BUDGETS
            for place in [Place(budget.id, period_of(budget.period, new.at))]
            if budget.scope == "total" or getattr(new, budget.scope) == budget.subject
        )
        try:
            self.books.admit(new)
        except BudgetError as error:
            assert bound > left == error.left
            assert error.needed == bound
        else:
            assert bound <= left
            self.owner[name] = owner

    @rule(data=st.data())
    def send(self, data):
        one = self.pick(data, "held", "lapsed", "settled")
        if one is not None:
            held = one.state == "held"
            assert self.books.sent(one.id) is held

    @rule(data=st.data(), outcome=st.sampled_from(["settled", "released", "unknown"]))
    def settle(self, data, outcome):
        one = self.pick(data, "held", "sent", "unknown", "settled", "released")
        if one is None:
            return
        was = one.state
        cost = data.draw(st.integers(0, one.bound)) if outcome == "settled" else None
        done = self.books.settle(Settlement(hold=one.id, cost=cost, outcome=outcome))
        assert done.repeated is (was in ("settled", "released"))
        if not done.repeated:
            assert done.over == 0
            self.billed[one.id] = done.cost

    @rule(owner=st.integers(0, 2))
    def crash(self, owner):
        for name, its in self.owner.items():
            if its == owner:
                was = self.books.holds[name].state
                self.books.lapse(name)
                after = {"held": "lapsed", "sent": "unknown"}.get(was, was)
                assert self.books.holds[name].state == after

    @rule(data=st.data())
    def reconcile(self, data):
        one = self.pick(data, "unknown", "sent", "settled")
        if one is not None:
            known = one.state != "unknown"
            cost = data.draw(st.integers(0, one.bound))
            done = self.books.reconcile(one.id, cost)
            assert done.repeated is known
            if not known:
                self.billed[one.id] = cost

    @precondition(lambda self: len(self.owner) > 3)
    @rule(data=st.data())
    def lose_the_counters(self, data):
        """They are the sums of the holds, so that they can be made anew."""
        self.books.counters = {
            place: Counter(*self.added_up(place)) for place in self.books.counters
        }

    def added_up(self, place: Place) -> tuple[int, int]:
        budget = next(one for one in BUDGETS if one.id == place.budget)
        under = [
            one
            for one in self.books.holds.values()
            if period_of(budget.period, one.at) == place.period
            and (budget.scope == "total" or getattr(one, budget.scope) == budget.subject)
        ]
        settled = sum(one.cost for one in under if one.state == "settled")
        held = sum(one.bound or 0 for one in under if one.state in ("held", "sent", "unknown"))
        return settled, held

    @invariant()
    def never_over_a_cap_and_the_sum_of_its_holds(self):
        caps = {one.id: one.cap for one in BUDGETS}
        for place, counter in self.books.counters.items():
            assert (counter.settled, counter.held) == self.added_up(place)
            assert 0 <= counter.total <= caps[place.budget]

    @invariant()
    def what_was_billed_is_what_was_settled(self):
        settled = sum(one.cost for one in self.books.holds.values())
        assert settled == sum(self.billed.values())


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_refusal_says_which_budget_what_was_needed_what_is_left_and_what_to_do():
    cap = Budget(id="team", scope="key", subject="a", period="day", cap=12_500_000_000)
    books = accounts(cap, Budget(id="all", scope="total", period="ever", cap=10**12))
    books.admit(entry("one", 12_000_000_000))
    with pytest.raises(BudgetError) as raised:
        books.admit(entry("two", 600_000_000))
    error = raised.value
    assert (error.budget, error.needed, error.left) == ("team", 600_000_000, 500_000_000)
    assert error.message == (
        "The call may cost up to $0.60, and $0.50 is left of the budget 'team' ($12.50 a day for "
        "the key 'a'): $0.00 is spent and $12.00 set aside for calls under way."
    )
    assert error.hint == "Ask for less, wait until 2026-11-23 (UTC), or raise the budget."
    assert "two" not in books.holds


def test_a_bill_above_its_bound_is_charged_and_nothing_more_is_admitted():
    books = accounts(Budget(id="all", scope="total", period="ever", cap=100))
    books.admit(entry("one", 60))
    done = books.settle(Settlement(hold="one", cost=130))
    assert (done.cost, done.over) == (130, 70)
    assert books.counters[Place("all", "ever")].total == 130
    with pytest.raises(BudgetError) as raised:
        books.admit(entry("two", 0))
    assert raised.value.left == -30


def test_a_bill_for_what_had_lapsed_is_charged_in_full():
    books = accounts(Budget(id="all", scope="total", period="ever", cap=100))
    books.admit(entry("one", 60))
    books.lapse("one")
    assert books.counters[Place("all", "ever")].total == 0
    assert not books.sent("one")
    assert books.settle(Settlement(hold="one", cost=10)).over == 10
    assert books.counters[Place("all", "ever")].settled == 10


def test_without_a_bound_it_is_refused_under_a_budget_and_admitted_without():
    books = accounts(Budget(id="all", scope="total", period="ever", cap=100))
    with pytest.raises(UnpricedError, match="'all'"):
        books.admit(entry("one", None))
    free = accounts()
    free.admit(entry("one", None))
    assert free.settle(Settlement(hold="one", cost=5)) == (5, 0, False)


def test_periods_are_of_the_utc_calendar():
    new_year = 1_798_761_600_000
    assert period_of("day", new_year - 1) == "2026-12-31"
    assert period_of("month", new_year - 1) == "2026-12"
    assert period_of("month", new_year) == "2027-01"
    assert span("2026-12") == (new_year - 31 * DAY, new_year)
    assert span("2026-12-31") == (new_year - DAY, new_year)
    assert span("ever") is None


def test_values_are_frozen():
    with pytest.raises(AttributeError):
        BUDGETS[0].cap = 1  # type: ignore[misc]
    assert msgspec.structs.replace(BUDGETS[0], cap=1).cap == 1
