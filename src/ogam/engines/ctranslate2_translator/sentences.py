"""Texts to sentences and back with every space where it was. Knows no model.

The rule is simple: a sentence ends at a line's end, after 。！？, and after . ! ? … where white
space and then no small letter follows, but for initials and a list of abbreviations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_END = re.compile(
    r"[。！？]++[」』”’）)]*+"  # full-width: no space need follow
    # Begun at a run's first mark only and never taken back: linear on a page of dots.
    r"|(?<![.!?…])[.!?…]++[\"'”’“»)\]]*+(?=\s++[^\sa-zа-яà-öø-ÿ])"
)
# What stands before a full stop that ends no sentence, in the languages met most.
# fmt: off
_ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "e.g", "i.e", "a.m", "p.m",
    "bzw", "ca", "nr", "str", "z.b", "d.h", "u.a", "hr", "mme", "mlle", "sra", "srta",
    "ud", "uds", "p.ex", "sig", "sig.ra", "dott",
))
# fmt: on


class Piece(NamedTuple):
    """A stretch of a text: ``text`` to translate (empty: nothing), then ``space`` as it stood."""

    text: str
    space: str


def split(text: str, *, lines_only: bool = False) -> list[Piece]:
    """The sentences of a text. Joining ``text + space`` of all pieces gives the text again.

    A line without a letter or a digit is all ``space``: there is nothing to translate in it.
    """
    found: list[Piece] = []
    for line in re.split(r"([\r\n]+)", text):
        starts = [0]
        if not lines_only:
            starts += [one.end() for one in _END.finditer(line) if not _abbreviated(line, one)]
        for start, stop in zip(starts, [*starts[1:], len(line)], strict=True):
            found += _pieces(line[start:stop])
    return found


def _pieces(stretch: str) -> list[Piece]:
    body = stretch.strip()
    if not any(one.isalnum() for one in body):
        return [Piece("", stretch)] if stretch else []
    before = len(stretch) - len(stretch.lstrip())
    head = [Piece("", stretch[:before])] if before else []
    return [*head, Piece(body, stretch[before + len(body) :])]


def _abbreviated(line: str, end: re.Match[str]) -> bool:
    if end.group() != ".":
        return False
    # 20: more than the longest abbreviation, and a line may hold thousands of full stops.
    words = line[max(0, end.start() - 20) : end.start()].split()
    word = words[-1].lstrip("(\"'“„«").lower() if words else ""
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())


def halve(text: str, fits: Callable[[str], bool]) -> list[Piece]:
    """Cut a text that no model takes whole into parts that fit: at a comma, a space, or anywhere.

    The place nearest to the middle is taken.
    """
    if fits(text) or len(text) < 2:
        return [Piece(text, "")]
    middle = len(text) // 2
    for mark in (r"(?<=[,;:])\s+|(?<=[、，；：])", r"\s+"):
        places = [one.span() for one in re.finditer(mark, text)]
        places = [one for one in places if len(text) // 8 < one[0] and one[1] < len(text) * 7 // 8]
        if places:
            start, stop = min(places, key=lambda one: abs(one[0] - middle))
            break
    else:
        start = stop = middle
    *left, last = halve(text[:start], fits)
    return [*left, Piece(last.text, text[start:stop]), *halve(text[stop:], fits)]
