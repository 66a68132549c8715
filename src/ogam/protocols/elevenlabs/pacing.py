"""When text that comes in pieces is spoken. Pure; knows no socket and no engine."""

from __future__ import annotations

import re
from collections.abc import Sequence

SCHEDULE = (120, 160, 250, 290)  # the vendor's default, in characters
# With fewer, try_trigger_generation waits for more.
LEAST_TRIGGERED = 50
# Where a sentence ends. "Dr. " and "e.g. " end none; a short last word waits for what follows.
_SENTENCE = re.compile(r"(?:\w{3}\.+|[!?…]+)[\"')\]”’»]*\s+|[。！？]+[」』”]*\s*|\n\s*\n")
# Where a part of one ends best.
_CLAUSE = re.compile(r"[,;:)\]—–-]+\s+|[、，；：]")


class Pacer:
    """Holds text back until enough of it is there to be spoken well.

    Whole sentences go at once. The beginning of one goes when it is as long as ``schedule``
    says (its next number after each piece), or when the client asks and it is not too short.
    """

    def __init__(self, schedule: Sequence[int] = SCHEDULE) -> None:
        self._schedule, self._spoken, self._held = tuple(schedule) or SCHEDULE, 0, ""

    def add(self, text: str, *, trigger: bool = False, flush: bool = False) -> list[str]:
        """What is to be spoken now that ``text`` has come too."""
        self._held += text
        if flush:
            return self._cut(len(self._held))
        pieces: list[str] = []
        ends = [found.end() for found in _SENTENCE.finditer(self._held)]
        if ends:
            pieces += self._cut(ends[-1])
        enough = self._schedule[min(self._spoken, len(self._schedule) - 1)]
        if trigger:
            enough = min(enough, LEAST_TRIGGERED)
        if len(self._held) >= enough:
            pieces += self._cut(self._best())
        return pieces

    def rest(self) -> list[str]:
        """All that is held, when no more will come."""
        return self._cut(len(self._held))

    def _best(self) -> int:
        """After the last clause that is not tiny, else after the last word."""
        clauses = [found.end() for found in _CLAUSE.finditer(self._held)]
        if clauses and clauses[-1] >= LEAST_TRIGGERED // 2:
            return clauses[-1]
        space = max(self._held.rfind(one) for one in " \n\t")
        if space > 0:
            return space + 1
        # A language without spaces, or no text at all.
        return len(self._held) if len(self._held) > 2 * max(self._schedule) else 0

    def _cut(self, stop: int) -> list[str]:
        piece, self._held = self._held[:stop], self._held[stop:]
        # Without a letter or digit there is nothing to say; "..." alone would be an error.
        if not any(map(str.isalnum, piece)):
            return []
        self._spoken += 1
        return [piece]
