"""Ledgers on real files of SQLite and on a real PostgreSQL, which the tests start themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ogam.capabilities.base import Units
from ogam.gateway.ledger import Budget, Hold, Ledger, Row, Settlement

NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC
DAY = 86_400_000


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger may be made: a file, or a database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres").new()


@asynccontextmanager
async def opened(place: str | Path, **options) -> AsyncIterator[Ledger]:
    ledger = Ledger(place, **options)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


class Books:
    """Short ways to say what the tests say often."""

    NOON, DAY = NOON, DAY
    opened = staticmethod(opened)

    @staticmethod
    def hold(name: str, bound: int | None = 100, **values) -> Hold:
        given = {"key": "k", "capability": "generate", "vendor": "openai", "model": "openai/m"}
        call = name.split("-", maxsplit=1)[0]
        return Hold(id=name, call=call, bound=bound, **{"at": NOON, **given, **values})

    @staticmethod
    def row(name: str, **values) -> Row:
        given = {"key": "k", "capability": "generate", "engine": "openai", "model": "openai/m"}
        return Row(id=name, **{"at": NOON, "units": Units(input_tokens=3), **given, **values})

    @staticmethod
    def budget(cap: int, name: str = "all", **values) -> Budget:
        return Budget(id=name, cap=cap, **{"scope": "total", "period": "ever", **values})

    @staticmethod
    def settled(name: str, cost: int) -> Settlement:
        return Settlement(hold=name, cost=cost)

    @staticmethod
    def sql(place: str, statement: str, *, connection=None):
        """The rows of a statement, past the ledger."""
        own = connection or Books.connect(place)
        try:
            return (
                own.execute(statement).fetchall()
                if statement[:6] == "SELECT"
                else own.execute(statement)
            )
        finally:
            if connection is None:
                own.close()

    @staticmethod
    def connect(place: str):
        if place.startswith("sqlite"):
            import sqlite3

            return sqlite3.connect(
                place.removeprefix("sqlite:///"), isolation_level=None, timeout=10
            )
        import psycopg

        return psycopg.connect(place, autocommit=True)


class Worker:
    """A process that makes calls, see worker.py."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid, self._output = pid, output

    @property
    def said(self) -> list[str]:
        return self._output.read_text().splitlines() if self._output.exists() else []

    @property
    def runs(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def ready(self) -> None:
        """Wait until it makes calls."""
        until = time.monotonic() + 60
        while self.said[:1] != ["ready"]:
            assert self.runs and time.monotonic() < until, self.said
            time.sleep(0.005)

    def done(self) -> tuple[int, int]:
        """Wait until it has ended; the attempts it had admitted and refused."""
        until = time.monotonic() + 60
        while self.runs:
            assert time.monotonic() < until, self.said
            time.sleep(0.01)
        assert len(self.said) == 2, self.said
        _, admitted, refused = self.said[1].split()
        return int(admitted), int(refused)

    def kill(self) -> None:
        assert self.runs, self.said
        os.kill(self.pid, signal.SIGKILL)
        while self.runs:
            time.sleep(0.001)


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    """Start processes that make calls: ``workers(place, bills, seed, calls)``."""
    folder = tmp_path_factory.mktemp("workers")
    nursery = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "worker.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    count = 0

    def start(place: str, bills: Path, seed: int, calls: int) -> Worker:
        nonlocal count
        count += 1
        output = folder / str(count)
        nursery.stdin.write(f"{place} {bills} {seed} {calls} {output}\n")
        nursery.stdin.flush()
        return Worker(int(nursery.stdout.readline()), output)

    yield start
    nursery.stdin.close()
    nursery.wait(30)
    nursery.stdout.close()


@pytest.fixture(scope="session")
def books() -> type[Books]:
    return Books
