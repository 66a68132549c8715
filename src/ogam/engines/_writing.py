"""What engines that write text share: how a sequence grows, how long it may become, how what a
library writes in a thread of its own reaches the caller piece by piece, and how requests that
wait at the same time are written together.

Knows no model and no library. An engine imports this and never another engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Literal

from ogam.capabilities.base import ModelRef, Units, checkpoint
from ogam.capabilities.text_generation import Choice, GenerateRequest, GenerateResult, TextDelta
from ogam.errors import EngineError, InvalidRequestError, TooLargeError

# Takes the next token of a sequence, (sequence, id); True once it wants no more of it. With no id
# it only says whether it does.
Take = Callable[[int, int | None], bool]

DEFAULT_TOKENS = 128
_POLL_SECONDS = 0.1
# Of several jobs together. GPT-2 small on one core wrote 24, 67 and 98 tokens a second in 1, 8 and
# 16 sequences (float32; 70, 279 and 345 in 8 bits), each with up to 75 MB of keys and values.
_SEQUENCES = 16
# What a base model reads for a conversation: the messages one after the other, a line each.
# A manifest's "template" replaces any of these; "answer" stands after the last message, and
# "stop", where there is one, begins what is no longer the answer.
TEMPLATE = {
    "system": "{content}\n",
    "user": "{content}\n",
    "assistant": "{content}\n",
    "answer": "",
    "stop": "",
}


class Growing:
    """One sequence as it grows: what of its text may be sent, and why it ended."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        stop: Sequence[str],
        room: int,
    ) -> None:
        self._decode, self._ends, self._stop, self._room = decode, ends, stop, room
        self._sent = 0
        self.ids: list[int] = []
        self.text = ""
        self.reason: Literal["stop", "length"] | None = None

    def add(self, token: int) -> str:
        """Take one token; return the text that is now certain and new."""
        if token in self._ends:
            self.reason = "stop"
        else:
            self.ids.append(token)
            self.text = self._decode(self.ids)
            found = [at for stop in self._stop if (at := self.text.find(stop)) >= 0]
            if found:
                self.text = self.text[: min(found)]
                self.reason = "stop"
            elif len(self.ids) >= self._room:
                self.reason = "length"
        certain = self.text if self.reason else self.text[: self._certain()]
        new = certain[self._sent :]
        self._sent = max(self._sent, len(certain))
        return new

    def _certain(self) -> int:
        """Where the text ends that no later token can change or make part of a stop string."""
        # A character's later bytes turn U+FFFD at the end into that character.
        end = len(self.text.rstrip("\ufffd"))
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(self.text)), 0, -1):
                if self.text.endswith(stop[:length]):
                    end = min(end, len(self.text) - length)
                    break
        return end


def room(spent: int, request: GenerateRequest, context: int) -> int:
    """How many new tokens a sequence may have after ``spent`` ones."""
    if spent >= context:
        raise TooLargeError(
            f"The prompt has {spent:,} tokens; the model reads {context:,}, its answer included.",
            hint="Shorten the prompt.",
            param="prompt",
        )
    most = request.max_tokens
    if request.max_length is not None:
        left = request.max_length - spent
        if left < 1:
            raise InvalidRequestError(
                f"The prompt has {spent:,} tokens already; max_length is {request.max_length:,}.",
                hint="Raise max_length, or give max_tokens, which counts new tokens only.",
                param="max_length",
            )
        most = left if most is None else min(most, left)
    return min(DEFAULT_TOKENS if most is None else most, context - spent)


