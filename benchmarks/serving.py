"""What the server adds to the engines: throughput of small requests, first bytes, start.

    python benchmarks/serving.py [--count 1000] [--rounds 3]

One thousand single embeddings sent at once, beside ``ogam.embed`` of the same thousand texts in
one call; both in turns, the server in a process of its own, which shares the machine with the
clients. Then the first sound of a streamed speech of 1,000 words, the first token of a streamed
completion, each beside the engine called directly, and the time to start. The language model
is a tiny one that is made here, so its time is the server's more than its own; it needs torch.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _server import STARTERS, server
from embedding import sentences

import ogam

SPEECH = "A fox ran to an old log by the sea. " * 100


def made(folder: Path) -> str:
    """A language model of a few thousand weights."""
    from ogam.training.language_model import Settings, train

    text = folder / "text.txt"
    text.write_text("the old fox saw a bird by the river. \n" * 300, encoding="utf-8")
    settings = Settings(
        files=(str(text),),
        held_out=0.1,
        vocabulary=300,
        d_model=64,
        layers=2,
        heads=2,
        context=256,
        dropout=0.0,
        batch=4,
        steps=6,
        warmup=2,
        quantization="float32",
        threads=1,
    )
    train(folder / "run", settings)
    return f"ctranslate2_generator/{folder / 'run' / 'model'}"


def message(path: str, body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data


async def embeddings(port: int, texts: list[str]) -> tuple[float, list[bytes]]:
    """Seconds for one request a text, all at once, and the bodies of the replies."""
    asked = [
        message(
            "/v1/embeddings",
            {"model": "text-embedding-3-small", "input": one, "encoding_format": "base64"},
        )
        for one in texts
    ]
    pairs = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port, limit=1 << 20) for _ in texts)
    )

    async def one(pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
        reader, writer = pair
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b" 200 " not in head[:20]:
            sys.exit(f"The server said {head!r} {body[:300]!r}.")
        return body

    started = time.perf_counter()
    bodies = await asyncio.gather(*map(one, pairs, asked))
    spent = time.perf_counter() - started
    for _, writer in pairs:
        writer.close()
    return spent, bodies


async def first_piece(port: int, data: bytes, found: Callable[[bytes], bool]) -> float:
    """Seconds from the request until ``found(body so far)``; the rest is not awaited."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        sys.exit(f"The server said {head!r} {(await reader.read(300))!r}.")
    body = b""
    while not found(body):
        more = await reader.read(65536)
        if not more:
            sys.exit(f"The stream ended: {body[:300]!r}")
        body += more
    spent = time.perf_counter() - started
    writer.close()
    return spent


def direct(stream: object) -> float:
    started = time.perf_counter()
    with stream as pieces:  # type: ignore[attr-defined]
        next(pieces, None)
    return time.perf_counter() - started


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    starts: list[float] = []
    for _ in range(asked.rounds):
        began = time.perf_counter()
        with server():
            starts.append(time.perf_counter() - began)
    print(f"{'time to start, whole process':<44}{statistics.median(starts):>9.2f} s")

    with tempfile.TemporaryDirectory() as folder:
        tiny = made(Path(folder))
        with server(routes={**STARTERS, "generate": tiny}) as own:
            _embed(own.port, asked.count, asked.rounds)
            _first(own.port, tiny, asked.rounds)


def _embed(port: int, count: int, rounds: int) -> None:
    drawn = sentences(count)
    # Everyday lengths, where what stands around the encoder counts for more.
    short = [" ".join(one.split()[:12]) for one in drawn]
    for name, texts in (("5 to 120 words", drawn), ("5 to 12 words", short)):
        ours: list[float] = []
        whole: list[float] = []
        ogam.embed(texts[:64], model=STARTERS["embed"])
        asyncio.run(embeddings(port, texts[:64]))
        for _ in range(rounds):
            began = time.perf_counter()
            expected = np.asarray(ogam.embed(texts, model=STARTERS["embed"]).vectors)
            whole.append(count / (time.perf_counter() - began))
            spent, bodies = asyncio.run(embeddings(port, texts))
            ours.append(count / spent)
            got = np.array(
                [
                    np.frombuffer(base64.b64decode(json.loads(one)["data"][0]["embedding"]), "<f4")
                    for one in bodies
                ]
            )
            worst = float((got * expected).sum(1).min())
        rate, offline = statistics.median(ours), statistics.median(whole)
        print(
            f"{f'{count:,} embeddings at once, {name}':<44}{rate:>9,.0f} a second; one call: "
            f"{offline:,.0f}; ratio {rate / offline:.2f}; least cosine {worst:.6f}"
        )


def _first(port: int, tiny: str, rounds: int) -> None:
    speech = {"model": "tts-1", "voice": "alloy", "input": SPEECH}
    for form in ("pcm", "mp3"):
        data = message("/v1/audio/speech", {**speech, "response_format": form})
        _row(
            f"first sound of 1,000 words, {form}",
            lambda data=data: asyncio.run(first_piece(port, data, lambda body: len(body) > 8)),
            lambda: direct(ogam.speak_stream(SPEECH, model="espeak")),
            rounds,
        )
    chat = {"model": "gpt-4o-mini", "stream": True, "max_tokens": 40, "seed": 1}
    chat["messages"] = [{"role": "user", "content": "the old fox"}]
    data = message("/v1/chat/completions", chat)
    _row(
        "first token of a completion (tiny model)",
        # An assistant's first piece names its role and holds no text.
        lambda: asyncio.run(first_piece(port, data, lambda body: body.count(b"data: ") > 1)),
        lambda: direct(ogam.generate_stream("the old fox", model=tiny, max_tokens=40, seed=1)),
        rounds,
    )


def _row(name: str, ours: Callable[[], float], alone: Callable[[], float], rounds: int) -> None:
    ours(), alone()
    pairs = [(ours(), alone()) for _ in range(3 * rounds)]
    own, other = (1000 * statistics.median(one) for one in zip(*pairs, strict=True))
    print(f"{name:<44}{own:>9.1f} ms; the engine called directly: {other:.1f} ms")


if __name__ == "__main__":
    main()
