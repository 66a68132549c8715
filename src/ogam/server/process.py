"""The server as a process: signals stop it, and nothing that still runs keeps it alive."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ogam import config as configuration
from ogam.capabilities.base import Capability
from ogam.server import reload
from ogam.server.run import Ports, Server

# Of glibc's malloc.h.
_M_ARENA_MAX = -8
# How often what was freed is given back to the system, in seconds.
_TRIM_SECONDS = 10.0


def serve(
    server: Server,
    *,
    preload: Sequence[Capability],
    tell: Callable[[Ports], None],
    note: Callable[[str], None],
    file: Path | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends the process at once.

    ``tell(ports)`` is called once all answers, ``note`` with a line for the user. Changes of
    the settings' ``file`` are followed.
    """
    _raise_open_files()
    _share_arenas()
    try:
        import uvloop
    except ImportError:  # Windows has none
        asyncio.run(_main(server, preload, tell, note, file))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(server, preload, tell, note, file))
    _leave()


def _raise_open_files() -> None:
    """As many connections as the system grants; many shells start with 1,024 files, or 256."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # No more than is of use: macOS says "unlimited" and then refuses it.
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if wanted > soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _share_arenas() -> None:
    """Let all threads take memory from two of glibc's arenas.

    Each would have one of its own, and keep there what its largest request took: 30,000 hostile
    requests then came to 131 MB and still grew, with two to 118 MB from the 15,000th on. Nothing
    is done where the operator has decided, or the C library is another.
    """
    decided = "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.getenv("GLIBC_TUNABLES", "")
    if not decided and (mallopt := _glibc("mallopt")):
        mallopt(_M_ARENA_MAX, 2)


async def _trim() -> None:
    """Give back what was freed, now and then: glibc keeps up to 64 MB an arena of it, for good."""
    trim = _glibc("malloc_trim")
    while trim:
        await asyncio.sleep(_TRIM_SECONDS)
        await asyncio.to_thread(trim, 0)


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, where that is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)


async def _main(
    server: Server,
    preload: Sequence[Capability],
    tell: Callable[[Ports], None],
    note: Callable[[str], None],
    file: Path | None,
) -> None:
    told = asyncio.Event()

    def stop(number: int) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()
        if count := server.app.in_flight:
            note(f"Stopping once {count} in flight have ended; again, to stop at once.")

    async def up() -> None:
        ports = await server.start()
        if preload:
            server.ready = False
            await server.gateway.preload(preload)
            server.ready = not told.is_set()
        # What is loaded by now stays, and need not be looked through for garbage again and again:
        # that took 30 of 230 µs a call.
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        tell(ports)
        if file is not None:
            await reload.follow(server.gateway, file, configuration.load, note)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop, number)
    work, waiting = asyncio.ensure_future(up()), asyncio.ensure_future(told.wait())
    trimming = asyncio.ensure_future(_trim())
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            await waiting
    finally:
        work.cancel()
        waiting.cancel()
        trimming.cancel()
        await server.stop()


def _leave() -> None:
    """Leave, even where an engine is far from its next checkpoint, or a model still loads:
    Python would wait for their threads.
    """
    end = time.monotonic() + 1
    mine = [one for one in threading.enumerate() if one.name.startswith("ogam")]
    for thread in mine:
        thread.join(max(0.0, end - time.monotonic()))
    if any(one.is_alive() for one in mine):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(0)
