"""Four servers that share one PostgreSQL, and one budget: together they never pass it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from .paying import Server, asked, billed, capped, connected, observed, reconciled, settings, vendor

LONG = os.environ.get("OGAM_TEST_LONG") == "1"
GATEWAYS, AT_ONCE, CALLS = 4, 60, 2000 if LONG else 200
CAP = 1_000_000 * CALLS  # nano-dollars: not enough for all


async def calls(servers: list[Server]) -> list[Counter[int]]:
    """Make calls at all of them, many at once; the statuses that each answered."""
    urls = await asyncio.gather(*(asyncio.to_thread(one.url) for one in servers))
    chance, todo = random.Random(7), iter(range(CALLS))
    found: list[Counter[int]] = [Counter() for _ in urls]

    async def caller() -> None:
        for number in todo:
            path, body = asked(number, chance)
            place = number % len(urls)
            got = await client.post(urls[place] + path, json=body)
            found[place][got.status_code] += 1

    # A connection each: one that is kept may be closed by the server just as it is used again.
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return found


def test_four_servers_never_pass_the_budget_they_share(tmp_path: Path, postgres: Any) -> None:
    place, bills = postgres.new(), tmp_path / "bills"
    asyncio.run(capped(place, CAP))
    with vendor(bills, 3) as port:
        settings(tmp_path, port, f'url = "{place}"')
        with observed(place, CAP) as seen:
            servers = [Server(tmp_path, number) for number in range(GATEWAYS)]
            try:
                found = asyncio.run(calls(servers))
                for one in servers:
                    one.child.send_signal(signal.SIGTERM)
                for one in servers:
                    one.child.wait(30)
            finally:
                for one in servers:
                    one.child.kill()
                    one.child.wait()
            assert [one.child.returncode for one in servers] == [0] * GATEWAYS

    # One statement sees one instant: there the counter is what its holds come to.
    assert [one for one in seen if one[0] != one[1]] == []
    assert all(one[200] for one in found), found
    # DeepL's word for a spent budget: it did bind.
    assert any(one[456] for one in found), found
    with connected(place) as own:
        written = own.execute("SELECT count(*) FROM calls").fetchone()[0]
    assert written == sum(one.total() for one in found) == CALLS
    asyncio.run(reconciled(place, billed(bills), CAP))
