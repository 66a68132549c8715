"""What the gateway adds to a call: beside LiteLLM's proxy and Portkey's gateway, in one run.

    python benchmarks/gateway.py [--litellm BIN] [--portkey FOLDER] [--rounds 3] [--calls 4000]
    python benchmarks/gateway.py --memory 1000000

The vendor is a process that always gives the same answer at once. Before it stands, in turns:
nothing, ``ogam serve`` (the body of a chat goes through: key check, route, price, a hold in the
ledger before it is sent, settlement and a row after it), and each peer that is installed, by its
own shortest configuration and without a database. A gateway has core 1 to itself, the vendor and
the clients have core 0. Requests per second at 64 clients, the median time at one, processor time
a request, and how long 64 streams of 100 events a second take more than they should. Then the
processor time of the parts of Ogam's path, each called alone.

LiteLLM: ``pip install 'litellm[proxy]'`` in an environment of its own, then ``--litellm`` is its
``bin/litellm``.
Portkey: ``npm install @portkey-ai/gateway``, ``--portkey FOLDER``, which has node_modules.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

KEY = "a-key-for-the-benchmark"
EVENTS, EVERY = 100, 0.01
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello to all of you.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15},
}
CHUNK = {**ANSWER, "object": "chat.completion.chunk", "usage": None}
CHUNK["choices"] = [{"index": 0, "delta": {"content": "Hello "}, "finish_reason": None}]
LAST = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USED = {**CHUNK, "choices": [], "usage": ANSWER["usage"]}


class Vendor(asyncio.Protocol):
    """Answers every request alike; one that asks for a stream gets events at a steady pace."""

    whole = json.dumps(ANSWER).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(whole),
        whole,
    )

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            if b"transfer-encoding: chunked" in head:
                last = self.buffer.find(b"0\r\n\r\n", end + 4)
                size = last + 5 - end - 4 if last >= 0 else 1 << 30
            else:
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self.buffer) < end + 4 + size:
                return
            body = self.buffer[end + 4 : end + 4 + size]
            self.buffer = self.buffer[end + 4 + size :]
            if b'"stream":true' in body.replace(b" ", b""):
                self.task = asyncio.ensure_future(self.stream())
            else:
                self.transport.write(self.reply)

    async def stream(self) -> None:
        def part(value: object) -> bytes:
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            event = b"data: " + text + b"\n\n"
            return b"%x\r\n%b\r\n" % (len(event), event)

        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        self.transport.write(head + b"transfer-encoding: chunked\r\n\r\n")
        started, event = time.perf_counter(), part(CHUNK)
        for number in range(1, EVENTS + 1):
            await asyncio.sleep(started + number * EVERY - time.perf_counter())
            self.transport.write(event)
        self.transport.write(part(LAST) + part(USED) + part(b"[DONE]") + b"0\r\n\r\n")


async def vendor(port: int) -> None:
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Vendor, "127.0.0.1", port)).serve_forever()


def request(headers: dict[str, str], *, stream: bool = False) -> bytes:
    body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Say hello to the people of this house."}],
        "max_completion_tokens": 64,
    }
    data = json.dumps({**body, "stream": True} if stream else body).encode()
    fields = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "user-agent": "OpenAI/Python 3.54.0",
        "content-length": str(len(data)),
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + data


class RefusedError(Exception):
    """An answer that is none."""


async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> None:
    writer.write(asked)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RefusedError(head.decode())
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def load(port: int, asked: bytes, clients: int, calls: int) -> tuple[float, float]:
    """Requests per second, and the median time of one."""
    times: list[float] = []
    left = calls

    async def client() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        while left > 0:
            left -= 1
            started = time.perf_counter()
            await whole(reader, writer, asked)
            times.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(times) / (time.perf_counter() - started), statistics.median(times)


class Row(NamedTuple):
    """Requests per second at 64 clients; seconds of one alone, of a core each, added to streams."""

    rate: float
    alone: float
    cpu: float
    streams: float


def measured(port: int, pid: int, headers: dict[str, str], calls: int) -> Row:
    asked = request(headers)

    async def main() -> Row:
        await load(port, asked, 8, 200)
        process = psutil.Process(pid)

        def spent() -> float:
            every = [process, *process.children(recursive=True)]
            return sum(sum(one.cpu_times()[:2]) for one in every)

        before = spent()
        rate, _ = await load(port, asked, 64, calls)
        cpu = (spent() - before) / calls
        _, alone = await load(port, asked, 1, max(200, calls // 10))
        started = time.perf_counter()
        try:
            await load(port, request(headers, stream=True), 64, 64)
        except RefusedError:  # Portkey 1.15 on Node 20 refuses every stream
            return Row(rate, alone, cpu, float("nan"))
        return Row(rate, alone, cpu, time.perf_counter() - started - EVENTS * EVERY)

    return _run(main)


def memory(port: int, pid: int, headers: dict[str, str], calls: int) -> None:
    """What the process holds, before the first call and after each 25,000 from 64 clients."""
    process, step = psutil.Process(pid), min(calls, 25_000)
    print(f"{0:9,} calls {process.memory_info().rss / 1e6:7.1f} MB")
    for done in range(step, calls + 1, step):
        _run(lambda: load(port, request(headers), 64, step))
        print(f"{done:9,} calls {process.memory_info().rss / 1e6:7.1f} MB", flush=True)


def _run(main: Callable) -> Row:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(
    command: list[str], port: int, core: int, environ: dict[str, str] | None = None
) -> Iterator[int]:
    """A process on one core, once its port answers; what it writes is shown if it does not."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **(environ or {})},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            for _ in range(1800):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None:
                    said.seek(0)
                    sys.exit(f"{command[0]} ended: {said.read().decode()[-2000:]}")
                time.sleep(0.1)
            else:
                sys.exit(f"{command[0]} did not answer")
            time.sleep(1)
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def ogam(url: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ogam.toml").write_text(
            '[routes]\ngenerate = ["openai/gpt-4o-mini"]\n'
            f'[vendors.openai]\nurl = "{url}/v1"\nkey = "k"\n'
            f'[server]\nport = {port}\nkeys = ["{KEY}"]\ndata = "{folder}"\n',
            encoding="utf-8",
        )
        environ = {"OGAM_CONFIG": f"{folder}/ogam.toml"}
        command = [sys.executable, "-m", "ogam", "serve", "--no-grpc"]
        with started(command, port, 1, environ) as pid:
            yield port, pid, {"authorization": f"Bearer {KEY}"}


