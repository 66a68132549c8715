"""Responses that are kept, on disk: each key's in a folder of its own, one file for each.

A response is kept with all that stood before it, so that a later one goes on from it whatever
became of those before. Knows nothing of how they are made.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from ogam.errors import NotFoundError, OutputError
from ogam.media import files
from ogam.protocols.openai import wire_responses as wire

_ID = re.compile(r"resp_[0-9a-f]{24}")
# The vendor keeps them for 30 days: https://developers.openai.com/api/docs/guides/your-data
SECONDS = 30 * 24 * 3600
# How many of one key are kept, and their bytes; beyond that the oldest go.
MOST, MOST_BYTES = 10_000, 1024**3
# Looked over after so long, or once a key has added this share of what it may have.
_SWEEP_SECONDS, _SHARE = 3600, 10


class Kept(msgspec.Struct, kw_only=True, frozen=True):
    """What is on disk: a response, and the whole conversation before its answer."""

    response: wire.Response
    items: list[wire.Item]


class Responses:
    """The responses in ``folder``. Every method blocks; any thread may call them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._swept = float("-inf")
        self._added: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def keep(self, kept: Kept, owner: str) -> None:
        """Keep a response. OutputError where the disk refuses it."""
        place = self._place(kept.response.id, owner)
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputError(
                f"The response cannot be written: {error.strerror or error}."
            ) from None
        data = msgspec.json.encode(kept)
        files.write(place, data)
        with self._lock:
            self._added[owner] += 1
            self._bytes[owner] += len(data)
            much = self._added[owner] * _SHARE > MOST or self._bytes[owner] * _SHARE > MOST_BYTES
            if much or time.monotonic() - self._swept > _SWEEP_SECONDS:
                self._sweep()

    def get(self, identity: str, owner: str) -> Kept:
        """A response; NotFoundError unless it is there and this owner's."""
        with suppress(OSError, msgspec.MsgspecError):
            if _ID.fullmatch(identity):
                data = self._place(identity, owner).read_bytes()
                kept = msgspec.json.decode(data, type=Kept)
                if kept.response.created_at > time.time() - SECONDS:
                    return kept
        raise NotFoundError(f"Response with id {identity[:80]!r} not found.")

    def delete(self, identity: str, owner: str) -> None:
        """Forget a response; those that went on from it stay as they are."""
        self.get(identity, owner)
        self._place(identity, owner).unlink(missing_ok=True)

    def _place(self, identity: str, owner: str) -> Path:
        folder = hashlib.sha256(owner.encode()).hexdigest()[:32]
        return self._folder / folder / f"{identity}.json"

    def _sweep(self) -> None:
        self._swept = time.monotonic()
        self._added.clear()
        self._bytes.clear()
        for folder in self._folder.iterdir():
            left = MOST_BYTES
            # Also what was being written when a server died.
            for number, (made, size, path) in enumerate(_newest_first(folder)):
                left -= size
                if number >= MOST or left < 0 or made <= time.time() - SECONDS:
                    with suppress(OSError):
                        path.unlink()


def _newest_first(folder: Path) -> list[tuple[float, int, Path]]:
    found: list[tuple[float, int, Path]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # another server may have forgotten it
                about = entry.stat()
                found.append((about.st_mtime, about.st_size, Path(entry.path)))
    return sorted(found, reverse=True)
