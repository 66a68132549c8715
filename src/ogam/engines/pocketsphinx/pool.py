"""The processes that decode, as many as the machine has cores. Knows no audio and no result."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress

from ogam.capabilities.base import checkpoint
from ogam.engines.pocketsphinx import worker as wire
from ogam.errors import EngineError, InvalidRequestError, UnsupportedOptionError
from ogam.extras import needs

# How often a waiting caller looks whether it has been cancelled.
_TICK_SECONDS = 0.1
# At least this many, so that a few live streams are heard at once on a small machine. One
# takes 115 MB, and 213 MB once it has served a stream.
_FEWEST = 4


class Worker:
    """One process; one caller at a time. ``live``: it has served a stream."""

    def __init__(self, setup: wire.Setup) -> None:
        self.setup, self.live = setup, False
        with needs("local"):
            import pocketsphinx  # noqa: F401 # pyright: ignore[reportUnusedImport]
        try:
            self._process = subprocess.Popen(
                # -P: what stands beside the script is not for it to import.
                [sys.executable, "-P", wire.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in a terminal is for the parent, which then ends this one.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise EngineError(f"The process of PocketSphinx did not start: {error}.") from None
        self._answers: queue.SimpleQueue[wire.Message | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="ogam-pocketsphinx", daemon=True).start()
        try:
            answer = self._ask(setup)
        except BaseException:
            self.end()
            raise
        if isinstance(answer, wire.Refused):
            self.end()
            raise _refusal(setup, answer)

    def ask(self, job: wire.Decode | wire.Listen) -> wire.Heard:
        """Have one job done. Raises EngineError when the process has died."""
        self.live = self.live or isinstance(job, wire.Listen)
        answer = self._ask(job)
        if not isinstance(answer, wire.Heard):
            raise EngineError("PocketSphinx gave no answer.")
        return answer

    def end(self) -> None:
        """Stop the process, whatever it does."""
        process = self._process
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what could not be flushed to a dead process
                    pipe.close()

    def _ask(self, message: wire.Message) -> wire.Message:
        assert self._process.stdin is not None
        try:
            wire.send(self._process.stdin, message)
        except (OSError, ValueError):
            raise _died() from None
        while True:
            try:
                answer = self._answers.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                checkpoint()
                continue
            if answer is None:
                raise _died()
            return answer

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        answer: wire.Message | None = None
        while True:
            try:
                answer = wire.receive(pipe)
            except (OSError, ValueError):  # closed under the reader by end()
                answer = None
            self._answers.put(answer)
            if answer is None:
                return


class Pool:
    """Workers by what they listen for. Full and none fit, the one unused longest goes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._size = 0
        self._limit = max(_FEWEST, os.cpu_count() or 1)
        self._all: set[Worker] = set()
        self._closed = False
        weakref.finalize(self, _end_all, self._all)

    @contextmanager
    def worker(self, setup: wire.Setup, *, live: bool = False) -> Generator[Worker]:
        """A worker for ``setup``, loaded (0.4 s) when none is idle; for ``live`` sound rather one
        that has served a stream, and for all else rather another.

        An error inside the block ends the process: it may be in the middle of something.
        """
        worker = self._take(setup, live=live) or self._start(setup)
        try:
            yield worker
        except GeneratorExit:
            self._give(worker)  # between two jobs, so it can serve the next caller
            raise
        except BaseException:
            self._drop(worker)
            raise
        self._give(worker)

    def close(self) -> None:
        """End every process; callers in the middle of a job get an EngineError."""
        with self._changed:
            self._closed = True
            self._idle.clear()
            self._changed.notify_all()
        _end_all(self._all)

    def _take(self, setup: wire.Setup, *, live: bool) -> Worker | None:
        """An idle worker, or None and the right to start one."""
        with self._changed:
            while not self._closed:
                fit = [one for one in self._idle if one.setup == setup]
                if fit:
                    worker = next((one for one in fit if one.live == live), fit[0])
                    self._idle.remove(worker)
                    return worker
                if self._size == self._limit and self._idle:
                    self._forget(self._idle.pop(0))
                if self._size < self._limit:
                    self._size += 1
                    return None
                self._changed.wait(_TICK_SECONDS)
                checkpoint()
        raise EngineError("PocketSphinx has been closed.")

    def _start(self, setup: wire.Setup) -> Worker:
        try:
            worker = Worker(setup)
        except BaseException:
            with self._changed:
                self._size -= 1
                self._changed.notify()
            raise
        self._all.add(worker)
        return worker

    def _give(self, worker: Worker) -> None:
        with self._changed:
            if self._closed:
                self._forget(worker)
            else:
                self._idle.append(worker)
            self._changed.notify()

    def _drop(self, worker: Worker) -> None:
        with self._changed:
            self._forget(worker)
            self._changed.notify()

    def _forget(self, worker: Worker) -> None:
        self._size -= 1
        self._all.discard(worker)
        worker.end()


def _end_all(workers: set[Worker]) -> None:
    for worker in tuple(workers):
        worker.end()
    workers.clear()


def _died() -> EngineError:
    return EngineError("The process of PocketSphinx ended unexpectedly.", hint="Try it again.")


def _refusal(setup: wire.Setup, refused: wire.Refused) -> Exception:
    param = "grammar" if setup.grammar else "keywords" if setup.keywords else "phrases"
    if not refused.unknown:
        return InvalidRequestError(
            f"The grammar is not valid JSGF: {refused.complaint}.",
            hint="It looks like: #JSGF V1.0; grammar g; public <go> = turn (left | right);",
            param=param,
        )
    kind = UnsupportedOptionError if param == "phrases" else InvalidRequestError
    words = ", ".join(repr(word) for word in refused.unknown[:5])
    own = setup.lexicon is not None
    dictionary = "the language's most frequent words" if own else "126,000 English words"
    return kind(
        f"PocketSphinx's dictionary has no pronunciation of {words}.",
        hint=f"Use other words in {param}; its dictionary holds {dictionary}.",
        param=param,
    )
