"""What engines that write text share: how a sequence grows, how long it may become, and how what
a library writes in a thread of its own reaches the caller piece by piece.

Knows no model and no library. An engine imports this and never another engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Literal

from ogam.capabilities.base import ModelRef, Units, checkpoint
from ogam.capabilities.text_generation import Choice, GenerateRequest, GenerateResult, TextDelta
from ogam.errors import EngineError, InvalidRequestError, TooLargeError

# Takes the next token of a sequence, (sequence, id); True once it wants no more of it.
Take = Callable[[int, int], bool]

DEFAULT_TOKENS = 128
_POLL_SECONDS = 0.1
# What a base model reads for a conversation: the messages one after the other, a line each.
# A manifest's "template" replaces any of these; "answer" stands after the last message.
TEMPLATE = {
    "system": "{content}\n",
    "user": "{content}\n",
    "assistant": "{content}\n",
    "answer": "",
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
    pool: Executor,
    run: Callable[[Take], None],
    failures: Callable[[], AbstractContextManager[None]],
) -> Iterator[TextDelta | GenerateResult]:
    """Let ``run`` write in a thread of ``pool``; yield its text as it comes, the result last.

    ``spent`` counts the prompt's tokens. ``failures`` turns what the library raises into
    Ogam's errors. A caller who leaves makes ``take`` say True, which ends the run.
    """
    deltas: SimpleQueue[TextDelta | None] = SimpleQueue()
    gone = threading.Event()

    def take(index: int, token: int) -> bool:
        if gone.is_set():
            return True
        sequence = sequences[index]
        if sequence.reason is None and (text := sequence.add(token)):
            deltas.put(TextDelta(text=text, index=index))
        return sequence.reason is not None

    try:
        work = pool.submit(run, take)
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


def _closed() -> EngineError:
    return EngineError("The engine was closed.", hint="Make it again.")
