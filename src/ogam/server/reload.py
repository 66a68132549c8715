"""Follows ogam.toml while the server runs: what changes in it holds from the next request on.

A wrong file is told and not taken. Routes, names, vendors and prices are followed; what else
changes waits for the next start, and that is told too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from ogam.config import Config
from ogam.errors import OgamError
from ogam.gateway.dispatch import Gateway

# Seconds between two looks at the file.
EVERY = 1.0
_FOLLOWED = ("routes", "names", "vendors", "prices")


async def follow(
    gateway: Gateway,
    file: Path,
    load: Callable[[], Config],
    note: Callable[[str], None],
    every: float = EVERY,
) -> None:
    """Look at ``file`` for as long as this runs, and ``load`` it when it has changed.

    ``note`` is told what came of it, in a line.
    """
    known, last = load(), _stamp(file)
    while True:
        await asyncio.sleep(every)
        now = _stamp(file)
        if now == last or now is None:  # an editor may take it away before it puts it back
            continue
        last = now
        try:
            fresh = await asyncio.to_thread(load)
            gateway.reconfigure(fresh)
        except OgamError as error:
            note(f"The settings stay as they were. {error}")
            continue
        later = [
            name
            for name, value in msgspec.structs.asdict(fresh).items()
            if name not in _FOLLOWED and value != getattr(known, name)
        ]
        known = fresh
        waits = f" At the next start: {', '.join(later)}." if later else ""
        note(f"{file} was read again.{waits}")


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
