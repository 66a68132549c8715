"""How many characters were spoken. The one seam to wherever that is kept.

Counted since the server started for now; the ledger takes its place behind the two functions.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ogam.gateway.dispatch import Gateway

# No limit here; a number, because the SDK wants one and programs subtract from it.
NO_LIMIT = 1_000_000_000_000
_counts: WeakKeyDictionary[Gateway, int] = WeakKeyDictionary()


def add(gateway: Gateway, characters: int) -> None:
    """Count some more. Called on the event loop alone, so it needs no lock."""
    _counts[gateway] = count(gateway) + characters


def count(gateway: Gateway) -> int:
    """The characters so far."""
    return _counts.get(gateway, 0)
