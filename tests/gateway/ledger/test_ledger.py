"""The ledger on both databases, as the gateway uses it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import msgspec
import pytest

from ogam.capabilities.base import Units
from ogam.errors import (
    BudgetError,
    ConfigurationError,
    InvalidRequestError,
    LedgerError,
    NotFoundError,
    UnpricedError,
)
from ogam.gateway.ledger import Attempt, Budget, Ledger, Settlement, StoredKey


@pytest.fixture
def run(place: str, books):
    """Run a test's coroutine with an open ledger."""

    def with_ledger(work, **options):
        async def whole():
            async with books.opened(place, **options) as ledger:
                await work(ledger)
                await ledger.flush()
                assert await ledger.check() == []

        asyncio.run(whole())

    return with_ledger


def test_a_hold_is_counted_until_it_is_settled_at_what_it_cost(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(250))
        await ledger.hold(books.hold("one-1", 200))
        with pytest.raises(BudgetError) as raised:
            await ledger.hold(books.hold("two-1", 51))
        assert (raised.value.budget, raised.value.needed, raised.value.left) == ("all", 51, 50)
        await ledger.sent("one-1")
        ledger.settle(books.row("one"), [books.settled("one-1", 120)])
        await ledger.hold(books.hold("two-1", 130))
        (state,) = await ledger.budgets(books.NOON)
        assert (state.period, state.settled, state.held, state.left) == ("ever", 120, 130, 0)
        (row,) = await ledger.calls()
        assert (row.id, row.cost, row.units) == ("one", 120, Units(input_tokens=3))

    run(work)


def test_a_hold_counts_under_every_budget_it_falls_under_and_no_other(run, books):
    async def work(ledger: Ledger) -> None:
        for name, scope, subject in (
            ("all", "total", ""),
            ("mine", "key", "k"),
            ("yours", "key", "other"),
            ("writing", "capability", "generate"),
            ("openai", "vendor", "openai"),
            ("deepl", "vendor", "deepl"),
        ):
            await ledger.set_budget(
                Budget(id=name, scope=scope, subject=subject, period="month", cap=1000)
            )
        await ledger.hold(books.hold("one", 10))
        held = {one.budget.id: one.held for one in await ledger.budgets(books.NOON)}
        assert held == {"all": 10, "mine": 10, "yours": 0, "writing": 10, "openai": 10, "deepl": 0}

    run(work)


def test_a_failed_attempt_keeps_its_hold_and_a_retry_adds_one(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(250))
        await ledger.hold(books.hold("one-1", 100, sent=True))
        await ledger.hold(books.hold("one-2", 100, sent=True))
        with pytest.raises(BudgetError):
            await ledger.hold(books.hold("one-3", 100, sent=True))
        unknown = Settlement(hold="one-1", outcome="unknown")
        row = books.row(
            "one",
            attempts=(
                Attempt(model="openai/m", outcome="failed", ms=12, error="Vendor"),
                Attempt(model="openai/m", outcome="ok", ms=30, cost=40),
            ),
        )
        ledger.settle(row, [unknown, books.settled("one-2", 40)])
        await ledger.flush()
        (state,) = await ledger.budgets(books.NOON)
        assert (state.settled, state.held) == (40, 100)
        assert await ledger.unknown_total() == 100
        (left,) = await ledger.holds("unknown")
        assert (left.hold.id, left.hold.bound, left.state) == ("one-1", 100, "unknown")
        more = Units(input_tokens=5, characters=7, cached_input_tokens=2)
        await ledger.reconcile("one-1", 30, more)
        with pytest.raises(InvalidRequestError, match="'one-1' is settled"):
            await ledger.reconcile("one-1", 30, more)
        with pytest.raises(InvalidRequestError, match="Units are 0"):
            await ledger.reconcile("one-1", 30, Units(characters=-1))
        with pytest.raises(NotFoundError):
            await ledger.reconcile("nobody", 30)
        (found,) = await ledger.calls()
        assert found == msgspec.structs.replace(row, cost=70, units=row.units + more)

    run(work)


