"""What engines that write text share: how a sequence grows, and how long it may become.

Knows no model and no library. An engine imports this and never another engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ogam.capabilities.text_generation import GenerateRequest
from ogam.errors import InvalidRequestError, TooLargeError

DEFAULT_TOKENS = 128
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
