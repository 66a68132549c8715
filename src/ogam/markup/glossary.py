"""Terms in texts: which occur, which are missing in a translation, where to cut around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Letters of scripts that put no spaces between words (or, in Korean, endings right after them).
WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\u0e00-\u0e7f"


class Term(NamedTuple):
    """What ``source`` must become."""

    source: str
    target: str


def word(text: str) -> str:
    """A pattern for ``text`` as whole words, where its ends are letters of a spaced script."""
    before = r"(?<!\w)" if _spaced(text[:1]) else ""
    after = r"(?!\w)" if _spaced(text[-1:]) else ""
    return f"{before}{re.escape(text)}{after}"


def in_texts(texts: Sequence[str], glossary: Sequence[Term]) -> list[tuple[Term, ...]]:
    """For each text the terms that occur in it, the longest first."""
    if not glossary:
        return [()] * len(texts)
    everything = "\n".join(texts)
    likely = sorted(
        (term for term in glossary if term.source in everything),
        key=lambda term: -len(term.source),
    )
    return [tuple(term for term in likely if _has(text, term.source)) for text in texts]


def missing(source: str, target: str, found: Sequence[Term]) -> list[Term]:
    """The terms that stand in ``source`` and not, as they should, in ``target``."""
    counted = cut(source, found)
    wanted = {text for text, is_term in counted if is_term}
    return [term for term in found if term.target in wanted and not _has(target, term.target)]


def replace(text: str, own: str, wanted: str) -> str:
    """``wanted`` in place of the translator's ``own`` word, if that is there."""
    return re.sub(word(own), lambda _: wanted, text, flags=re.IGNORECASE) if own else text


def cut(text: str, found: Sequence[Term]) -> list[tuple[str, bool]]:
    """The text cut around its terms: (text, False) or (a term's target, True), in order."""
    if not found:
        return [(text, False)]
    targets = {term.source: term.target for term in found}
    pattern = "|".join(word(term.source) for term in found)
    parts: list[tuple[str, bool]] = []
    at = 0
    for one in re.finditer(pattern, text):
        parts += [(text[at : one.start()], False), (targets[one.group()], True)]
        at = one.end()
    return [*parts, (text[at:], False)]


def _has(text: str, term: str) -> bool:
    return re.search(word(term), text) is not None


def _spaced(letter: str) -> bool:
    """Whether this is a letter of a script that puts spaces between words, and only there."""
    return letter.isalnum() and not re.match(
        "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]", letter
    )