def test_a_second_settlement_is_ignored_and_told(run, books, caplog):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(250))
        await ledger.hold(books.hold("one", 100, sent=True))
        ledger.settle(books.row("one"), [books.settled("one", 60)])
        ledger.settle(books.row("one"), [books.settled("one", 99)])
        ledger.settle(books.row("two"), [books.settled("never", 99)])
        await ledger.flush()
        assert [one.settled for one in await ledger.budgets(books.NOON)] == [60]
        assert (ledger.status().repeated, ledger.status().stray) == (1, 1)

    run(work)
    assert "a second settlement of one was ignored" in caplog.text
    assert "never was settled, and never set aside" in caplog.text


def test_an_overrun_is_charged_counted_and_logged(run, books, caplog):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(100))
        await ledger.hold(books.hold("one", 50, sent=True))
        ledger.settle(books.row("one"), [books.settled("one", 130)])
        await ledger.flush()
        (state,) = await ledger.budgets(books.NOON)
        assert (state.settled, state.left) == (130, -30)
        assert ledger.status().overruns == 1
        with pytest.raises(BudgetError):
            await ledger.hold(books.hold("two", 0))

    run(work)
    assert "overrun: one cost $0.00000013, which is $0.00000008 above its bound" in caplog.text


def test_a_hold_belongs_to_the_period_of_its_admission(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(100, period="day"))
        await ledger.hold(books.hold("one", 100, sent=True))
        with pytest.raises(BudgetError):
            await ledger.hold(books.hold("two", 1))
        tomorrow = books.NOON + books.DAY
        await ledger.hold(books.hold("two", 100, at=tomorrow))
        ledger.settle(books.row("one", at=tomorrow), [books.settled("one", 70)])
        await ledger.flush()
        (today,), (then,) = [await ledger.budgets(at) for at in (books.NOON, tomorrow)]
        assert (today.period, today.settled, today.held) == ("2026-11-22", 70, 0)
        assert (then.period, then.settled, then.held) == ("2026-11-23", 0, 100)

    run(work)


