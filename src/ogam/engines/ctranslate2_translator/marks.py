"""What a translation carries over as it stands: numbers, addresses, variables. Knows no model.

A small model changes them: it spells "48213" in pieces and loses one. So each becomes a mark, a
character of Unicode's private use that such a model has learned to put where the thing belongs.
"""

from __future__ import annotations

import re

MARKS = tuple(chr(0xE000 + number) for number in range(8))
_MARK = re.compile("[\ue000-\uf8ff]")
# One and two digits are words like others to a translator: "2 apples" bends what follows.
_KEPT = re.compile(
    r"""https?://[^\s<>"]*[^\s<>".,;:!?)]
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | \{[\w.]*\} | %\(\w+\)[sd] | %[sd]\b | \$\{?\w+\}?
    | (?<![\w.,])\d+(?:[.,:/-]\d+)+(?!\w)
    | (?<!\w)[A-Z]{1,4}-?\d[\w-]*\w
    | (?<![\w.,])\d{3,}(?!\w)
    """,
    re.VERBOSE,
)


def masked(text: str, most: int = len(MARKS)) -> tuple[str, list[str]]:
    """The text with ``most`` marks, and what they stand for; as it is where it has its own."""
    kept: list[str] = []
    if _MARK.search(text):
        return text, kept

    def mark(found: re.Match[str]) -> str:
        if len(kept) >= most:
            return found.group()
        kept.append(found.group())
        return MARKS[len(kept) - 1]

    return _KEPT.sub(mark, text), kept


def filled(text: str, kept: list[str]) -> str | None:
    """The text with what its marks stand for; None where one is lost, or there twice."""
    if not kept:
        return text
    found = _MARK.findall(text)
    if sorted(found) != list(MARKS[: len(kept)]):
        return None
    return _MARK.sub(lambda one: kept[MARKS.index(one.group())], text)