@contextlib.contextmanager
def litellm(url: str, program: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(
            "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n"
            f"      model: openai/gpt-4o-mini\n      api_base: {url}/v1\n      api_key: k\n"
            f"general_settings:\n  master_key: sk-{KEY}\n",
            encoding="utf-8",
        )
        command = [program, "--config", f"{folder}/config.yaml", "--port", str(port)]
        command += ["--num_workers", "1"]
        environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        with started(command, port, 1, environ) as pid:
            yield port, pid, {"authorization": f"Bearer sk-{KEY}"}


@contextlib.contextmanager
def portkey(url: str, folder: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    port = free_port()
    script = f"{folder}/node_modules/@portkey-ai/gateway/build/start-server.js"
    with started(["node", script, f"--port={port}", "--headless"], port, 1) as pid:
        yield (
            port,
            pid,
            {
                "authorization": "Bearer k",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": f"{url}/v1",
            },
        )


def parts() -> None:
    """The processor time of the parts of Ogam's path, each called alone."""
    import msgspec

    from ogam.gateway import routing
    from ogam.gateway.caller import Caller
    from ogam.gateway.keys import Keys
    from ogam.gateway.prices import Book
    from ogam.gateway.routing import Facts
    from ogam.protocols import strict_json
    from ogam.protocols.openai import bodies, usage
    from ogam.routes import Step

    data = request({}).partition(b"\r\n\r\n")[2]
    body, reply = strict_json.decode(data), json.dumps(ANSWER).encode()
    price = Book.load().find("openai", "gpt-4o-mini", "generate")
    keys, caller, steps = Keys((KEY,)), Caller(), (Step(model="openai/gpt-4o-mini"),)
    used = usage.usage_of(reply)
    assert price is not None
    assert used is not None
    from ogam.gateway.billing import Billing

    for name, work in {
        "key check": lambda: keys.check(KEY),
        "route": lambda: routing.plan(steps, Facts(), caller),
        "read the body strictly": lambda: strict_json.decode(data),
        "prove what it costs at most": lambda: price.cost(
            bodies.chat_body_bound("chat/completions", body, len(data), price)  # type: ignore[arg-type]
        ),
        "write the body": lambda: msgspec.json.encode({**body, "model": "m"}),
        "read the usage": lambda: usage.usage_of(reply),
        "price it": lambda: price.cost(Billing(units=used)),
    }.items():
        count, started = 2000, time.process_time()
        for _ in range(count):
            work()
        print(f"  {name:28} {(time.process_time() - started) / count * 1e6:6.1f} us")
    print("  hold, settlement and row: benchmarks/ledger.py; the vendor's call: outgoing.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litellm")
    parser.add_argument("--portkey")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--memory", type=int, help="only: Ogam's memory over so many calls")
    parser.add_argument("--vendor", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.vendor:
        import uvloop

        uvloop.run(vendor(options.vendor))
        return
    os.sched_setaffinity(0, {0})
    port = free_port()
    with started([sys.executable, __file__, "--vendor", str(port)], port, 0) as pid:
        url = f"http://127.0.0.1:{port}"

        @contextlib.contextmanager
        def nothing() -> Iterator[tuple[int, int, dict[str, str]]]:
            yield port, pid, {}

        if options.memory:
            with ogam(url) as (at, process, headers):
                memory(at, process, headers, options.memory)
            return
        every = {"nothing": nothing, "ogam": lambda: ogam(url)}
        if options.litellm:
            every["litellm"] = lambda: litellm(url, options.litellm)
        if options.portkey:
            every["portkey"] = lambda: portkey(url, options.portkey)
        found: dict[str, list[Row]] = {name: [] for name in every}
        for _ in range(options.rounds):
            for name, before in every.items():
                with before() as (at, process, headers):
                    calls = options.calls // 8 if name == "litellm" else options.calls
                    found[name].append(measured(at, process, headers, calls))
    middle = {
        name: Row(*(statistics.median(column) for column in zip(*rows, strict=True)))
        for name, rows in found.items()
    }
    mine, bare = middle["ogam"], middle["nothing"]
    print("            64 clients   beside ogam    1 client     added    processor   64 streams")
    for name, row in middle.items():
        print(
            f"{name:10} {row.rate:8.0f}/s   ogam is {mine.rate / row.rate:5.1f}x"
            f"  {row.alone * 1e3:7.2f} ms  {(row.alone - bare.alone) * 1e3:+6.2f} ms"
            f"  {row.cpu * 1e6:7.0f} us   {row.streams * 1e3:+6.1f} ms"
        )
    print("The parts of ogam's path:")
    parts()


if __name__ == "__main__":
    main()
