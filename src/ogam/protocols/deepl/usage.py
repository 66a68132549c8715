"""How many characters were translated this month. The one seam to wherever that is kept.

A file for now; the ledger takes its place behind the same two methods.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ogam.media import files


class _Count(msgspec.Struct, kw_only=True):
    month: str
    characters: int


class Usage:
    """Characters since the first of the month (UTC), in ``folder``/usage.json."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "usage.json"
        self._lock = threading.Lock()

    def count(self) -> int:
        """The characters of this month."""
        with self._lock:
            return self._read().characters

    def add(self, characters: int) -> None:
        """Count some more."""
        with self._lock:
            found = self._read()
            found.characters += characters
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write(self._file, msgspec.json.encode(found))

    def _read(self) -> _Count:
        month = datetime.now(UTC).strftime("%Y-%m")
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=_Count)
        except (OSError, msgspec.MsgspecError):
            found = _Count(month=month, characters=0)
        return found if found.month == month else _Count(month=month, characters=0)
