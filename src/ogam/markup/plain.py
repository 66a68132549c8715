"""Plain text as segments: a line each, or a paragraph whose line breaks stay."""

from __future__ import annotations

import re

from ogam.markup.segments import Piece, Slot, Template

_LINE = re.compile(r"(\r\n|[\n\r\u2028\u2029\x0b\x0c\x85])")
_BLANK = re.compile(r"((?:[ \t]*(?:\r\n|[\n\r])){2,})")


def parse(text: str, *, join_lines: bool = False) -> Template:
    """The text's lines as segments; with ``join_lines`` a sentence may go over a line's end."""
    parts: list[str | Slot] = []
    segments: list[list[Piece]] = []
    for number, stretch in enumerate((_BLANK if join_lines else _LINE).split(text)):
        if number % 2:
            parts.append(stretch)
            continue
        pieces = lines(stretch)
        parts += [Slot(len(segments), n, raw=True) for n in range(len(pieces))]
        segments.append(pieces)
    return Template(parts, segments, len(text))


def lines(text: str) -> list[Piece]:
    """Pieces of a text whose line breaks are no ends of sentences."""
    return [
        Piece(part, "break" if number % 2 else "text")
        for number, part in enumerate(re.split(r"([ \t]*(?:\r\n|[\n\r])\s*)", text))
    ]


def written(text: str, raw: bool) -> str:  # noqa: ARG001
    """How a piece is written in plain text: as it is."""
    return text
