"""How good a classifier is: accuracy, F1, and the confusion matrix as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ogam.extras import needs
from ogam.media import files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LabelScores(msgspec.Struct, frozen=True, kw_only=True):
    """One label's share found of what is called so (precision) and of what is so (recall)."""

    label: str
    precision: float
    recall: float
    f1: float
    count: int


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1. ``confusion[i][j]`` counts texts of label i that were called j."""

    accuracy: float
    macro_f1: float
    labels: tuple[LabelScores, ...]
    confusion: tuple[tuple[int, ...], ...]


def score(names: Sequence[str], right: Sequence[int], called: Sequence[int]) -> Scores:
    """Compare what texts are with what they were called, both as indices into ``names``.

    A share of nothing is 0, as F1 is of a label that is neither there nor called.
    """
    confusion = [[0] * len(names) for _ in names]
    for true, guess in zip(right, called, strict=True):
        confusion[true][guess] += 1
    each: list[LabelScores] = []
    for index, name in enumerate(names):
        hits = confusion[index][index]
        count = sum(confusion[index])
        guesses = sum(row[index] for row in confusion)
        each.append(
            LabelScores(
                label=name,
                precision=hits / guesses if guesses else 0.0,
                recall=hits / count if count else 0.0,
                f1=2 * hits / (count + guesses) if count + guesses else 0.0,
                count=count,
            )
        )
    return Scores(
        accuracy=sum(confusion[i][i] for i in range(len(names))) / max(1, len(right)),
        macro_f1=sum(one.f1 for one in each) / len(each),
        labels=tuple(each),
        confusion=tuple(tuple(row) for row in confusion),
    )


def draw_confusion(scores: Scores, path: Path) -> None:
    """Write the confusion matrix as PNG: a row for each label, shaded by its shares."""
    with needs("plot"):
        import numpy as np
        from matplotlib.figure import Figure
    names = [one.label for one in scores.labels]
    counts: NDArray[np.int64] = np.array(scores.confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = 2.5 + 0.6 * min(len(names), 30)
    figure: Any = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("called")
    axes.set_ylabel("is")
    axes.set_title(f"accuracy {scores.accuracy:.1%}")
    if len(names) <= 30:
        for i, row in enumerate(scores.confusion):
            for j, count in enumerate(row):
                colour = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=colour)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
