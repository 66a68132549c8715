"""Runs `ogam` as users do (a process of its own) or, where that adds nothing, by calling main."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ogam.capabilities.base import CAPABILITIES
from ogam.cli import main
from ogam.media import wav


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, no settings but these: the fake engine does everything."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OGAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-such-folder"))
    monkeypatch.setenv("COLUMNS", "100")
    for capability in CAPABILITIES:
        monkeypatch.setenv(f"OGAM_ROUTE_{capability.upper()}", "fake")


class Answer:
    """What a run gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def shell():
    """Run `python -m ogam` with arguments; bytes in, texts out."""

    def run(*arguments: str, given: bytes | None = b"", **settings: object) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "ogam", *arguments],
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
            **settings,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def ogam(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch):
    """Call main with arguments; what it reads and prints as in a pipe."""

    def run(*arguments: str, given: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capfdbinary.readouterr()
        code = main(list(arguments))
        out, err = capfdbinary.readouterr()
        return Answer(code, out.decode(errors="surrogateescape"), err.decode())

    return run


@pytest.fixture
def sound(tmp_path: Path):
    """Make a recording of so many seconds."""

    def make(name: str, seconds: float = 1.2) -> str:
        samples = bytes(i * 7 % 256 for i in range(2 * round(16_000 * seconds)))
        (tmp_path / name).write_bytes(wav.write(samples, 16_000, 1))
        return name

    return make


@pytest.fixture
def picture(tmp_path: Path):
    """Make a grey PNG of 32 x 32 pixels; each shade is another picture."""

    def make(name: str, shade: int = 255) -> str:
        def chunk(kind: bytes, data: bytes) -> bytes:
            checksum = struct.pack(">I", zlib.crc32(kind + data))
            return struct.pack(">I", len(data)) + kind + data + checksum

        header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
        rows = zlib.compress((b"\0" + bytes([shade]) * 32) * 32)
        parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
        return name

    return make
