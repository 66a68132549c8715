"""A long recording cut into parts that Google takes in one call. Pure.

A part is a whole number of seconds but for the last, so that what is rounded up and billed for
all of them together is what would be billed for the whole.
"""

from __future__ import annotations

import sys
from array import array

# Google refuses some recordings that are a little under its minute.
_LONGEST, _SHORTEST = 55, 40
_AROUND = 0.1  # seconds that must be quiet on both sides of a cut


def parts(pcm: bytes, rate: int) -> list[bytes]:
    """``pcm`` (16-bit little-endian, one channel) in parts of at most 55 s, cut where it is
    quietest in the last 15 s of each.
    """
    samples = array("h", pcm[: len(pcm) - len(pcm) % 2])
    if sys.byteorder == "big":
        samples.byteswap()
    found: list[bytes] = []
    start = 0
    while len(samples) - start > _LONGEST * rate:
        cuts = [start + second * rate for second in range(_LONGEST, _SHORTEST, -1)]
        cut = min(cuts, key=lambda place: _loudness(samples, place, rate))
        found.append(pcm[2 * start : 2 * cut])
        start = cut
    return [*found, pcm[2 * start :]]


def _loudness(samples: array[int], place: int, rate: int) -> int:
    around = int(_AROUND * rate)
    return sum(map(abs, samples[place - around : place + around]))
