"""A server that is killed again and again while it spends: no budget is passed, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

from .paying import Server, asked, billed, capped, observed, reconciled, settings, vendor

LONG = os.environ.get("OGAM_TEST_LONG") == "1"
KILLS, CALLS = (10, 700) if LONG else (3, 200)
AT_ONCE = 30
CAP = 1_000_000 * CALLS  # nano-dollars: not enough for all


async def calls(
    server: Server, todo: Iterator[int], chance: random.Random, last: bool
) -> Counter[int]:
    """Make calls, many at once, and kill the server among them, but for the last time."""
    url = await asyncio.to_thread(server.url)
    found: Counter[int] = Counter()
    end = chance.randint(10, CALLS // (KILLS + 1))

    async def caller() -> None:
        for number in todo:
            path, body = asked(number, chance)
            # Some leave before they are answered.
            patience = chance.random() * 0.3 if chance.random() < 0.1 else 30.0
            with contextlib.suppress(httpx.HTTPError):
                got = await client.post(url + path, json=body, timeout=patience)
                found[got.status_code] += 1
            if not last and found.total() >= end:
                if server.child.returncode is None:
                    server.end(signal.SIGKILL)
                return

    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return found


def test_killed_among_its_calls_a_server_keeps_its_budget_and_its_books(tmp_path: Path) -> None:
    bills, place = tmp_path / "bills", f"sqlite:///{tmp_path}/ledger.sqlite"
    chance = random.Random(5)
    todo = iter(range(CALLS))
    found: Counter[int] = Counter()
    asyncio.run(capped(place, CAP))
    with vendor(bills) as port:
        settings(tmp_path, port)
        with observed(place, CAP):
            for turn in range(KILLS + 1):
                server, last = Server(tmp_path, turn), turn == KILLS
                try:
                    found += asyncio.run(calls(server, todo, chance, last))
                    if last:
                        server.end(signal.SIGTERM)
                finally:
                    server.child.kill()
                    server.child.wait()
                assert server.child.returncode == (0 if last else -signal.SIGKILL)

    # How many fit under the cap depends on what the killed servers left held: 38 to 60 here.
    assert found[200] > CALLS // 10, found
    # DeepL's word for a spent budget: it did bind.
    assert found[456], found
    asyncio.run(reconciled(place, billed(bills), CAP))
