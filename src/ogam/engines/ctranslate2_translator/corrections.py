"""Which of a model's corrections are taken. Knows no model.

A small model that meets a word it has never seen may put another in its place: "erors" became
"with him". So a long word gives way only to one that is like it, and none comes or goes.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_PART = re.compile(r"\w+(?:['’]\w+)*|\s+|[^\w\s]")
# Shorter words, and short forms, are those that grammar changes: "is" and "are", "doesn't".
_LONG = 5
# Of the letters of both, in the same order: "sentense" and "sentence" have 0.88 in common,
# "sentense" and "teacher" 0.4.
_LIKE = 0.8


def taken(text: str, corrected: str) -> str:
    """``corrected`` with the words of ``text`` where another says something else."""
    ours, theirs = _PART.findall(text), _PART.findall(corrected)
    made: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        old, new = ours[a:b], theirs[c:d]
        made += new if kind == "equal" or _like(old, new) else old
    return "".join(made)


def _like(old: list[str], new: list[str]) -> bool:
    words, others = (
        [one.lower() for one in side if len(one) >= _LONG and one.isalnum()] for side in (old, new)
    )
    near = [word.lower() for word in new if len(word) >= _LONG - 2]
    far = [word.lower() for word in old if len(word) >= _LONG - 2]
    return all(_has(word, near) for word in words) and all(_has(word, far) for word in others)


def _has(word: str, others: list[str]) -> bool:
    return any(SequenceMatcher(None, word, one).ratio() >= _LIKE for one in others)
