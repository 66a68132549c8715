"""The ledger's PostgreSQL stops under a server, or its disk is full, for a while.

Local work goes on, paid work does what the settings say, and once the database is back every
call is in the books. That it is locked or taken away is in ``test_ledger_down.py``.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ogam.gateway.ledger import BudgetState, Difference, Ledger, OpenHold, Row

from .paying import PRICE, Server, capped, settings
from .test_faults import WORDS, Vendor
from .test_ledger_down import translates

OUTAGE = 30.0 if os.environ.get("OGAM_TEST_LONG") == "1" else 5.0
EACH = len(WORDS) * PRICE["deepl"]
CAP = 1_000_000 * EACH


class Stopped:
    """PostgreSQL, which is stopped and started again."""

    def __init__(self, request: pytest.FixtureRequest, _: Path) -> None:
        self._server = request.getfixturevalue("postgres")
        self.place = self._server.new()

    @contextmanager
    def gone(self, _: int) -> Iterator[None]:
        self._server.stop()
        try:
            yield
        finally:
            self._server.start()


class Filled:
    """A file of SQLite on a small disk, which is filled and emptied again."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._disk = folder / "disk"
        self._disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "ogam", self._disk]
        if os.getuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("to mount a small disk takes more rights")
        request.addfinalizer(lambda: subprocess.run(["umount", self._disk], check=True))
        self.place = f"sqlite:///{self._disk}/ledger.sqlite"

    @contextmanager
    def gone(self, _: int) -> Iterator[None]:
        filler = self._disk / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
        yield
        filler.unlink()


class Limited:
    """A file of SQLite whose log may not grow, and then may again."""

    def __init__(self, _: pytest.FixtureRequest, folder: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("the limits of another process are Linux's to change")
        self._log = folder / "ledger.sqlite-wal"
        self.place = f"sqlite:///{folder}/ledger.sqlite"

    @contextmanager
    def gone(self, server: int) -> Iterator[None]:
        kind = resource.RLIMIT_FSIZE
        before = resource.prlimit(server, kind)
        resource.prlimit(server, kind, (self._log.stat().st_size, before[1]))
        yield
        resource.prlimit(server, kind, before)


def translated(url: str) -> int:
    """A paid call; its status."""
    body = {"text": [WORDS], "target_lang": "DE"}
    return httpx.post(f"{url}/v2/translate", json=body, timeout=60).status_code


def embedded(url: str) -> int:
    """A local call; its status."""
    body = {"model": "text-embedding-3-small", "input": "Hi"}
    return httpx.post(f"{url}/v1/embeddings", json=body, timeout=60).status_code


def told(url: str) -> dict[str, float]:
    """What /metrics says of the ledger."""
    text = httpx.get(f"{url}/metrics").text
    return {name: float(value) for name, value in re.findall(r"\nogam_ledger_(\w+) (\S+)", text)}


def until(url: str, **wanted: float) -> dict[str, float]:
    last = time.monotonic() + 30
    while not wanted.items() <= (found := told(url)).items():
        assert time.monotonic() < last, found
        time.sleep(0.1)
    return found


def during(work: Any, url: str, ended: threading.Event) -> Counter[int]:
    """Make one call after another, three at least; the statuses."""
    found: Counter[int] = Counter()
    while not ended.is_set() or found.total() < 3:
        found[work(url)] += 1
        time.sleep(0.05)
    return found


async def books(
    place: str,
) -> tuple[list[Row], list[OpenHold], list[Difference], list[BudgetState]]:
    ledger = Ledger(place)
    await ledger.open()
    found = await ledger.calls(100_000), await ledger.holds(), await ledger.check()
    budgets = await ledger.budgets()
    await ledger.close()
    return *found, budgets


@pytest.mark.parametrize(
    ("kind", "when_down"),
    [(Stopped, "closed"), (Stopped, "open"), (Filled, "closed"), (Limited, "open")],
)
def test_every_call_is_in_the_books_once_the_database_is_back(
    tmp_path: Path, request: pytest.FixtureRequest, kind: Any, when_down: str
) -> None:
    database = kind(request, tmp_path)
    place = database.place
    asyncio.run(capped(place, CAP))
    vendor, answer = Vendor(), threading.Event()

    async def waits(writer: Any) -> None:
        while not answer.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.01)
        await translates(writer)

    settings(tmp_path, vendor.port, f'url = "{place}"\nwhen_down = "{when_down}"')
    server = Server(tmp_path, 1)
    try:
        url = server.url()
        vendor.does = translates
        assert (translated(url), embedded(url)) == (200, 200)
        with ThreadPoolExecutor(3) as threads:
            # One is under way when the database goes, and answered while it is gone.
            vendor.does = waits
            early = threads.submit(translated, url)
            while vendor.asked < 2:
                time.sleep(0.01)
            vendor.does = translates
            ended = threading.Event()
            with database.gone(server.child.pid):
                local = threads.submit(during, embedded, url, ended)
                paid = threads.submit(during, translated, url, ended)
                answer.set()
                time.sleep(OUTAGE)
                ended.set()
                went_on, spent = local.result(60), paid.result(60)
                assert early.result(60) == 200
                down = told(url)
        assert down["up"] == 0
        assert down["waiting"] >= went_on.total()
        assert set(went_on) == {200}
        refused = spent.total() - spent[200]
        assert spent == ({200: spent[200]} if when_down == "open" else {503: refused})
        # Nothing was sent that nothing was set aside for, but where the settings say so.
        assert down["uncounted"] == spent[200] == vendor.asked - 2
        until(url, up=1, waiting=0)
        assert translated(url) == 200
        back = until(url, up=1, waiting=0)
        assert (back["lost"], back["spoilt"]) == (0, 0)
    finally:
        server.child.terminate()
        server.child.wait(30)
        vendor.close()

    rows, held, wrong, (budget,) = asyncio.run(books(place))
    ends = Counter((one.capability, one.status) for one in rows)
    assert ends == {
        ("translate", "ok"): vendor.asked,
        ("embed", "ok"): 1 + went_on.total(),
        **({("translate", "Ledger"): refused} if refused else {}),
    }
    assert (held, wrong) == ([], [])
    assert sum(one.cost for one in rows) == vendor.asked * EACH
    assert (budget.settled, budget.held) == (vendor.asked * EACH, 0)
