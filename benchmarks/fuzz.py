"""Wrong, odd and hostile HTTP against the whole server: nothing of it may break it.

    python benchmarks/fuzz.py [--count 20000] [--seed 1] [--clients 8] [--starters] [--keep out]

What is asked is drawn from the server's own /openapi.json: bodies of the right shape with one
thing wrong, no JSON at all, forms cut short, media that is none, odd methods, paths, headers,
lengths that never come, slow bodies, WebSockets full of rubbish. The engine is ``fake``; with
``--starters`` speech, embedding and classification are the models that ship.

Prints the statuses of each protocol, everything from 500 up, tracebacks, hangs, and the memory
at the start and the end. Request ``n`` of a seed is always the same but for the names of things
made on the way; with ``--keep FOLDER`` what failed is written there byte for byte, and
``--replay FILE`` sends it again.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from _hostile import Asked, Fuzzer
from _server import document, memory, server

# A reply must have come by then; a whole one of the fake engine takes milliseconds.
HANG = 30.0
# How long the server may rest before its memory is looked at for the last time.
REST = 12.0
# Streams are read no further than this.
ENOUGH = 4_000_000


class Got(NamedTuple):
    """What came of it: the status (0: the connection was closed without one) and the reply."""

    status: int
    body: bytes
    hung: bool = False


class Report:
    """What is known after a run."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[int]] = {}
        self.kinds: Counter[str] = Counter()
        self.failures: list[tuple[int, Asked, Got]] = []

    def take(self, number: int, asked: Asked, got: Got) -> None:
        """Count one reply, and keep it where it must not be."""
        self.statuses.setdefault(asked.protocol, Counter())[got.status] += 1
        self.kinds[asked.kind] += 1
        silent = got.status == 0 and asked.whole
        if got.hung or silent or got.status >= 500 or b"Traceback (most" in got.body:
            self.failures.append((number, asked, got))


async def send(host: str, port: int, asked: Asked) -> Got:
    """Send one request as it stands and read what comes."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    data = bytearray()
    patience = HANG if asked.whole else 0.2
    slow = asked.kind == "slow body"

    async def write() -> None:
        for part in asked.parts:
            writer.write(part)
            await writer.drain()
            if slow:
                await asyncio.sleep(0.05)

    async def read() -> None:
        while len(data) < ENOUGH and (more := await reader.read(1 << 16)):
            data.extend(more)
            # Not all close after such a request; a reply with a length ends there.
            head, found, _ = bytes(data[:2000]).partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head) if found else None
            if length and len(data) - len(head) - 4 >= int(length[1]) and b" 100 " not in head[:14]:
                return
            if head.startswith(b"HTTP/1.1 101") and not asked.whole:
                await asyncio.sleep(0.05)

    hung = False
    try:
        async with asyncio.timeout(patience):
            with suppress(ConnectionError):
                await write()
            with suppress(ConnectionError):
                await read()
    except TimeoutError:
        hung = asked.whole
    finally:
        writer.close()
    text = bytes(data)
    while text.startswith(b"HTTP/1.1 100"):
        text = text.partition(b"\r\n\r\n")[2]
    status = re.match(rb"HTTP/1\.[01] (\d{3})", text)
    return Got(int(status[1]) if status else 0, text.partition(b"\r\n\r\n")[2], hung)


_MADE = re.compile(
    rb'"(?:id|glossary_id|document_id|document_key|name|after|voice_id)":\s?"([\w./:-]{1,80})"'
)


async def run(
    host: str,
    port: int,
    fuzzer: Fuzzer,
    numbers: range,
    clients: int,
    tell: Callable[[], str] | None = None,
) -> Report:
    """Send the requests ``numbers``, ``clients`` at a time; ``tell`` adds to what is printed."""
    report = Report()
    left = iter(numbers)
    started = time.perf_counter()

    async def client() -> None:
        for number in left:
            asked = fuzzer.request(number)
            try:
                got = await send(host, port, asked)
            except OSError:
                got = Got(0, b"", hung=True)  # nobody listens any more
            report.take(number, asked, got)
            if 200 <= got.status < 300:
                fuzzer.made.extend(one.decode() for one in _MADE.findall(got.body[:5000])[:3])
            if tell and number % 1000 == 999:
                seconds = time.perf_counter() - started
                print(f"  {number + 1:,} after {seconds:.0f} s, {tell()}", flush=True)

    await asyncio.gather(*(client() for _ in range(clients)))
    return report


def show(report: Report, keep: Path | None = None) -> None:
    """Print what came back."""
    for protocol, statuses in sorted(report.statuses.items()):
        told = "  ".join(f"{status or 'closed'}: {n}" for status, n in sorted(statuses.items()))
        print(f"{protocol:<15}{told}")
    for number, asked, got in report.failures[:40]:
        whole = b"".join(asked.parts)
        why = "hung" if got.hung else f"status {got.status}"
        print(f"\nrequest {number} ({asked.kind}): {why}\n  {whole[:300]!r}\n  {got.body[:300]!r}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}.http").write_bytes(whole)


def main() -> None:
    """Run the fuzz and print; exit with 1 where anything broke."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--starters", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with server(asked.starters) as own:
        if asked.replay:
            one = Asked("", "replay", (asked.replay.read_bytes(),))
            print(asyncio.run(send("127.0.0.1", own.port, one)))
            print(own.errors())
            return
        fuzzer = Fuzzer(document(own.port), asked.seed, f"127.0.0.1:{own.port}")
        warm = min(1000, asked.count // 4)
        numbers = range(asked.first, asked.first + warm)
        report = asyncio.run(run("127.0.0.1", own.port, fuzzer, numbers, asked.clients))
        before = memory(own.pid) if own.alive() else 0
        rest = range(asked.first + warm, asked.first + asked.count)
        started = time.perf_counter()

        def held() -> str:
            return f"{memory(own.pid) / 1e6:.1f} MB" if own.alive() else "gone"

        more = asyncio.run(run("127.0.0.1", own.port, fuzzer, rest, asked.clients, held))
        seconds = time.perf_counter() - started
        for name, statuses in more.statuses.items():
            report.statuses.setdefault(name, Counter()).update(statuses)
        report.failures += more.failures
        alive = own.alive()
        after = memory(own.pid) if alive else 0
        # What was freed goes back to the system every ten seconds.
        time.sleep(REST if alive else 0)
        rested = memory(own.pid) if own.alive() else 0
        tracebacks = own.errors().count("Traceback (most")
        show(report, asked.keep)
        print(f"\n{asked.count:,} requests, {len(rest) / seconds:,.0f} a second")
        print(
            f"memory after {warm:,}: {before / 1e6:.1f} MB, at the end: {after / 1e6:.1f} MB, "
            f"{REST:.0f} s later: {rested / 1e6:.1f} MB"
        )
        print(f"alive: {alive}; tracebacks in its log: {tracebacks}; broke: {len(report.failures)}")
        if tracebacks:
            print(own.errors()[-6000:])
    if report.failures or tracebacks or not alive:
        sys.exit(1)


if __name__ == "__main__":
    main()
