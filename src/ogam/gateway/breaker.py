"""A breaker for each vendor and model: who fails again and again is left alone for a while.

Closed, it lets all through. After ``FAILURES`` in a row it opens for ``REST`` seconds, longer
each time; then one call at a time is let through as a probe, and its success closes it. A
vendor that says for how long it wants to be left alone is left alone for so long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 5
REST, LONGEST_REST = 5.0, 300.0


class Breaker:
    """One vendor's model. Used on one event loop, so it needs no lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rests = 0
        self._until = 0.0
        self._probing = False

    def wait(self) -> float:
        """Seconds until a call would be let through; 0 where one is now."""
        if not self._until:
            return 0.0
        left = self._until - self._clock()
        if left > 0:
            return left
        return REST if self._probing else 0.0

    def admit(self) -> bool:
        """Whether this call may go. If so, ``succeeded``, ``failed`` or ``passed`` must follow."""
        if self.wait() > 0:
            return False
        self._probing = bool(self._until)
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._failures = self._rests = 0
        self._until, self._probing = 0.0, False

    def passed(self) -> None:
        """Nothing was learnt: the caller went away, or the request was at fault."""
        self._probing = False

    def failed(self, retry_after: float | None = None) -> None:
        """It failed; ``retry_after`` is how long it wants to be left alone."""
        self._failures += 1
        if retry_after is not None:
            self._open(min(retry_after, LONGEST_REST))
        elif self._probing or self._failures >= FAILURES:
            self._open(min(REST * 2.0**self._rests, LONGEST_REST))
            self._rests += 1
        self._probing = False

    def _open(self, seconds: float) -> None:
        self._until = max(self._until, self._clock() + seconds)

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``probing``."""
        if not self._until:
            return "closed"
        return "probing" if self._probing or self.wait() <= 0 else "open"
