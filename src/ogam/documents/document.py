"""What every format becomes: segments, and how to write them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ogam.markup.segments import Piece


class Document(NamedTuple):
    """``write(made)`` gives the document's bytes with ``made`` (for each segment the text of its
    pieces) in the places of the segments. ``characters`` are the code points of its text.
    """

    segments: list[list[Piece]]
    characters: int
    write: Callable[[Sequence[Sequence[str]]], bytes]
