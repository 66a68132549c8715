"""Ledgers on real files of SQLite and on a real PostgreSQL, which the tests start themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ogam.capabilities.base import Units
from ogam.gateway.ledger import Budget, Hold, Ledger, Row, Settlement

NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC
DAY = 86_400_000


class Postgres:
    """A server of PostgreSQL on a free port, which can be stopped and started again."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="ogam-postgres-"))
        self._as: dict = {}
        if os.getuid() == 0:  # it refuses to run as root
            names = {one.pw_name for one in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self._port = one.getsockname()[1]
        self._data = self.folder / "data"
        self._process: subprocess.Popen | None = None
        self._run(
            "initdb", "-D", str(self._data), "-U", "ogam", "--auth=trust", "-E", "UTF8",
            "--locale=C", "--wal-segsize=1", "--no-sync",
        )  # fmt: skip

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / name, *arguments],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stderr

    def url(self) -> str:
        return f"postgresql://ogam@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        import psycopg

        self._process = subprocess.Popen(
            [
                self._binaries / "postgres", "-D", self._data, "-p", str(self._port),
                "-c", "listen_addresses=127.0.0.1", "-k", self.folder, "-F",
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,
        )  # fmt: skip
        for _ in range(600):
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start")

    @property
    def running(self) -> bool:
        return self._process is not None

    def stop(self, how: int = signal.SIGINT) -> None:
        """Ends every connection; with SIGQUIT nothing is put in order first."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def new(self) -> str:
        """The URL of an empty database. There is one, emptied: to make one copies 7 MB."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url()


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += sorted(Path("/opt/homebrew/opt").glob("postgresql*/bin"), reverse=True)
    return next(
        (one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = _binaries()
    if binaries is None:
        line = "PostgreSQL is not installed: apt install postgresql, or brew install postgresql"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)
    server = Postgres(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(server.folder, ignore_errors=True)


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