def streamed(
    ref: ModelRef,
    spent: int,
    sequences: Sequence[Growing],
    *,
    start: Callable[[Take], Future[None]],
    failures: Callable[[], AbstractContextManager[None]],
) -> Iterator[TextDelta | GenerateResult]:
    """Let what ``start`` starts write elsewhere; yield its text as it comes, the result last.

    ``spent`` counts the prompt's tokens. ``start`` raises RuntimeError once the engine is closed.
    ``failures`` turns what the library raises into
    Ogam's errors. A caller who leaves makes ``take`` say True, which ends the run.
    """
    deltas: SimpleQueue[TextDelta | None] = SimpleQueue()
    gone = threading.Event()

    def take(index: int, token: int | None) -> bool:
        if gone.is_set():
            return True
        sequence = sequences[index]
        if token is not None and sequence.reason is None and (text := sequence.add(token)):
            deltas.put(TextDelta(text=text, index=index))
        return sequence.reason is not None

    try:
        work = start(take)
    except RuntimeError:
        raise _closed() from None
    work.add_done_callback(lambda _: deltas.put(None))
    try:
        while True:
            checkpoint()
            try:
                delta = deltas.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if delta is None:
                break
            yield delta
        try:
            with failures():
                work.result()
        except CancelledError:
            raise _closed() from None
    finally:
        gone.set()
        work.cancel()
    yield GenerateResult(
        engine=ref.engine,
        model=ref.name,
        units=Units(input_tokens=spent, output_tokens=sum(len(one.ids) for one in sequences)),
        choices=tuple(
            Choice(text=one.text, finish_reason=one.reason or "length") for one in sequences
        ),
    )


class Job:
    """A request that is written: the tokens it continues, and who takes what comes.

    Each of its sequences gets ``most`` new tokens at most. Jobs of one ``kind`` may be
    written together; one without a kind is written alone. ``done`` ends with its last sequence,
    whoever else is still written beside it.
    """

    def __init__(
        self, prompt: list[str], most: int, request: GenerateRequest, take: Take, kind: Hashable
    ) -> None:
        self.prompt, self.most, self.request, self.kind = prompt, most, request, kind
        self.written: list[list[int]] = [[] for _ in range(request.n)]
        self.open = set(range(request.n))
        self.done: Future[None] = Future()
        self._take = take

    def give(self, index: int, token: int | None) -> bool:
        """Hand over the next token of a sequence, if any; True once it wants no more."""
        if token is not None:
            self.written[index].append(token)
        ended = self._take(index, token)
        if ended:
            self.open.discard(index)
            if not self.open:
                self.done.set_result(None)
        return ended


class Line:
    """Where jobs wait for a model. Those of a kind that wait together are written together.

    Nobody waits for company: the first is written at once, what comes meanwhile is next. ``write``
    writes a list of jobs in a thread of ``pool``; it may ask once for the :meth:`company` that has
    come, add it to its list and begin again. Where it fails for several, each is written on alone,
    so that one does not suffer from another.
    """

    def __init__(self, pool: Executor, write: Callable[[list[Job]], None]) -> None:
        self._pool, self._write = pool, write
        self._waiting: list[Job] = []
        self._lock = threading.Lock()

    def submit(self, job: Job) -> Future[None]:
        """Put a job in the line. RuntimeError once the pool is shut down."""
        with self._lock:
            self._pool.submit(self._work)
            self._waiting.append(job)
        return job.done

    def company(self, jobs: Sequence[Job]) -> list[Job]:
        """Take those out of the line that may be written with ``jobs``, or with its first."""
        taken: list[Job] = []
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for job in waiting:
                if not _fits(job, [*jobs, *taken]):
                    self._waiting.append(job)
                elif job.done.set_running_or_notify_cancel():  # else its caller has left
                    taken.append(job)
        return taken

    def close(self) -> None:
        """Send away those that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for job in waiting:
            job.done.cancel()

    def _work(self) -> None:
        # Nobody is there if the job that this was submitted for has gone with others.
        if jobs := self.company([]):
            self._written(jobs)

    def _written(self, jobs: list[Job]) -> None:
        try:
            self._write(jobs)
        except BaseException as error:
            left = [job for job in jobs if job.open]
            if len(left) == 1:
                left[0].done.set_exception(error)
                return
            for job in left:
                self._written([job])


def _fits(job: Job, others: Sequence[Job]) -> bool:
    if not others:
        return True
    first, lengths = others[0], [len(one.prompt) for one in (job, *others)]
    return (
        job.kind is not None
        and job.kind == first.kind
        and sum(len(one.open) for one in (job, *others)) <= _SEQUENCES
        # What is longer than the shortest prompt is read a token a step, while the others are
        # written: no longer than the first would have been written alone.
        and max(lengths) - min(lengths) <= first.most
    )


def _closed() -> EngineError:
    return EngineError("The engine was closed.", hint="Make it again.")
