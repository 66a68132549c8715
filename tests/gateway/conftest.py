"""A real PostgreSQL, which the tests start themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


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
