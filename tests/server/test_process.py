"""`ogam serve` as users run it: a process of its own, stopped by signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ogam.server import process

EMBED = {"model": "text-embedding-3-small", "input": "Hi"}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
# The fake engine, whose work says that it has begun and lasts until there is a file "go".
SLOW = """
import os, sys, time
from ogam.engines.fake import FakeEngine
embed, generate = FakeEngine.embed, FakeEngine.generate_stream
def wait(*_):
    print("at work", file=sys.stderr, flush=True)
    while not os.path.exists("go"):
        time.sleep(0.02)
def slow(self, request):
    wait()
    return embed(self, request)
def slowly(self, request):
    for index, piece in enumerate(generate(self, request)):
        if index == 1:
            wait()
        yield piece
FakeEngine.embed, FakeEngine.generate_stream, FakeEngine.load = slow, slowly, wait
from ogam.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Process:
    """A server that was started; ``base`` is its address once it answers."""

    def __init__(self, tmp_path: Path, *arguments: str, **environment: str) -> None:
        routes = {f"OGAM_ROUTE_{one}": "fake" for one in ("EMBED", "GENERATE")}
        command = [sys.executable, "-W", "error", "-c", SLOW, "serve", "--no-grpc", *arguments]
        self.child = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **routes, "XDG_DATA_HOME": str(tmp_path), **environment},
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        """All of standard error so far."""
        return "\n".join(self.lines)

    def said_once(self, pattern: str) -> re.Match[str]:
        """Wait until it says ``pattern``."""
        end = time.monotonic() + 30
        while not (found := re.search(pattern, self.said)):
            assert self.child.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)
        return found

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.said_once(r"answers at (http://\S+)").group(1)

    def end(self) -> int:
        """Its exit code."""
        code = self.child.wait(30)
        self._reading.join(10)
        return code


@pytest.fixture
def started(tmp_path: Path) -> Iterator:
    found: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        found.append(Process(tmp_path, *arguments, **environment))
        return found[-1]

    yield start
    for one in found:
        one.child.kill()
        one.end()
        for pipe in (one.child.stdout, one.child.stderr):
            pipe.close()


def test_a_signal_ends_it_with_0_and_no_traceback(started):
    server = started("--port", "0")
    assert httpx.get(f"{server.base}/readyz").json() == {"ready": True}
    server.child.send_signal(signal.SIGINT)
    assert server.end() == 0
    assert "Traceback" not in server.said


def test_a_request_and_a_stream_in_flight_are_finished_first(started, tmp_path):
    server = started("--port", "0")
    base, answers = server.base, []

    def ask():
        answers.append(httpx.post(f"{base}/v1/embeddings", json=EMBED, timeout=30).status_code)

    def listen():
        answers.append(httpx.post(f"{base}/v1/chat/completions", json=CHAT, timeout=30).text)

    threads = [threading.Thread(target=work) for work in (ask, listen)]
    for thread in threads:
        thread.start()
    server.said_once("(?s)at work.*at work")
    server.child.send_signal(signal.SIGTERM)
    server.said_once("Stopping once 2 in flight")
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(30)
    assert server.end() == 0
    assert "Traceback" not in server.said
    status, stream = sorted(answers, key=str)
    assert status == 200
    assert stream.endswith("data: [DONE]\n\n")


def test_a_second_ctrl_c_ends_it_at_once(started):
    server = started("--port", "0")
    base = server.base

    def ask():
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{base}/v1/embeddings", json=EMBED, timeout=30)

    asking = threading.Thread(target=ask)
    asking.start()
    server.said_once("at work")
    server.child.send_signal(signal.SIGINT)
    server.said_once("Stopping once 1 in flight")
    server.child.send_signal(signal.SIGINT)
    assert server.end() == 130
    asking.join(10)
    assert "Traceback" not in server.said


def test_work_that_never_ends_does_not_keep_it_alive(started):
    server = started("--port", "0")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.base}/v1/embeddings", json=EMBED, timeout=2)
    server.child.send_signal(signal.SIGTERM)
    assert server.end() == 0


def test_it_is_alive_and_not_ready_while_a_model_loads_and_stops_then_too(started):
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    server = started("--port", str(port), "--preload", "embed")
    base = f"http://127.0.0.1:{port}"
    server.said_once("at work")
    assert httpx.get(f"{base}/healthz").status_code == 200
    assert httpx.get(f"{base}/readyz").status_code == 503
    server.child.send_signal(signal.SIGTERM)
    assert server.end() == 0
    assert "Traceback" not in server.said
    assert "answers at" not in server.said


def test_a_port_that_is_taken_is_one_line(started):
    with socket.create_server(("127.0.0.1", 0)) as one:
        server = started("--port", str(one.getsockname()[1]))
        assert server.end() == 1
    assert re.fullmatch(r"ogam: error: Port \d+ is taken\. .*--port.*", server.said)


def test_beyond_this_machine_a_key_is_made_shown_once_and_kept_as_a_hash(started, tmp_path):
    server = started("--port", "0", "--host", "0.0.0.0")
    key = server.said_once(r"one was made: (\S+)").group(1)
    base = server.base.replace("localhost", "127.0.0.1")
    bearer = {"authorization": f"Bearer {key}"}
    assert httpx.get(f"{base}/v1/models").status_code == 401
    assert httpx.get(f"{base}/v1/models", headers=bearer).status_code == 200
    server.child.send_signal(signal.SIGTERM)
    assert server.end() == 0
    kept = tmp_path / "ogam" / "key.sha256"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert key not in kept.read_text()

    again = started("--port", "0", "--host", "0.0.0.0")
    base = again.base.replace("localhost", "127.0.0.1")
    assert "shown at the first start" in again.said
    assert str(kept) in again.said
    assert key not in again.said
    assert httpx.get(f"{base}/v1/models", headers=bearer).status_code == 200
    shown = {"authorization": f"Bearer {kept.read_text().strip()}"}
    assert httpx.get(f"{base}/v1/models", headers=shown).status_code == 401


ARENAS = """
import ctypes, os, sys, threading
from ogam.server import process
process._share_arenas()
meet = threading.Barrier(9)
def use():
    meet.wait()
    kept = [bytes(5000) for _ in range(100)]
    meet.wait()
for _ in range(8):
    threading.Thread(target=use, daemon=True).start()
meet.wait()
meet.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(os.dup(1), b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
"""


TRIM = """
import asyncio, psutil
from ogam.server import process
process._TRIM_SECONDS = 0.05
rss = lambda: psutil.Process().memory_info().rss
async def main():
    trimming = asyncio.ensure_future(process._trim())
    parts, pins = [], []
    for _ in range(600):
        parts.append(bytes(100_000))
        pins.append(bytes(5_000))
    full = rss()
    parts.clear()
    await asyncio.sleep(1)
    trimming.cancel()
    print(full - rss())
asyncio.run(main())
"""


def test_what_was_freed_goes_back_to_the_system():
    if process._glibc("malloc_trim") is None:
        pytest.skip("The C library is not glibc.")
    command = [sys.executable, "-c", TRIM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20_000_000  # of 60, 37 seen; without it, none


@pytest.mark.parametrize(
    ("decided", "most"),
    [
        ({}, 2),
        ({"MALLOC_ARENA_MAX": "1"}, 1),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, 1),
    ],
)
def test_threads_share_two_of_glibcs_arenas_unless_the_operator_has_decided(decided, most):
    if process._glibc("malloc_info") is None:
        pytest.skip("The C library is not glibc.")
    done = subprocess.run(
        [sys.executable, "-c", ARENAS],
        env={**os.environ, **decided},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("<heap nr") == most
