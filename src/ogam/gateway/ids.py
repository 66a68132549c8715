"""Ids for requests: 96 random bits in hex, unguessable."""

from __future__ import annotations

import os
from collections.abc import Iterator

_BYTES, _AT_ONCE = 12, 512


def _made() -> Iterator[str]:
    # The system is asked once for many: each time costs a switch of threads.
    while True:
        block = os.urandom(_BYTES * _AT_ONCE)
        for start in range(0, len(block), _BYTES):
            yield block[start : start + _BYTES].hex()


_ids = _made()


def new() -> str:
    """The next one. From one thread at a time: the event loop's."""
    return next(_ids)
