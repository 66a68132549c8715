"""A server that is killed again and again while it spends: no budget is passed, nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from PIL import Image

from ogam.gateway.billing import Billing
from ogam.gateway.ledger import Budget, Ledger
from ogam.gateway.prices import Book
from ogam.protocols.openai import bodies

from .paid_vendor import PROMPT_TOKENS

LONG = os.environ.get("OGAM_TEST_LONG") == "1"
KILLS, CALLS = (10, 700) if LONG else (3, 200)
AT_ONCE = 30
CAP = 1_000_000 * CALLS  # nano-dollars: not enough for all
# What the package's prices come to, in nano-dollars: by character, feature, second and token.
PRICE = {
    "elevenlabs": 50_000,
    "deepl": 25_000,
    "google_vision": 1_500_000,
    "google_speech": 400_000,
}
TOKEN_IN, TOKEN_OUT = 150, 600
SETTINGS = """
[routes]
generate = ["openai/gpt-4o-mini"]
speak = ["elevenlabs/eleven_flash_v2_5"]
translate = ["deepl"]
see = ["google_vision"]
transcribe = ["google_speech"]
"""
VENDORS = ("openai", "elevenlabs", "deepl", "google_vision", "google_speech")


class Server:
    """``ogam serve`` in a process of its own."""

    def __init__(self, folder: Path, turn: int) -> None:
        self._log = folder / f"server-{turn}.log"
        command = [sys.executable, "-m", "ogam", "serve", "--no-grpc", "--port", "0"]
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "OGAM_CONFIG": str(folder / "ogam.toml")},
            )

    def url(self) -> str:
        until = time.monotonic() + 60
        while True:
            said = self._log.read_text()
            if found := re.search(r"answers at (http://\S+)", said):
                return found[1]
            assert self.child.poll() is None and time.monotonic() < until, said
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        self.child.send_signal(how)
        self.child.wait(30)


@contextmanager
def vendor(bills: Path) -> Iterator[int]:
    script = Path(__file__).parent / "paid_vendor.py"
    command = [sys.executable, str(script), str(bills), "11"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


@contextmanager
def observed(file: Path) -> Iterator[None]:
    """Read the books all the time; what is spent and held may never be over the cap."""
    seen: list[tuple[int, int]] = []
    stopped = threading.Event()

    def watch() -> None:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as own:
            while not stopped.wait(0.005):
                seen.append(
                    own.execute(
                        "SELECT (SELECT settled + held FROM counters), (SELECT sum("
                        "CASE WHEN state IN ('held', 'sent', 'unknown') THEN bound ELSE cost END)"
                        " FROM holds)"
                    ).fetchone()
                )

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    # By the counters, and by all that they count.
    assert len(seen) > 20
    assert [one for one in seen if max(one[0] or 0, one[1] or 0) > CAP] == []


def _picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


PICTURE = _picture()


def chat(most: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Is it?"}]
    return {"model": "gpt-4o-mini", "messages": messages, "max_tokens": most}


def asked(number: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A path and a body, of random cost; no two chats may write equally much."""
    kind = chance.randrange(5)
    if kind == 0:
        return "/v1/chat/completions", chat(1000 + number)
    if kind == 1:
        return "/v1/text-to-speech/ada", {"text": "a" * chance.randint(1, 60)}
    if kind == 2:
        return "/v2/translate", {"text": ["b" * chance.randint(1, 120)], "target_lang": "DE"}
    if kind == 3:
        types = ("LABEL_DETECTION", "FACE_DETECTION", "TEXT_DETECTION")
        wanted = [{"type": one} for one in types[: chance.randint(1, 3)]]
        return "/v1/images:annotate", {
            "requests": [{"image": {"content": PICTURE}, "features": wanted}]
        }
    pcm = base64.b64encode(bytes(range(200)) * 160 * chance.randint(1, 4)).decode()
    settings = {"encoding": "LINEAR16", "sampleRateHertz": 16_000, "languageCode": "en-US"}
    return "/v1/speech:recognize", {"config": settings, "audio": {"content": pcm}}


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


def billed(file: Path) -> Counter[tuple[str, int, int]]:
    """How often each vendor billed what: the vendor, the most it could be, and what it was."""
    lines = (line.split() for line in file.read_text().splitlines())
    return Counter((name, int(most), int(units)) for name, most, units in lines)


def by_bound(bills: Counter[tuple[str, int, int]]) -> dict[tuple[str, int], list[int]]:
    """What each vendor billed, by what was set aside for it: for each such, the costs."""
    price = Book.load().find("openai", "gpt-4o-mini", "generate")
    assert price is not None
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (name, most, units), count in bills.items():
        if name == "openai":
            body = chat(most)
            size = len(msgspec.json.encode(body))
            billing = bodies.chat_body_bound("chat/completions", body, size, price)
            assert isinstance(billing, Billing)
            bound, cost = price.cost(billing), PROMPT_TOKENS * TOKEN_IN + units * TOKEN_OUT
        else:
            bound = cost = units * PRICE[name]
        found[name, bound] += [cost] * count
    return found


def test_killed_among_its_calls_a_server_keeps_its_budget_and_its_books(tmp_path: Path) -> None:
    bills, file = tmp_path / "bills", tmp_path / "ledger.sqlite"
    chance = random.Random(5)
    todo = iter(range(CALLS))
    found: Counter[int] = Counter()

    async def prepare() -> None:
        ledger = Ledger(file)
        await ledger.open()
        await ledger.set_budget(Budget(id="all", scope="total", period="ever", cap=CAP))
        await ledger.close()

    asyncio.run(prepare())
    with vendor(bills) as port:
        tables = "".join(
            f'[vendors.{name}]\nurl = "http://127.0.0.1:{port}{"/v1" * (name == "openai")}"\n'
            'key = "k"\n'
            for name in VENDORS
        )
        own = f'[server]\ndata = "{tmp_path}"\n'
        (tmp_path / "ogam.toml").write_text(SETTINGS + own + tables)
        with observed(file):
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

    assert found[200] > CALLS // 5, found
    # DeepL's word for a spent budget: it did bind.
    assert found[456], found
    asyncio.run(reconciled(file, billed(bills)))


async def reconciled(file: Path, bills: Counter[tuple[str, int, int]]) -> None:
    """What nobody could settle is settled by the vendor's bills; then all sums agree."""
    with closing(sqlite3.connect(file)) as own:
        known = own.execute("SELECT id, vendor, bound, state, cost FROM holds").fetchall()
    ledger = Ledger(file)
    await ledger.open()  # what the dead held is unknown from now on
    left = {one.hold.id: one.state for one in await ledger.holds(limit=10_000)}
    assert set(left.values()) == {"unknown"}
    sums = 0
    rest = by_bound(bills)
    for hold, name, bound, state, cost in sorted(known, key=lambda one: one[0] in left):
        costs = rest[name, bound]
        if state == "settled":
            assert cost in costs, (name, bound, cost)  # it was billed, and so much
        if hold in left:
            cost = costs[0] if costs else 0  # noqa: PLW2901
            await ledger.reconcile(hold, cost)
        if cost:
            costs.remove(cost)
            sums += cost
    # Nothing was billed that is not in the books.
    assert not any(rest.values()), rest
    assert await ledger.holds() == []
    assert await ledger.check() == []
    (total,) = await ledger.usage()
    (state,) = await ledger.budgets()
    assert total.cost == state.settled == sums
    assert (total.unknown, state.held) == (0, 0)
    assert sums <= CAP
    await ledger.close()
