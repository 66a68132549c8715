"""The database is locked, deleted, full, stopped: what costs money waits or is refused, what is
free goes on, and nothing that was accepted is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from ogam.errors import LedgerError
from ogam.gateway.ledger import Ledger
from ogam.gateway.ledger.owners import DEAD


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, "ogam.ledger")


async def until(true, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def refused_then_well(ledger: Ledger, books, mend) -> None:
    """Paid work is refused in time, rows wait, and once mended all of it is there."""
    started = time.monotonic()
    with pytest.raises(LedgerError, match="does not answer, so that nothing that costs money"):
        await ledger.hold(books.hold("refused"))
    assert time.monotonic() - started < 10
    ledger.settle(books.row("local"))
    ledger.settle(books.row("paid"), [books.settled("paid", 30)])
    await until(lambda: not ledger.status().up)
    assert ledger.status().error
    # In an outage nobody waits.
    with pytest.raises(LedgerError):
        await asyncio.wait_for(ledger.hold(books.hold("refused")), 0.2)
    await mend()
    await until(lambda: ledger.status().up)
    await ledger.flush()
    await ledger.hold(books.hold("after", 60))
    assert {one.id: one.cost for one in await ledger.calls()} == {"local": 0, "paid": 30}
    assert await ledger.check() == []
    (state,) = await ledger.budgets(books.NOON)
    assert (state.settled, state.held) == (30, 60)
    assert [one.hold.id for one in await ledger.holds()] == ["after"]


async def prepared(ledger: Ledger, books) -> None:
    await ledger.set_budget(books.budget(100))
    await ledger.hold(books.hold("paid", 50, sent=True))


def test_locked_by_another_program(file: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3) as ledger:
            await prepared(ledger, books)
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            ticking = asyncio.ensure_future(tick())

            async def mend() -> None:
                other.close()

            await refused_then_well(ledger, books, mend)
            ticking.cancel()
            assert ticks > 5  # the loop went on meanwhile

    asyncio.run(work())


def test_deleted_it_is_not_begun_anew_until_it_is_put_back(file: Path, tmp_path: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3) as ledger:
            await prepared(ledger, books)
            with sqlite3.connect(file) as mine, sqlite3.connect(tmp_path / "backup") as copy:
                mine.backup(copy)
            mine.close()
            copy.close()
            for one in tmp_path.glob("ledger.sqlite*"):  # noqa: ASYNC240
                os.unlink(one)

            async def mend() -> None:
                assert not os.path.exists(file)  # noqa: ASYNC240
                shutil.copy(tmp_path / "backup", file)

            await refused_then_well(ledger, books, mend)

    asyncio.run(work())


def test_what_a_lost_database_knew_of_open_holds_is_not_lost(file: Path, tmp_path: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3) as ledger:
            await ledger.set_budget(books.budget(100))
            with sqlite3.connect(file) as mine, sqlite3.connect(tmp_path / "backup") as copy:
                mine.backup(copy)
            mine.close()
            copy.close()
            await ledger.hold(books.hold("paid", 50, sent=True))
            os.replace(tmp_path / "backup", file)
            os.unlink(f"{file}-wal")
            ledger.settle(books.row("paid"), [books.settled("paid", 30)])
            await ledger.flush()
            (state,) = await ledger.budgets(books.NOON)
            assert (state.settled, state.held) == (30, 0)
            assert await ledger.check() == []

    asyncio.run(work())


def test_full(file: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3) as ledger:
            await prepared(ledger, books)

            database = ledger._writer._database
            begin = database.begin

            def limited(pages: int) -> None:
                def limit_and_begin() -> None:
                    database.cursor.execute(f"PRAGMA max_page_count={pages}").fetchone()
                    begin()

                database.begin = limit_and_begin

            limited(1)  # as many as there are
            # Rows until the last page is full.
            number = 0
            while ledger.status().up:
                for _ in range(200):
                    number += 1
                    ledger.settle(books.row(f"fill{number}", route="x" * 200))
                await asyncio.sleep(0.05)
            with pytest.raises(LedgerError, match="full"):
                await ledger.hold(books.hold("refused"))
            assert ledger.status().waiting
            limited(1_000_000)
            await until(lambda: ledger.status().up)
            await ledger.flush()
            assert len(await ledger.calls(100_000)) == number
            await ledger.hold(books.hold("after", 50))
            assert await ledger.check() == []

    asyncio.run(work())


def test_postgresql_stopped_and_started(postgres, books):
    place = postgres.new()

    async def work() -> None:
        async with books.opened(place, wait=0.3) as ledger:
            await prepared(ledger, books)
            await asyncio.to_thread(postgres.stop)

            async def mend() -> None:
                await asyncio.to_thread(postgres.start)

            await refused_then_well(ledger, books, mend)

    try:
        asyncio.run(work())
    finally:
        if not postgres.running:
            postgres.start()


def test_a_ledger_that_does_not_answer_at_the_start_is_waited_for(postgres, books):
    place = postgres.new()
    postgres.stop()

    async def work() -> None:
        async with books.opened(place, wait=0.3) as ledger:
            ledger.settle(books.row("local"))
            with pytest.raises(LedgerError):
                await ledger.hold(books.hold("refused"))
            await asyncio.to_thread(postgres.start)
            await ledger.flush()
            assert [one.id for one in await ledger.calls()] == ["local"]

    try:
        asyncio.run(work())
    finally:
        if not postgres.running:
            postgres.start()


def test_let_through_while_it_is_down_and_counted_once_it_is_back(file: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3, when_down="open") as ledger:
            await ledger.set_budget(books.budget(100))
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for name in ("one", "two"):
                await ledger.hold(books.hold(name, 90))
                await ledger.sent(name)
            assert ledger.status().uncounted == 2
            ledger.settle(books.row("one"), [books.settled("one", 80)])
            other.close()
            await until(lambda: ledger.status().up)
            ledger.settle(books.row("two"), [books.settled("two", 70)])
            await ledger.flush()
            (state,) = await ledger.budgets(books.NOON)
            assert (state.settled, state.held) == (150, 0)
            assert {one.cost for one in await ledger.calls()} == {80, 70}
            assert await ledger.check() == []

    asyncio.run(work())


def test_more_rows_than_may_wait_are_lost_and_counted_but_none_that_settles(file: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3, queue=50) as ledger:
            await prepared(ledger, books)
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for number in range(80):
                ledger.settle(books.row(f"local{number}"))
            ledger.settle(books.row("paid"), [books.settled("paid", 30)])
            lost = ledger.status().lost
            assert 80 - 50 - 2 <= lost <= 80 - 50
            other.close()
            await ledger.flush()
            assert len(await ledger.calls()) == 81 - lost
            (state,) = await ledger.budgets(books.NOON)
            assert (state.settled, state.held) == (30, 0)

    asyncio.run(work())


@pytest.mark.parametrize("name", ["COMMIT", "BEGIN"])
def test_a_connection_lost_at_the_end_of_a_group_counts_it_once(place: str, books, name: str):
    """Whether a transaction came to its end may not be heard of: it is done again, once."""

    async def work() -> None:
        async with books.opened(place) as ledger:
            await ledger.set_budget(books.budget(1000))
            database = ledger._writer._database
            whole = getattr(database, name.lower())
            left = [1, 1, 1]

            def broken() -> None:
                whole()
                if left:
                    left.pop()
                    database.close()
                    raise OSError("the line is cut")

            setattr(database, name.lower(), broken)
            await ledger.hold(books.hold("one", 100, sent=True))
            left.append(1)
            ledger.settle(books.row("one"), [books.settled("one", 70)])
            await ledger.flush()
            (state,) = await ledger.budgets(books.NOON)
            assert (state.settled, state.held) == (70, 0)
            assert [one.cost for one in await ledger.calls()] == [70]
            assert await ledger.check() == []
            assert ledger.status().repeated == 0

    asyncio.run(work())


def test_a_hold_that_was_refused_too_late_is_given_back(file: Path, books):
    async def work() -> None:
        async with books.opened(file, wait=0.3) as ledger:
            await ledger.set_budget(books.budget(100))
            database = ledger._writer._database
            commit = database.commit

            def slow() -> None:
                commit()
                time.sleep(0.6)
                database.commit = commit

            database.commit = slow
            with pytest.raises(LedgerError):
                await ledger.hold(books.hold("one", 100, sent=True))
            await ledger.flush()
            await ledger.flush()
            await ledger.hold(books.hold("two", 100))
            assert await ledger.check() == []

    asyncio.run(work())


def test_a_process_taken_for_dead_may_not_send_and_still_settles(place: str, books):
    async def work() -> None:
        async with books.opened(place) as mine, books.opened(place) as other:
            await mine.set_budget(books.budget(300))
            await mine.hold(books.hold("held", 100))
            await mine.hold(books.hold("sent", 100, sent=True))
            await other._task(lambda: other._writer.store.lapse(mine._writer._owner))
            with pytest.raises(LedgerError, match="taken for dead"):
                await mine.sent("held")
            (state,) = await mine.budgets(books.NOON)
            assert (state.settled, state.held) == (0, 100)
            mine.settle(books.row("sent"), [books.settled("sent", 60)])
            await mine.flush()
            (state,) = await mine.budgets(books.NOON)
            assert (state.settled, state.held) == (60, 0)
            assert await mine.check() == []

    asyncio.run(work())


def test_a_process_is_dead_without_a_sign_of_life_and_not_before(file: Path, books):
    place = f"sqlite:///{file}"

    async def work() -> None:
        async with books.opened(file) as mine:
            await mine.hold(books.hold("one", 100))
            await mine.hold(books.hold("two", 100))
            books.sql(place, "INSERT INTO owners VALUES ('far', 'away', 1, 7)")
            books.sql(place, "UPDATE holds SET owner = 'far' WHERE id = 'one'")
            watching, now = mine._writer.owners, [1000.0]
            watching.clock = lambda: now[0]

            async def dead(seconds: float) -> list[str]:
                now[0] += seconds
                return await mine._task(watching.beat)

            assert await dead(0) == []
            assert await dead(DEAD - 1) == []
            books.sql(place, "UPDATE owners SET beats = 8 WHERE id = 'far'")
            assert await dead(2) == []
            # A hold of a process that nobody knows is a dead one's as well, after the same time.
            books.sql(place, "UPDATE holds SET owner = 'nobody' WHERE id = 'two'")
            assert await dead(DEAD - 1) == []
            assert await dead(2) == ["far"]
            assert sorted(await dead(DEAD)) == ["far", "nobody"]

    asyncio.run(work())


def test_what_a_process_left_that_is_gone_ends_at_the_next_start(file: Path, books):
    place = f"sqlite:///{file}"

    async def work() -> None:
        async with books.opened(file) as mine:
            for name, sent in (("held", False), ("sent", True)):
                await mine.hold(books.hold(name, 100, sent=sent))
            gone = 2**22 - 1  # the highest number a process may have on Linux, and macOS has fewer
            host = books.sql(place, "SELECT host FROM owners")[0][0]
            books.sql(place, f"INSERT INTO owners VALUES ('gone', '{host}', {gone}, 7)")
            books.sql(place, "UPDATE holds SET owner = 'gone'")
            async with books.opened(file) as other:
                assert {one.hold.id: one.state for one in await other.holds()} == {
                    "sent": "unknown"
                }

    asyncio.run(work())
