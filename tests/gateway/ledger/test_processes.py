"""Several processes on one ledger, and processes that die."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from ogam.errors import LedgerError


@contextmanager
def observed(books, place: str):
    """Read the counters all the time, past the ledger; none may ever be over its cap."""
    seen: list[tuple] = []
    stopped = threading.Event()

    def watch() -> None:
        connection = books.connect(place)
        while not stopped.is_set():
            seen.extend(
                books.sql(
                    place,
                    "SELECT c.settled + c.held, b.cap FROM counters c "
                    "JOIN budgets b ON b.id = c.budget",
                    connection=connection,
                )
            )
            time.sleep(0.001)
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    assert seen
    assert [one for one in seen if not 0 <= one[0] <= one[1]] == []


def bills(file: Path) -> dict[str, int]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {hold: int(cost) for hold, cost in (line.split() for line in lines)}


async def budgets_for(books, place: str, total: int, key: int) -> None:
    async with books.opened(place) as ledger:
        await ledger.set_budget(books.budget(total))
        await ledger.set_budget(books.budget(key, "a", scope="key", subject="a", period="day"))
        await ledger.set_budget(books.budget(total, "v", scope="vendor", subject="openai"))


async def reconciled(books, place: str, billed: dict[str, int]) -> None:
    """After a crash: what nobody could settle is settled by the bills, and the sums agree."""
    async with books.opened(place) as ledger:
        left = await ledger.holds(limit=10_000)
        assert {one.state for one in left} <= {"unknown"}
        await asyncio.gather(
            *(ledger.reconcile(one.hold.id, billed.get(one.hold.id, 0)) for one in left)
        )
        assert await ledger.holds() == []
        assert await ledger.unknown_total() == 0
        assert await ledger.check() == []
        (total,) = await ledger.usage()
        assert total.cost == sum(billed.values())
        assert total.unknown == 0
        states = {one.budget.id: one for one in await ledger.budgets(books.NOON)}
        assert (states["all"].settled, states["all"].held) == (sum(billed.values()), 0)


def test_four_processes_share_a_budget_and_never_pass_it(
    books, workers, place: str, tmp_path: Path
):
    asyncio.run(budgets_for(books, place, total=8_000, key=3_000))
    file = tmp_path / "bills"
    with observed(books, place):
        working = [workers(place, file, seed, 250) for seed in range(4)]
        counts = [one.done() for one in working]
    admitted, refused = (sum(each) for each in zip(*counts, strict=True))
    assert admitted and refused  # there was not enough for all
    assert sum(bills(file).values()) <= 8_000
    asyncio.run(reconciled(books, place, bills(file)))


def test_killed_ten_times_among_a_thousand_calls_nothing_is_lost(
    books, workers, place: str, tmp_path: Path
):
    asyncio.run(budgets_for(books, place, total=150_000, key=60_000))
    chance, file, killed = random.Random(7), tmp_path / "bills", 0
    with observed(books, place):
        for wave in (4, 3, 3):
            seeds = range(killed, killed + wave)
            working = [workers(place, file, seed, -1000 // wave) for seed in seeds]
            for seed, one in zip(seeds, working, strict=True):
                while not any(hold.startswith(f"{seed}.") for hold in bills(file)):
                    assert one.runs, one.said
                    time.sleep(0.01)
                time.sleep(chance.random() * 0.1)
                one.kill()
                killed += 1
    assert killed == 10
    assert bills(file)
    asyncio.run(reconciled(books, place, bills(file)))


def test_four_that_start_at_once_make_the_tables_once(books, workers, place: str, tmp_path: Path):
    working = [workers(place, tmp_path / "bills", seed, 3) for seed in range(4)]
    for one in working:
        one.done()
    assert books.sql(place, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_a_ledger_of_a_newer_version_is_refused(books, place: str):
    async def work() -> None:
        async with books.opened(place):
            pass
        books.sql(place, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(LedgerError, match=r"newer Ogam.*pip install --upgrade"):
            async with books.opened(place):
                pass

    asyncio.run(work())


def test_a_budget_set_by_one_process_binds_another(books, place: str):
    async def work() -> None:
        async with books.opened(place) as mine, books.opened(place) as yours:
            await yours.hold(books.hold("one"))
            yours.settle(books.row("one"), [books.settled("one", 70)])
            await yours.flush()
            await mine.set_budget(books.budget(100))
            with pytest.raises(Exception, match=r"\$0\.00000003 is left of the budget 'all'"):
                await yours.hold(books.hold("two"))
            await mine.set_budget(books.budget(170))
            await yours.hold(books.hold("two"))
            await mine.remove_budget("all")
            await yours.hold(books.hold("three", 10**9))
            assert await mine.check() == []

    asyncio.run(work())
