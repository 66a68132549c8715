"""Chat completions through the server: requests and streamed pieces a second.

The engine is `fake`, so what is measured is everything around an engine. The peer is a Starlette
application that reads the JSON and sends the same replies ready-made, under the same uvicorn::

    python benchmarks/openai_chat.py [--connections 16] [--requests 60] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

TOKENS = 64
MESSAGES = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "Say hello to everyone in the room. " * 8},
]
PEER = """
import json, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

TOKENS = int(sys.argv[2])

async def chat(request):
    asked = json.loads(await request.body())
    model = asked["model"]
    if not asked.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "one " * TOKENS},
                  "finish_reason": "stop"}
        return JSONResponse({"id": "x", "object": "chat.completion", "created": 1,
                             "model": model, "choices": [choice], "usage": {}})

    async def chunks():
        for _ in range(TOKENS + 2):
            choice = {"index": 0, "delta": {"content": "one "}, "finish_reason": None}
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1,
                     "model": model, "choices": [choice]}
            yield f"data: {json.dumps(chunk)}\\n\\n".encode()
        yield b"data: [DONE]\\n\\n"

    return StreamingResponse(chunks(), media_type="text/event-stream")

app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, loop="uvloop")
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    """A server process, once it answers; ended at the end."""
    environ = {**os.environ, "OGAM_ROUTE_GENERATE": "fake"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environ, stdout=quiet, stderr=quiet)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


async def load(port: int, body: bytes, connections: int, requests: int) -> float:
    """Seconds for ``connections`` clients to send ``requests`` each and read every reply."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    message = head.encode() + body

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            writer.write(message)
            headers = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in headers.split(b"\r\n")[0]:
                raise SystemExit(f"The server said {headers!r}.")
            if b"chunked" in headers:
                await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                length = int(headers.split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    return time.perf_counter() - started


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    ours, peers = free_port(), free_port()
    whole = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": TOKENS}
    ogam = [sys.executable, "-m", "ogam", "serve", "--port", str(ours), "--no-grpc"]
    peer = [sys.executable, "-c", PEER, str(peers), str(TOKENS)]
    found: dict[tuple[str, int], list[float]] = {}
    with serving(ogam, ours), serving(peer, peers):
        for stream in (False, True):
            body = json.dumps({**whole, "stream": stream}).encode()
            requests = max(1, asked.requests // 6) if stream else asked.requests
            per_request = TOKENS if stream else 1
            name = "streamed pieces" if stream else "requests"
            for port in (ours, peers):
                asyncio.run(load(port, body, asked.connections, 2))
            for _ in range(asked.rounds):
                for port in (ours, peers):
                    spent = asyncio.run(load(port, body, asked.connections, requests))
                    rate = asked.connections * requests * per_request / spent
                    found.setdefault((name, port), []).append(rate)
    print(f"{'a second':<18}{'Ogam':>10}{'ready-made':>12}{'ratio':>8}")
    for name in ("requests", "streamed pieces"):
        own, other = (statistics.median(found[name, port]) for port in (ours, peers))
        print(f"{name:<18}{own:>10,.0f}{other:>12,.0f}{own / other:>8.2f}")


if __name__ == "__main__":
    main()
