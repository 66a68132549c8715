"""What the tests of paid calls share: ``ogam serve`` in processes of its own, before a vendor that
bills (``paid_vendor.py``), and the proof that the books agree with those bills.
"""

from __future__ import annotations

import base64
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

import msgspec
import psycopg
from PIL import Image

from ogam.gateway.billing import Billing
from ogam.gateway.ledger import Budget, Ledger
from ogam.gateway.prices import Book
from ogam.protocols.openai import bodies

from .paid_vendor import PROMPT_TOKENS

# What the package's prices come to, in nano-dollars: by character, feature, second and token.
PRICE = {
    "elevenlabs": 50_000,
    "deepl": 25_000,
    "google_vision": 1_500_000,
    "google_speech": 400_000,
}
TOKEN_IN, TOKEN_OUT = 150, 600
ROUTES = """
[routes]
generate = ["openai/gpt-4o-mini"]
speak = ["elevenlabs/eleven_flash_v2_5"]
translate = ["deepl"]
see = ["google_vision"]
transcribe = ["google_speech"]
embed = ["fake"]
"""
VENDORS = ("openai", "elevenlabs", "deepl", "google_vision", "google_speech")


class Server:
    """``ogam serve`` in a process of its own, by ``ogam.toml`` of ``folder``."""

    def __init__(self, folder: Path, name: object, **options: Any) -> None:
        self._log = folder / f"server-{name}.log"
        command = [sys.executable, "-m", "ogam", "serve", "--no-grpc", "--port", "0"]
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "OGAM_CONFIG": str(folder / "ogam.toml")},
                **options,
            )

    @property
    def said(self) -> str:
        """What it wrote until now."""
        return self._log.read_text()

    def url(self) -> str:
        """Where it answers, once it does."""
        until = time.monotonic() + 60
        while True:
            if found := re.search(r"answers at (http://\S+)", self.said):
                return found[1]
            assert self.child.poll() is None and time.monotonic() < until, self.said
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        self.child.send_signal(how)
        self.child.wait(30)


def settings(folder: Path, port: int, ledger: str = "") -> None:
    """Write ``ogam.toml``: every vendor is the one on ``port``. ``ledger``: the table's lines."""
    tables = "".join(
        f'[vendors.{name}]\nurl = "http://127.0.0.1:{port}{"/v1" * (name == "openai")}"\n'
        'key = "k"\n'
        for name in VENDORS
    )
    own = f'[server]\ndata = "{folder}"\n[ledger]\n{ledger}\n'
    (folder / "ogam.toml").write_text(ROUTES + own + tables)


@contextmanager
def vendor(bills: Path, seed: int = 11) -> Iterator[int]:
    """The vendor in a process of its own; its port."""
    script = Path(__file__).parent / "paid_vendor.py"
    command = [sys.executable, str(script), str(bills), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


def connected(place: str) -> Any:
    """The ledger's database, past the ledger."""
    if place.startswith("postgresql:"):
        return psycopg.connect(place, autocommit=True)
    return sqlite3.connect(place.removeprefix("sqlite:///"), isolation_level=None, timeout=10)


@contextmanager
def observed(place: str, cap: int, pause: float = 0.005) -> Iterator[list[tuple[int, int]]]:
    """Read the books all the time; what is spent and held may never be over the cap.

    What was seen: by the counters, and by all that they count, of one instant each.
    """
    seen: list[tuple[int, int]] = []
    failed: list[Exception] = []
    stopped = threading.Event()

    def watch() -> None:
        try:
            with closing(connected(place)) as own:
                while not stopped.wait(pause):
                    found = own.execute(
                        "SELECT (SELECT settled + held FROM counters), (SELECT sum("
                        "CASE WHEN state IN ('held', 'sent', 'unknown') THEN bound ELSE cost END)"
                        " FROM holds)"
                    ).fetchone()
                    seen.append((int(found[0] or 0), int(found[1] or 0)))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()
    assert failed == [], failed
    assert len(seen) > 20
    over = [one for one in seen if max(one) > cap]
    assert over == [], (cap, over[:10])


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
    encoded = {"encoding": "LINEAR16", "sampleRateHertz": 16_000, "languageCode": "en-US"}
    return "/v1/speech:recognize", {"config": encoded, "audio": {"content": pcm}}


async def capped(place: str, cap: int) -> None:
    """Make the ledger, with one budget over all."""
    ledger = Ledger(place)
    await ledger.open()
    await ledger.set_budget(Budget(id="all", scope="total", period="ever", cap=cap))
    await ledger.close()


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
            body = {name: value for name, value in chat(most).items() if name != "model"}
            size = len(msgspec.json.encode(body))
            billing = bodies.chat_body_bound("chat/completions", body, size, price)
            assert isinstance(billing, Billing)
            bound, cost = price.cost(billing), PROMPT_TOKENS * TOKEN_IN + units * TOKEN_OUT
        else:
            bound = cost = units * PRICE[name]
        found[name, bound] += [cost] * count
    return found


async def reconciled(place: str, bills: Counter[tuple[str, int, int]], cap: int) -> int:
    """What nobody could settle is settled by the vendor's bills; then all sums agree.

    How many holds that were.
    """
    with closing(connected(place)) as own:
        known = own.execute("SELECT id, vendor, bound, state, cost FROM holds").fetchall()
    ledger = Ledger(place)
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
    assert sums <= cap
    await ledger.close()
    return len(left)
