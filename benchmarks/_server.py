"""A server in a process of its own, for the benchmarks that call one."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

CAPABILITIES = ("generate", "speak", "see", "transcribe", "translate", "classify", "embed")
STARTERS = {"speak": "espeak", "classify": "starter/all-MiniLM-L6-v2"}
STARTERS["embed"] = STARTERS["classify"]


class Started(NamedTuple):
    """A server of its own. ``errors()`` is what it wrote on standard error; ``grpc`` is the port
    of gRPC, 0 where that was not asked for.
    """

    port: int
    pid: int
    alive: Callable[[], bool]
    errors: Callable[[], str]
    grpc: int = 0


@contextmanager
def server(
    starters: bool = False, routes: dict[str, str] | None = None, *, grpc: bool = False
) -> Iterator[Started]:
    """``ogam serve`` in a process of its own, its data in a folder that goes away."""
    import subprocess

    routes = routes or (STARTERS if starters else {})
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "OGAM_SERVER_DATA": folder, "OGAM_CONFIG": f"{folder}/none.toml"}
        Path(environ["OGAM_CONFIG"]).write_text("")
        for one in CAPABILITIES:
            environ[f"OGAM_ROUTE_{one.upper()}"] = routes.get(one, "fake")
        said = Path(folder, "stderr")
        with said.open("wb") as errors:
            command = [sys.executable, "-m", "ogam", "serve", "--port", "0"]
            command += ["--grpc", "--grpc-port", "0"] if grpc else ["--no-grpc"]
            process = subprocess.Popen(command, env=environ, stdout=errors, stderr=errors)

        def text() -> str:
            return said.read_text(errors="replace")

        try:
            for _ in range(600):
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", text()):
                    break
                time.sleep(0.05)
            else:
                sys.exit(f"The server did not start: {text()}")
            told = re.search(r"insecure_channel\(\"[\w.]+:(\d+)", text())
            yield Started(
                int(found[1]),
                process.pid,
                lambda: process.poll() is None,
                text,
                int(told[1]) if told else 0,
            )
        finally:
            process.terminate()
            process.wait(60)


def memory(pid: int) -> int:
    """Bytes that a process and its children hold."""
    import psutil

    process = psutil.Process(pid)
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return total


def document(port: int) -> dict[str, Any]:
    """What the server says it answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as reply:
        return json.load(reply)