def test_a_budget_counts_what_its_period_saw_before_it_was_made(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.hold(books.hold("one", 100, sent=True))
        ledger.settle(books.row("one"), [books.settled("one", 70)])
        await ledger.hold(books.hold("two", 20, sent=True))
        await ledger.hold(books.hold("old", 500, at=books.NOON - 40 * books.DAY))
        await ledger.set_budget(books.budget(100, period="month"))
        (state,) = await ledger.budgets(books.NOON)
        assert (state.settled, state.held) == (70, 20)
        with pytest.raises(BudgetError):
            await ledger.hold(books.hold("three", 11))
        await ledger.hold(books.hold("three", 10))
        # What is settled of a period before counts there.
        ledger.settle(books.row("old"), [books.settled("old", 400)])
        # Another period for the same budget: it is counted anew.
        await ledger.set_budget(books.budget(500, period="ever"))
        (state,) = await ledger.budgets(books.NOON)
        assert (state.settled, state.held) == (470, 30)

    run(work)


def test_a_cap_may_fall_below_what_is_spent_and_nothing_more_is_admitted(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(100))
        await ledger.hold(books.hold("one", 80, sent=True))
        await ledger.set_budget(books.budget(50))
        (state,) = await ledger.budgets(books.NOON)
        assert state.left == -30
        with pytest.raises(BudgetError, match=r"and \$0.00 is left"):
            await ledger.hold(books.hold("two", 0))
        await ledger.remove_budget("all")
        await ledger.hold(books.hold("two", 10**12))
        assert await ledger.budgets() == []
        with pytest.raises(NotFoundError):
            await ledger.remove_budget("all")

    run(work)


def test_without_a_budget_holds_are_kept_all_the_same(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.hold(books.hold("one", None, sent=True))
        assert [one.state for one in await ledger.holds()] == ["sent"]
        await ledger.set_budget(books.budget(10))
        with pytest.raises(UnpricedError):
            await ledger.hold(books.hold("two", None))

    run(work)


def test_what_was_not_sent_is_given_back_when_its_caller_leaves_or_the_ledger_closes(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(100))
        leaving = asyncio.ensure_future(ledger.hold(books.hold("one", 100)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        for _ in range(100):
            await ledger.flush()
            if not await ledger.holds():
                break
        await ledger.hold(books.hold("two", 100))

    run(work)

    async def after(ledger: Ledger) -> None:
        assert await ledger.holds() == []
        await ledger.hold(books.hold("three", 100))

    run(after)


def test_ids_and_amounts_that_cannot_be_are_refused(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(1000))
        await ledger.hold(books.hold("one"))
        for wrong in (books.hold("one"), books.hold("two", -1), books.hold("two", 2**63)):
            with pytest.raises((InvalidRequestError, LedgerError)):
                await ledger.hold(wrong)
        both = [ledger.hold(books.hold("same")), ledger.hold(books.hold("same"))]
        ends = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in ends].count(type(None)) == 1
        for wrong in (
            books.budget(-1),
            books.budget(1, ""),
            books.budget(1, subject="x"),
            books.budget(1, scope="key"),
        ):
            with pytest.raises(InvalidRequestError):
                await ledger.set_budget(wrong)
        with pytest.raises(InvalidRequestError, match="Usage is grouped by"):
            await ledger.usage(["color"])  # type: ignore[list-item]
        (state,) = await ledger.budgets(books.NOON)
        assert state.held == 200

    run(work)


def test_usage_is_summed_by_any_group_and_money_counts_where_it_went(run, books):
    async def work(ledger: Ledger) -> None:
        tomorrow = books.NOON + books.DAY
        for name, key, vendor, cost, at in (
            ("one", "a", "openai", 30, books.NOON),
            ("two", "b", "deepl", 20, books.NOON),
            ("three", "a", "deepl", 10, tomorrow),
        ):
            model = f"{vendor}/m"
            await ledger.hold(
                books.hold(name, 50, key=key, vendor=vendor, model=model, at=at, sent=True)
            )
            row = books.row(name, key=key, engine=vendor, model=model, at=at)
            ledger.settle(row, [books.settled(name, cost)])
        # Answered here, after an attempt at a vendor that nobody could settle.
        await ledger.hold(books.hold("four", 7, key="b", sent=True))
        ledger.settle(
            books.row("four", key="b", engine="espeak", model="espeak/ko", status="ok"),
            [Settlement(hold="four", outcome="unknown")],
        )
        await ledger.flush()
        (total,) = await ledger.usage()
        assert (total.calls, total.cost, total.unknown) == (4, 60, 7)
        assert total.units == Units(input_tokens=12)
        by = {(one.key, one.vendor): one for one in await ledger.usage(["key", "vendor"])}
        assert {name: (one.calls, one.cost, one.unknown) for name, one in by.items()} == {
            ("a", "openai"): (1, 30, 0),
            ("b", "deepl"): (1, 20, 0),
            ("a", "deepl"): (1, 10, 0),
            ("b", "openai"): (0, 0, 7),
            ("b", "espeak"): (1, 0, 0),
        }
        days = await ledger.usage(["day"], vendor="deepl")
        assert [(one.day, one.cost) for one in days] == [("2026-11-22", 20), ("2026-11-23", 10)]
        (first,) = await ledger.usage(since=books.NOON, until=tomorrow, model="deepl/m")
        assert first.cost == 20

    run(work)


def test_calls_are_listed_newest_first_and_chosen_by_what_they_were(run, books):
    async def work(ledger: Ledger) -> None:
        for number in range(5):
            status = "ok" if number % 2 else "Vendor"
            row = books.row(f"c{number}", at=books.NOON + number, status=status, cache="hit")
            ledger.settle(row)
        await ledger.flush()
        assert [one.id for one in await ledger.calls(2)] == ["c4", "c3"]
        assert [one.id for one in await ledger.calls(status="ok")] == ["c3", "c1"]
        some = await ledger.calls(since=books.NOON + 1, until=books.NOON + 3, cache="hit")
        assert [one.id for one in some] == ["c2", "c1"]
        with pytest.raises(InvalidRequestError):
            await ledger.calls(color="red")

    run(work)


def test_what_the_database_would_not_take_is_kept_without_it(run, books):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(books.budget(100))
        await ledger.hold(books.hold("one", 50, sent=True))
        wrong = books.row("one", route="a\0b \ud800", total_ms=2**70)
        ledger.settle(wrong, [books.settled("one", 30)])
        ledger.settle(books.row("two"))
        with pytest.raises(LedgerError):
            await ledger.hold(books.hold("three", 1, model="\ud800"))
        await ledger.flush()
        kept = {one.id: one for one in await ledger.calls()}
        assert kept["one"].cost == 30
        assert kept["one"].total_ms == 2**63 - 1
        assert "two" in kept
        assert ledger.status().spoilt == 0

    run(work)


def test_the_check_finds_sums_that_do_not_agree(place, books):
    async def work() -> None:
        async with books.opened(place) as ledger:
            await ledger.set_budget(books.budget(100))
            await ledger.hold(books.hold("one", 50, sent=True))
            ledger.settle(books.row("one"), [books.settled("one", 30)])
            await ledger.flush()
            books.sql(place, "UPDATE counters SET held = held + 1")
            books.sql(place, "UPDATE calls SET cost = 29")
            told = {(one.what, one.expected, one.found) for one in await ledger.check()}
            assert told == {
                ("the budget 'all' in ever: held", 0, 1),
                ("costs of calls, and of settled holds", 30, 29),
            }
            # A counter that is gone is added up again.
            books.sql(place, "DELETE FROM counters")
            (state,) = await ledger.budgets(books.NOON)
            assert (state.settled, state.held) == (30, 0)

    asyncio.run(work())


def test_keys_are_kept_by_their_hash(run):
    async def work(ledger: Ledger) -> None:
        key = StoredKey(
            id="1",
            name="team",
            hash="ab" * 32,
            created=5,
            limits={"per_minute": 60},
            allowed={"capabilities": ["see"]},
        )
        await ledger.add_key(key)
        assert await ledger.keys() == [key]
        for same in (key, msgspec.structs.replace(key, id="2")):
            with pytest.raises(InvalidRequestError, match="already"):
                await ledger.add_key(same)
        await ledger.revoke_key("1", at=9)
        await ledger.revoke_key("1", at=10)
        assert [one.revoked for one in await ledger.keys()] == [9]
        with pytest.raises(NotFoundError):
            await ledger.revoke_key("3")

    run(work)


def test_text_is_kept_on_request_alone_and_redacted(run):
    async def kept(ledger: Ledger) -> None:
        ledger.record(
            "one", rb'{"q": "My number is \u0030123, ok", "n": 123, "m": 4}', b"not JSON 123"
        )
        await ledger.flush()
        asked, answered = await ledger.recorded("one")
        assert asked == {"q": "My number is [redacted], ok", "n": "[redacted]", "m": 4}
        assert answered == "not JSON [redacted]"

    async def none(ledger: Ledger) -> None:
        ledger.record("two", b"{}", b"{}")
        await ledger.flush()
        assert await ledger.recorded("two") is None

    run(kept, record=[r"0?123"])
    run(none)


def test_a_wrong_pattern_or_place_is_refused(tmp_path):
    async def opening(*places, **options) -> None:
        for place in places:
            await Ledger(place, **options).open()

    for place in ("mysql://somewhere/x", "sqlite://", "sqlite:///:memory:", "postgresql://a:b:c/d"):
        with pytest.raises(ConfigurationError, match="neither a file of SQLite"):
            asyncio.run(opening(place))
    with pytest.raises(ConfigurationError, match="no regular expression"):
        asyncio.run(opening(tmp_path / "x", record=["("]))
    (tmp_path / "letter").write_text("Dear all, this is no database of any kind." * 200)
    with pytest.raises(LedgerError, match="letter"):
        asyncio.run(opening(tmp_path / "letter"))
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be written"):
        asyncio.run(opening(tmp_path / "file" / "ledger.sqlite"))


def test_the_file_is_its_owners_alone(tmp_path, books):
    async def work() -> None:
        async with books.opened(tmp_path / "new" / "ledger.sqlite"):
            modes = [one.stat().st_mode & 0o777 for one in (tmp_path / "new").iterdir()]
            assert set(modes) == {0o600}

    asyncio.run(work())


def test_what_is_closed_says_so(tmp_path, books):
    async def work() -> None:
        async with books.opened(tmp_path / "ledger.sqlite") as ledger:
            pass
        with pytest.raises(LedgerError, match="not open"):
            await ledger.hold(books.hold("one"))
        with pytest.raises(LedgerError, match="not open"):
            await ledger.calls()

    asyncio.run(work())


def test_importing_the_ledger_loads_no_database():
    line = "import sys, ogam.gateway.ledger; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.WARNING, "ogam.ledger")
