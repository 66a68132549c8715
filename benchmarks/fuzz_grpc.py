"""Wrong, odd and hostile gRPC calls against the whole server: nothing of it may break it.

    python benchmarks/fuzz_grpc.py [--count 5000] [--seed 1] [--clients 8] [--fake]

Messages of Google's own types with hostile values, bytes that are none, streams that send sound
before their configuration, end early, or are cancelled in the middle, methods that do not exist.
The engines are those that ship; with ``--fake`` the deterministic one.

Prints the codes of each kind of call, every INTERNAL and UNKNOWN, tracebacks, hangs, and the
memory at rest after the first calls and at the end. Call ``n`` of a seed is always the same;
``--only N`` sends it.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
from _hostile_grpc import Call, call
from _server import Started, memory, server

ROUTES = {"see": "rapidocr,opencv", "transcribe": "pocketsphinx"}
# An answer must have come by then; on a busy machine three seconds of noise take a minute.
HANG = 180.0
# What a client must never be told: that the server does not know what happened to it.
BROKEN = ("INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED")


class Got(NamedTuple):
    """How a call ended."""

    code: str
    said: str


def send(channel: grpc.Channel, one: Call) -> Got:
    """Make one call, and read whatever comes."""
    left = threading.Event()

    def messages() -> Iterator[bytes]:
        for at, message in enumerate(one.messages):
            if one.leaves == at:
                left.set()
                return
            yield message
            if one.pause:
                time.sleep(one.pause)
        if one.leaves is not None:
            left.set()

    try:
        if one.stream:
            begun: Any = channel.stream_stream(one.method)(
                messages(), timeout=HANG, metadata=one.metadata
            )
            if one.leaves is not None:
                if begun.add_callback(left.set):  # else it has ended already
                    left.wait(HANG)
                begun.cancel()
            for _ in begun:
                pass
        else:
            data = b"".join(one.messages)
            begun = channel.unary_unary(one.method).future(
                data, timeout=HANG, metadata=one.metadata
            )
            if one.leaves is not None:
                time.sleep(0.01)
                begun.cancel()
            begun.result()
    except grpc.FutureCancelledError:
        return Got("CANCELLED", "")
    except grpc.RpcError as error:
        return Got(error.code().name, error.details() or "")
    except ValueError as error:
        return Got("refused here", str(error))  # grpc's own client sends no such metadata
    return Got("OK", "")


class Report:
    """What is known after a run."""

    def __init__(self) -> None:
        self.codes: dict[str, Counter[str]] = {}
        self.broken: list[tuple[int, Call, Got]] = []
        self.slowest: list[tuple[float, int, Call]] = []
        self._lock = threading.Lock()

    def take(self, number: int, one: Call, got: Got, seconds: float) -> None:
        """Count one, and keep it where it must not be."""
        # That a unary call was sent as a stream is told by grpc itself, as INTERNAL.
        shape = one.kind == "other shape"
        with self._lock:
            self.codes.setdefault(one.kind, Counter())[got.code] += 1
            self.slowest = heapq.nlargest(5, [*self.slowest, (seconds, number, one)])
            if got.code in BROKEN and not shape:
                self.broken.append((number, one, got))

    def show(self) -> None:
        """Print what came back."""
        for kind, codes in sorted(self.codes.items()):
            told = "  ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
            print(f"{kind:<28}{told}")
        for seconds, number, one in self.slowest:
            print(f"{seconds:.1f} s: call {number} ({one.kind}, {one.method})")
        for number, one, got in self.broken[:30]:
            first = one.messages[0][:120] if one.messages else b""
            print(f"\ncall {number} ({one.kind}, {one.method}): {got.code} {got.said[:300]}")
            print(f"  {len(one.messages)} messages, {first!r}")


def settled(own: Started) -> float:
    """The server's megabytes once what clients left behind has been let go of."""
    least, since = float("inf"), time.monotonic()
    while own.alive() and time.monotonic() - since < 5:
        now = memory(own.pid) / 1e6
        if now < 0.99 * least:
            least, since = now, time.monotonic()
        time.sleep(0.2)
    return least


def run(own: Started, seed: int, numbers: range, clients: int, report: Report) -> None:
    """Make the calls ``numbers``, ``clients`` at a time, each client on a channel of its own."""
    left = iter(numbers)
    lock = threading.Lock()
    started = time.perf_counter()

    def client() -> None:
        with grpc.insecure_channel(
            f"127.0.0.1:{own.grpc}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            while own.alive():
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                one = call(seed, number)
                began = time.perf_counter()
                got = send(channel, one)
                report.take(number, one, got, time.perf_counter() - began)
                if number % 500 == 499:
                    seconds = time.perf_counter() - started
                    held = memory(own.pid) / 1e6 if own.alive() else 0
                    print(f"  {number + 1:,} after {seconds:.0f} s, {held:.1f} MB", flush=True)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def main() -> None:
    """Run the fuzz and print; exit with 1 where anything broke."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--fake", action="store_true")
    parser.add_argument("--only", type=int, metavar="N")
    asked = parser.parse_args()
    with server(routes={} if asked.fake else ROUTES, grpc=True) as own:
        report = Report()
        if asked.only is not None:
            run(own, asked.seed, range(asked.only, asked.only + 1), 1, report)
            report.show()
            print(own.errors())
            return
        warm = min(1000, asked.count // 4)
        run(own, asked.seed, range(warm), asked.clients, report)
        before = settled(own)
        started = time.perf_counter()
        run(own, asked.seed, range(warm, asked.count), asked.clients, report)
        seconds = time.perf_counter() - started
        alive = own.alive()
        after = settled(own)
        errors = own.errors()
        report.show()
        print(f"\n{asked.count:,} calls, {(asked.count - warm) / seconds:,.0f} a second")
        print(f"memory after {warm:,}: {before:.1f} MB, at the end: {after:.1f} MB")
        tracebacks = errors.count("Traceback (most")
        print(f"alive: {alive}; tracebacks in its log: {tracebacks}; broke: {len(report.broken)}")
        if tracebacks:
            print(errors[-6000:])
    if report.broken or tracebacks or not alive:
        sys.exit(1)


if __name__ == "__main__":
    main()
