"""Calls to a vendor: requests a second and p50 through ogam.net, aiohttp and httpx.

One upstream in a process of its own sends a fixed answer; the clients take turns in one run, each
with a connection per request in flight, on the loop the server uses. What the client's own
process computes is told too, as it is what the gateway pays, whatever else the machine does::

    pip install aiohttp httpx
    python benchmarks/outgoing.py [--in-flight 1 64] [--requests 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from ogam import net

UPSTREAM = """
import asyncio, json, sys

answer = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices":
    [{"index": 0, "message": {"role": "assistant", "content": "one " * 100}}]}).encode()
answer = (b"HTTP/1.1 200 OK\\r\\nserver: x\\r\\ndate: Sun, 22 Nov 2026 00:00:00 GMT\\r\\n"
    b"content-type: application/json\\r\\nx-request-id: 0123456789\\r\\n"
    b"content-length: %d\\r\\n\\r\\n" % len(answer)) + answer

class Upstream(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.held = transport, b""

    def data_received(self, data):
        self.held += data
        if self.held.endswith(b'"end":1}'):
            self.held = b""
            self.transport.write(answer)

async def main():
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "Say hello. " * 50}]},
    separators=(",", ":"),
)
BODY = f'{BODY[:-1]},"end":1}}'.encode()
FIELDS = {"authorization": "Bearer 0123456789", "content-type": "application/json"}
Ask = Callable[[], Awaitable[int]]


async def ogam_net(stack: AsyncExitStack, url: str, width: int) -> Ask:
    client = net.Client(url, connections=width)
    stack.callback(client.close)
    fields = tuple(FIELDS.items())

    async def ask() -> int:
        reply = await client.request("POST", "/chat", headers=fields, body=BODY, timeout=60)
        return len(reply.body)

    return ask


async def aiohttp(stack: AsyncExitStack, url: str, width: int) -> Ask:
    import aiohttp

    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=width), timeout=aiohttp.ClientTimeout(60)
        )
    )

    async def ask() -> int:
        async with session.post(f"{url}/chat", headers=FIELDS, data=BODY) as reply:
            return len(await reply.read())

    return ask


async def httpx(stack: AsyncExitStack, url: str, width: int) -> Ask:
    import httpx

    client = await stack.enter_async_context(
        httpx.AsyncClient(limits=httpx.Limits(max_connections=width), timeout=60)
    )

    async def ask() -> int:
        return len((await client.post(f"{url}/chat", headers=FIELDS, content=BODY)).content)

    return ask


CLIENTS = {"ogam.net": ogam_net, "aiohttp": aiohttp, "httpx": httpx}


async def measure(ask: Ask, requests: int, width: int) -> tuple[float, float, float]:
    """Requests a second, p50 in seconds, and seconds computed per request."""
    times: list[float] = []

    async def caller() -> None:
        for _ in range(max(1, requests // width)):
            start = time.perf_counter()
            assert await ask() > 400
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(width)))  # connections are made
    times.clear()
    start, computed = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(width)))
    computed, wall = time.process_time() - computed, time.perf_counter() - start
    return len(times) / wall, statistics.median(times), computed / len(times)


async def run(url: str, names: list[str], width: int, requests: int, rounds: int) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        asks = {name: await CLIENTS[name](stack, url, width) for name in names}
        for _ in range(rounds):
            for name, ask in asks.items():
                found[name].append(await measure(ask, requests, width))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    own = medians["ogam.net"]
    for name, (rate, p50, computed) in medians.items():
        print(
            f"{width:>9} {name:<10}{rate:>11,.0f}{own[0] / rate:>8.2f} x{p50 * 1e3:>10.2f}"
            f"{computed * 1e6:>11.0f}{computed / own[2]:>8.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    names = ["ogam.net"]
    for name in ("aiohttp", "httpx"):
        try:
            __import__(name)
        except ImportError:
            print(f"Without {name}: pip install {name}", file=sys.stderr)
        else:
            names.append(name)
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    upstream = subprocess.Popen([sys.executable, "-c", UPSTREAM], stdout=subprocess.PIPE, text=True)
    try:
        assert upstream.stdout is not None
        url = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        print("in flight client      requests/s   ogam =    p50, ms  CPU, us/request")
        for width in options.in_flight:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(run(url, names, width, options.requests, options.rounds))
    finally:
        upstream.terminate()
        upstream.wait()


if __name__ == "__main__":
    main()
