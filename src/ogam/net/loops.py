"""The event loop that runs here, without asking the system for it."""

from __future__ import annotations

import asyncio
import threading


class _Here(threading.local):
    """The loop that ran last in this thread."""

    loop: asyncio.AbstractEventLoop | None = None


_here = _Here()


def running() -> asyncio.AbstractEventLoop:
    """``asyncio.get_running_loop()`` for what every request passes. RuntimeError without a loop.

    Up to Python 3.11 that asks for the process's number each time, for the sake of a fork: a call
    of the system, and a dozen of them were 6 % of a request's time. A loop stays in its thread,
    and a thread runs one at a time, so the one it ran last is still the one if it runs; no
    process forks in here.
    """
    loop = _here.loop
    if loop is None or not loop.is_running():
        loop = _here.loop = asyncio.get_running_loop()
    return loop
