"""Work that a vendor goes on with after its reply: which model has it, and what was set aside.

On disk, so that after a restart their clients still find them, and they are still settled.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import msgspec

from ogam.media import files

# The vendor forgets them sooner.
_SECONDS, _MOST = 14 * 24 * 3600, 10_000


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """Work by the vendor's id for it. ``hold`` is empty where it costs nothing; ``settled``: what
    was billed for it is known and counted. ``owner`` is the key that alone may ask for it, where
    that matters.
    """

    id: str
    model: str
    hold: str
    settled: bool = False
    owner: str = ""


class SentWork:
    """All of them, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, work: Sent) -> None:
        """Remember one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self.save(work)

    def save(self, work: Sent) -> None:
        """Write down what is known now."""
        files.write(self._file(work.id), msgspec.json.encode(work))

    def get(self, identity: str) -> Sent | None:
        """One by its id; None where it did not go to a vendor."""
        try:
            return msgspec.json.decode(self._file(identity).read_bytes(), type=Sent)
        except (OSError, msgspec.MsgspecError):
            return None

    def _file(self, identity: str) -> Path:
        # The vendor's own ids are no names of files to rely on.
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"

    def _sweep(self) -> None:
        kept: list[tuple[float, Path]] = []
        for file in self._folder.glob("*.json"):
            try:
                kept.append((file.stat().st_mtime, file))
            except OSError:  # swept by another process
                continue
        kept.sort(reverse=True)
        for number, (at, file) in enumerate(kept, 1):
            if number >= _MOST or time.time() - at > _SECONDS:
                file.unlink(missing_ok=True)
