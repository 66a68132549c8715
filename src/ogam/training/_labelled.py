"""Texts with labels for a classifier: read, checked, and split with no text on both sides.

Knows no tokenizer and no model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ogam.errors import InvalidRequestError
from ogam.training import data


class Source(NamedTuple):
    """A file (TSV, CSV, JSONL, Parquet) and the names of its columns.

    ``label`` empty: there are no labels. ``second`` names the column of a second text, where
    the label belongs to a pair.
    """

    path: Path
    text: str = "text"
    label: str = "label"
    second: str | None = None


class Example(NamedTuple):
    """A text, the text that goes with it (empty where there is none), and its label."""

    text: str
    second: str
    label: str


def read(
    source: Source, names: Mapping[str, str] | None = None, *, optional: bool = False
) -> list[Example]:
    """All examples of a file, labels renamed by ``names`` (as in ``{"0": "NEGATIVE"}``).

    ``optional`` lets a row go without label, which is empty then. Raises InvalidRequestError for
    what :func:`ogam.training.data.rows` refuses, and for a row without text or without label.
    """
    path = source.path
    found: list[Example] = []
    for number, row in enumerate(data.rows(path), 1):
        text = data.column(row, source.text, path)
        label = data.column(row, source.label, path).strip() if source.label else ""
        second = data.column(row, source.second, path) if source.second else ""
        if not text.strip() or (source.second and not second.strip()):
            raise InvalidRequestError(f"{path}, row {number}, has no text.", hint="Take it out.")
        if not label and not optional:
            raise InvalidRequestError(f"{path}, row {number}, has no label.", hint="Take it out.")
        found.append(Example(text, second, (names or {}).get(label, label)))
    return found


def split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Training and validation; about ``share`` of the different texts go to validation.

    A text's side is a function of the text alone (its SHA-256): equal texts stay together,
    and a text keeps its side when others are added to the file.
    """
    training: list[Example] = []
    validation: list[Example] = []
    for one in examples:
        digest = hashlib.sha256(f"{one.text.strip()}\0{one.second.strip()}".encode()).digest()
        chosen = int.from_bytes(digest[:8]) < share * 2**64
        (validation if chosen else training).append(one)
    return training, validation


def without(examples: Sequence[Example], others: Sequence[Example]) -> list[Example]:
    """The examples whose text is in none of ``others``."""
    seen = {(one.text.strip(), one.second.strip()) for one in others}
    return [one for one in examples if (one.text.strip(), one.second.strip()) not in seen]


def labels(training: Sequence[Example], validation: Sequence[Example]) -> list[str]:
    """The labels of the training examples, sorted.

    Raises InvalidRequestError where there is only one, or validation has one that training
    has not, or either side is empty.
    """
    found = sorted({one.label for one in training})
    if len(found) == 1:
        raise InvalidRequestError(
            f"All training examples have the label {found[0]!r}.",
            hint="A classifier needs two labels or more. Is it the right column?",
        )
    for side, name in ((training, "training"), (validation, "validation")):
        if not side:
            raise InvalidRequestError(
                f"No example is left for {name}.",
                hint="Give more examples, or a validation file of its own.",
            )
    unseen = sorted({one.label for one in validation} - set(found))
    if unseen:
        raise InvalidRequestError(
            f"Validation has the label {unseen[0]!r}, which no training example has.",
            hint=f"Training has {', '.join(found[:8])}{', …' if len(found) > 8 else ''}.",
        )
    return found


def balanced(examples: Sequence[Example], names: Sequence[str]) -> list[float]:
    """A weight for each label, such that all labels weigh the same in sum and 1 on average."""
    counts = Counter(one.label for one in examples)
    return [len(examples) / (len(names) * counts[name]) for name in names]
