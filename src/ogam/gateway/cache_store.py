"""Entries on disk, one file each, named by their hash and within a limit of bytes.

Knows no request and no result. Safe with several processes on one folder: a file is written
whole or not at all, and whoever finds one gone or damaged has a miss. When a file was last used
is its time of change; of what is too much the least recently used goes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ogam.errors import OutputError
from ogam.media import files

# Disks give space in blocks: a million answers of 300 bytes would fill 4 GB.
_BLOCK = 4096
# Shares of the limit. A process looks at the whole folder after it wrote 2 % of it, and brings
# it from over 90 % to 85 %, so that five processes at once stay below 100 %.
_LOOK, _HIGH, _LOW = 0.02, 0.9, 0.85
# What a killed process left of a file it was writing goes after so many seconds.
_LEFTOVER_SECONDS = 3600.0
_DIGITS = frozenset("0123456789abcdef")


class _File(NamedTuple):
    path: str
    size: int
    used: float


class Store:
    """The entries of one folder, which is made with the first. Every method blocks."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self._max = folder, max_bytes
        self._lock = threading.Lock()
        self._counted: int | None = None  # bytes, when the folder was last looked at
        self._since = 0  # bytes written by this process since

    def path(self, key: str, scope: str = "") -> Path:
        """The file of an entry; one with a ``scope`` lies beside the others of that scope."""
        assert is_hash(key) and is_hash(scope or key)
        return self.scope(scope) / key if scope else self.folder / key[:2] / key[2:]

    def scope(self, scope: str) -> Path:
        """The folder of a scope."""
        return self.folder / "near" / scope

    def read(self, key: str, scope: str = "") -> bytes | None:
        """An entry's bytes; None where there is none."""
        try:
            return self.path(key, scope).read_bytes()
        except OSError:
            return None

    def touch(self, key: str, scope: str = "") -> None:
        """Note that an entry was used."""
        with suppress(OSError):
            os.utime(self.path(key, scope))

    def write(self, key: str, data: bytes, scope: str = "") -> None:
        """Keep an entry. One that would take up most of the room is not kept.

        Raises OutputError where the disk refuses it.
        """
        size = _blocks(len(data))
        if size > self._max * _LOW:
            return
        path = self.path(key, scope)
        try:
            # What clients asked for is nobody else's to read.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{str(path.parent)!r} cannot be made: {error.strerror or error}.",
                hint="Name another place in ogam.toml: [cache] folder.",
            ) from None
        files.write(path, data)
        self._grown(size)

    def remove(self, key: str, scope: str = "") -> None:
        """Forget an entry."""
        with suppress(OSError):
            self.path(key, scope).unlink()

    def measure(self) -> tuple[int, int]:
        """How many entries there are, and the bytes they take up."""
        found = list(self._files())
        return len(found), sum(one.size for one in found)

    def _grown(self, size: int) -> None:
        # Others that write meanwhile wait here: what is over the limit is taken away first.
        with self._lock:
            self._since += size
            counted = self._counted
            if (
                counted is None
                or self._since > self._max * _LOOK
                or counted + self._since > self._max * _HIGH
            ):
                self._since = 0
                self._counted = self._trim()

    def _trim(self) -> int:
        """Take away what is too much; the bytes that stay."""
        found = sorted(self._files(), key=lambda one: one.used)
        total = sum(one.size for one in found)
        if total <= self._max * _HIGH:
            return total
        for one in found:
            if total <= self._max * _LOW:
                break
            with suppress(OSError):
                os.unlink(one.path)
            total -= one.size
        return total

    def _files(self) -> Iterator[_File]:
        """Every entry. What killed writers left behind is taken away on the way.

        Only what has an entry's name and place is looked at: the folder may hold other things.
        """
        for folder in _folders(self.folder, 2):
            yield from _entries(folder, 62)
        for folder in _folders(self.folder / "near", 64):
            yield from _entries(folder, 64)
            with suppress(OSError):
                os.rmdir(folder)  # succeeds where it is empty


def _folders(folder: Path, digits: int) -> Iterator[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            if is_hash(one.name, digits) and one.is_dir(follow_symlinks=False):
                yield one.path


def _entries(folder: str, digits: int) -> Iterator[_File]:
    old = time.time() - _LEFTOVER_SECONDS
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            with suppress(FileNotFoundError):  # another process took it away
                about = one.stat(follow_symlinks=False)
                if is_hash(one.name, digits):
                    yield _File(one.path, _blocks(about.st_size), about.st_mtime)
                elif one.name.startswith(".") and about.st_mtime < old:
                    os.unlink(one.path)


def is_hash(name: str, digits: int = 64) -> bool:
    """Whether a file may be named so: hexadecimal digits, and so many."""
    return len(name) == digits and set(name) <= _DIGITS


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
