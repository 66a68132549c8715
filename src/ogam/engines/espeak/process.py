"""The processes in which eSpeak NG lives: started, shared, stopped and replaced here.

Knows nothing of voices, words or requests; it carries the frames of ``worker.py``.
"""

from __future__ import annotations

import atexit
import os
import queue
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

from ogam.capabilities.base import checkpoint
from ogam.errors import EngineError, OgamError
from ogam.extras import needs

_WORKERS = 2
_SILENCE = 60.0  # seconds without a sign from a worker; 200 ms of speech take it 0.4 ms
_TICK = 0.1  # seconds between looks at a caller who may have gone
_HEADER = struct.Struct("<cI")


class Worker:
    """One process of worker.py."""

    def __init__(self) -> None:
        library, data = paths()
        script = os.path.join(os.path.dirname(__file__), "worker.py")
        try:
            self.process = subprocess.Popen(
                # Isolated, without site: 25 ms to the first answer instead of 60.
                [sys.executable, "-I", "-S", script, library, data],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in a terminal goes to its whole group; this is not of it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise EngineError(f"The process of eSpeak NG did not start: {error}.") from None
        # False once the pipe broke; and whether it has ever answered.
        self.healthy, self.served = True, False

    def ask(self, kind: bytes, body: bytes = b"") -> None:
        """Send a frame; a broken pipe shows when the answer is read."""
        assert self.process.stdin
        try:
            self.process.stdin.write(_HEADER.pack(kind, len(body)) + body)
            self.process.stdin.flush()
        except OSError:
            self.healthy = False

    def answer(self) -> tuple[bytes, bytes]:
        """The next frame. Raises EngineError for an error, and where there will be none."""
        assert self.process.stdout
        head = self.process.stdout.read(_HEADER.size)
        kind, size = _HEADER.unpack(head) if len(head) == _HEADER.size else (b"", 0)
        body = self.process.stdout.read(size)
        if not kind or len(body) < size:
            self.healthy = False
            raise EngineError(
                "The process of eSpeak NG ended while it spoke.",
                hint="The next call starts another.",
            )
        self.served = True
        if kind == b"E":
            self.end()
            raise EngineError(body.decode(errors="replace") + ".")
        return kind, body

    def end(self) -> None:
        """End the process and free its pipes."""
        self.healthy = False
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            try:
                pipe.close()
            except OSError:
                continue  # what was still unsent has nowhere to go


class Pool:
    """The workers of this process: two at most, shared by all engines and threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free: list[Worker] = []
        self._all: list[Worker] = []
        self._inherited: list[Worker] = []
        self._places = _WORKERS
        self._users: weakref.WeakSet[object] = weakref.WeakSet()

    def join(self, user: object) -> None:
        """Keep workers alive between speeches, for ``user``."""
        with self._changed:
            self._users.add(user)

    def leave(self, user: object) -> None:
        """End the workers if ``user`` was the last."""
        with self._changed:
            self._users.discard(user)
            if not self._users:
                self.shut()

    def take(self, stopped: threading.Event) -> Worker | None:
        """A worker, waiting for one if need be; None once ``stopped``."""
        with self._changed:
            while not self._places:
                if stopped.is_set():
                    return None
                self._changed.wait(_TICK)
            self._places -= 1
            while self._free:
                worker = self._free.pop()
                if worker.process.poll() is None:
                    return worker
                self._drop(worker)
        try:
            return self._start()
        except BaseException:
            self.give(None)
            raise

    def _start(self) -> Worker:
        worker = Worker()
        with self._changed:
            self._all.append(worker)
        return worker

    def replace(self, worker: Worker) -> Worker:
        """A new worker in the place of a dead one."""
        with self._changed:
            self._drop(worker)
        return self._start()

    def give(self, worker: Worker | None) -> None:
        """Free the place of ``worker``, and the worker for the next if it is well."""
        with self._changed:
            self._places += 1
            if worker is not None and worker.healthy and self._users:
                self._free.append(worker)
            elif worker is not None:
                self._drop(worker)
            self._changed.notify()

    def shut(self) -> None:
        """Kill every worker; a speech that still goes on ends in EngineError."""
        with self._changed:
            for worker in self._free:
                self._drop(worker)
            self._free.clear()
            for worker in self._all:
                worker.process.kill()

    def forget(self) -> None:
        """In a forked child: the workers are the parent's, the locks may be held for ever."""
        # Kept, or Popen would warn of them when they are collected.
        inherited, users = self._inherited + self._all, self._users
        self.__init__()
        self._inherited, self._users = inherited, users

    def _drop(self, worker: Worker) -> None:
        worker.end()
        if worker in self._all:
            self._all.remove(worker)


class Speech:
    """One text being spoken: a thread takes the sound from a worker as fast as it comes.

    So a caller who listens slowly, or not at all, keeps no worker from the others. What it
    has not taken yet waits in memory, where the whole result would be anyway.
    """

    def __init__(self, job: bytes) -> None:
        self._job = job
        self._stopped = threading.Event()
        self._items: queue.SimpleQueue[tuple[bytes, bytes] | OgamError | None] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._heard = 0.0
        threading.Thread(target=self._run, name="ogam-espeak", daemon=True).start()

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """The worker's frames, to the last."""
        while True:
            checkpoint()
            try:
                item = self._items.get(timeout=_TICK)
            except queue.Empty:
                worker = self._worker
                if worker is not None and time.monotonic() - self._heard > _SILENCE:
                    worker.process.kill()
                continue
            if item is None:
                return
            if isinstance(item, OgamError):
                raise item
            yield item

    def stop(self) -> None:
        """Have the worker stop, if it still speaks; it is free again a moment later."""
        self._stopped.set()

    def _run(self) -> None:
        last: OgamError | None = None
        worker = None
        try:
            worker = pool.take(self._stopped)
            if worker is not None and not self._speak(worker):
                worker = pool.replace(worker)
                self._speak(worker)
        except OgamError as error:
            last = error
        except Exception as error:  # what is not passed on would look like a good end
            last = EngineError(f"eSpeak NG broke: {error!r}.")
        finally:
            self._worker = None
            if worker is not None:
                pool.give(worker)
            self._items.put(last)

    def _speak(self, worker: Worker) -> bool:
        """Take in all frames. False if the worker proved dead before it was asked."""
        served, told, heard = worker.served, False, False
        worker.ask(b"S", self._job)
        self._heard, self._worker = time.monotonic(), worker
        while True:
            try:
                frame = worker.answer()
            except EngineError:
                # One that served before and died while idle: no fault of this text, and
                # nothing was heard yet, so another may try.
                if served and not heard and not worker.healthy:
                    return False
                raise
            heard = True
            self._heard = time.monotonic()
            if not self._stopped.is_set():
                self._items.put(frame)
            elif not told:
                worker.ask(b"X")
                told = True
            if frame[0] == b"D":
                return True


def voices() -> str:
    """The library's list of voices, in the worker's words."""
    worker = pool.take(threading.Event())
    assert worker is not None
    try:
        worker.ask(b"L")
        return worker.answer()[1].decode()
    finally:
        pool.give(worker)


def paths() -> tuple[str, str]:
    """Where the library and its data are."""
    with needs("local"):
        import espeakng_loader
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


pool = Pool()
atexit.register(pool.shut)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.forget)
