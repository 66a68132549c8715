"""The ledger: what a hold adds to a call, and how many calls a second it can account for.

A call is a hold under three budgets and its settlement with the call's row. The peer is sqlite3
called directly, from the same thread, which does the same to the same tables in one transaction
for the hold and one for the settlement, the way it is done without a thread and groups::

    python benchmarks/ledger.py [--calls 3000] [--callers 64] [--rounds 3] [--data FOLDER]

With ``--url postgresql://user@host/database`` also on PostgreSQL, in which it makes its tables.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from ogam.capabilities.base import Units
from ogam.gateway.ledger import Budget, Hold, Ledger, Row, Settlement

CAP = 10**15
BUDGETS = (
    Budget(id="all", scope="total", period="month", cap=CAP),
    Budget(id="mine", scope="key", subject="key", period="day", cap=CAP),
    Budget(id="vendor", scope="vendor", subject="openai", period="ever", cap=CAP),
)


def hold(call: str, at: int) -> Hold:
    return Hold(
        id=f"{call}-1",
        call=call,
        at=at,
        key="key",
        capability="generate",
        vendor="openai",
        model="openai/gpt-4o-mini",
        bound=75_000,
        price_version="2026-11-01",
        sent=True,
    )


def row(call: str, at: int) -> Row:
    return Row(
        id=call,
        at=at,
        key="key",
        capability="generate",
        protocol="openai",
        route="gpt-4o-mini",
        engine="openai",
        model="openai/gpt-4o-mini",
        units=Units(input_tokens=120, output_tokens=80),
        price_version="2026-11-01",
        total_ms=850,
    )


class Names:
    """Ids that nobody else uses."""

    def __init__(self) -> None:
        self._count = 0
        self._prefix = f"{time.time_ns():x}"

    def next(self) -> str:
        """One more."""
        self._count += 1
        return f"{self._prefix}{self._count:06}"


async def ours(place: str, calls: int, callers: int) -> tuple[list[float], float]:
    """Seconds of each hold at one caller, and calls a second at many."""
    ledger = Ledger(place)
    await ledger.open()
    for budget in BUDGETS:
        await ledger.set_budget(budget)
    names, at = Names(), time.time_ns() // 1_000_000
    spent: list[float] = []

    async def call() -> None:
        name = names.next()
        started = time.perf_counter()
        await ledger.hold(hold(name, at))
        spent.append(time.perf_counter() - started)
        ledger.settle(row(name, at), [Settlement(hold=f"{name}-1", cost=50_000)])

    for _ in range(calls):
        await call()
        await ledger.flush()  # so that the next hold is measured alone
    alone = spent[calls // 10 :]

    async def caller() -> None:
        for _ in range(max(1, calls // 16)):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    await ledger.flush()
    rate = callers * max(1, calls // 16) / (time.perf_counter() - started)
    wrong = await ledger.check()
    await ledger.close()
    if wrong:
        raise SystemExit(f"The sums do not agree: {wrong}")
    return alone, rate


def peers(place: Path, calls: int) -> tuple[list[float], float]:
    """The same for sqlite3 alone, on tables that Ogam made."""
    asyncio.run(_tables(place))
    names, at = Names(), time.time_ns() // 1_000_000
    month, day = time.strftime("%Y-%m", time.gmtime()), time.strftime("%Y-%m-%d", time.gmtime())
    places = [("all", month), ("mine", day), ("vendor", "ever")]
    connection = sqlite3.connect(place, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executemany("INSERT OR IGNORE INTO counters VALUES (?, ?, 0, 0)", places)
    run, spent = connection.execute, list[float]()

    def call() -> None:
        name = names.next()
        started = time.perf_counter()
        run("BEGIN IMMEDIATE")
        for budget, period in places:
            found = run(
                "SELECT settled + held, cap FROM counters JOIN budgets ON id = budget "
                "WHERE budget = ? AND counters.period = ?",
                (budget, period),
            ).fetchone()
            assert found[0] + 75_000 <= found[1]
            run(
                "UPDATE counters SET held = held + 75000 WHERE budget = ? AND period = ?",
                (budget, period),
            )
        run(
            "INSERT INTO holds VALUES (?, ?, ?, 'key', 'generate', 'openai', "
            "'openai/gpt-4o-mini', 75000, '2026-11-01', 'me', 'sent', 0)",
            (f"{name}-1", name, at),
        )
        run("COMMIT")
        spent.append(time.perf_counter() - started)
        run("BEGIN IMMEDIATE")
        run("UPDATE holds SET state = 'settled', cost = 50000 WHERE id = ?", (f"{name}-1",))
        for budget, period in places:
            run(
                "UPDATE counters SET held = held - 75000, settled = settled + 50000 "
                "WHERE budget = ? AND period = ?",
                (budget, period),
            )
        run(
            "INSERT INTO calls VALUES (?, ?, 'key', 'generate', 'openai', 'gpt-4o-mini', '[]', "
            "'openai', 'openai/gpt-4o-mini', 120, 80, 0, 0, 0, '2026-11-01', 50000, NULL, 850, "
            "'', 'ok', 0)",
            (name, at),
        )
        run("COMMIT")

    for _ in range(calls // 10):
        call()
    spent.clear()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    rate = calls / (time.perf_counter() - started)
    connection.close()
    return spent, rate


async def _tables(place: Path) -> None:
    ledger = Ledger(place)
    await ledger.open()
    for budget in BUDGETS:
        await ledger.set_budget(budget)
    await ledger.close()


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="where the files are made")
    parser.add_argument("--url", default="", help="a database of PostgreSQL, to measure too")
    asked = parser.parse_args()
    try:
        import uvloop  # the server's loop

        run = uvloop.run
    except ImportError:
        run = asyncio.run
    found: dict[str, list[tuple[list[float], float]]] = {}
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory(dir=asked.data) as folder:
            own, other = Path(folder) / "own.sqlite", Path(folder) / "other.sqlite"
            found.setdefault("Ogam", []).append(run(ours(str(own), asked.calls, asked.callers)))
            found.setdefault("sqlite3", []).append(peers(other, asked.calls))
        if asked.url:
            measured = run(ours(asked.url, asked.calls, asked.callers))
            found.setdefault("PostgreSQL", []).append(measured)
    print(f"{'':<12}{'a hold, µs p50':>16}{'p95':>8}{'calls a second':>16}")
    rates: dict[str, float] = {}
    for name, runs in found.items():
        spent = sorted(one for each, _ in runs for one in each)
        rates[name] = statistics.median(rate for _, rate in runs)
        p50, p95 = (spent[int(len(spent) * part)] * 1e6 for part in (0.5, 0.95))
        print(f"{name:<12}{p50:>16,.0f}{p95:>8,.0f}{rates[name]:>16,.0f}")
    print(f"Ogam at {asked.callers} callers beside sqlite3 at one: ", end="")
    print(f"{rates['Ogam'] / rates['sqlite3']:.2f} x")


if __name__ == "__main__":
    main()
