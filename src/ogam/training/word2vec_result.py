"""What a Word2Vec run ends in: scores on similarity and analogies, and the folder to serve.

Knows nothing of the training.
"""

# gensim has no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ogam.errors import InvalidRequestError, OutputError
from ogam.extras import needs
from ogam.media import files
from ogam.models.store import MANIFEST
from ogam.training import data

with needs("train"):
    import numpy as np

VECTORS = "vectors.bin"
_DRAWN = 120


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The result on one file of word pairs or analogies, of which ``used`` of ``total`` counted.

    ``kind`` "similarity": ``value`` is Spearman's rank correlation of the cosines with the
    people's scores. "analogy": the share of questions whose first answer is right. An item
    with a word that is not known does not count.
    """

    name: str
    kind: Literal["similarity", "analogy"]
    value: float
    used: int
    total: int


def score(vectors: Any, path: Path) -> Score:
    """The score of gensim's KeyedVectors on a file of word pairs or of analogies."""
    kind = kind_of(path)
    try:
        if kind == "analogy":
            value, sections = vectors.evaluate_word_analogies(str(path), dummy4unknown=False)
            used = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
            total = sum(1 for line in data.lines(path) if line.strip() and not line.startswith(":"))
            value = float(value) if used else 0.0
        else:
            total = sum(1 for line in data.lines(path) if line.strip() and line[:1] != "#")
            _, spearman, unknown = vectors.evaluate_word_pairs(str(path), delimiter="\t")
            value, used = float(spearman[0]), round(total * (1 - unknown / 100))
    except (ValueError, ZeroDivisionError, IndexError):
        # Nothing in common with the vocabulary, or too few pairs for a correlation.
        value, used, total = 0.0, 0, sum(1 for line in data.lines(path) if line.strip())
    return Score(name=path.stem, kind=kind, value=value, used=used, total=total)


def kind_of(path: Path) -> Literal["similarity", "analogy"]:
    """Which of the two a file is, by its first lines; InvalidRequestError for neither."""
    for line in data.lines(path):
        if line.startswith(":") or len(line.split()) == 4:
            return "analogy"
        if line.count("\t") >= 2:
            return "similarity"
    raise InvalidRequestError(
        f"{path} holds neither word pairs nor analogies.",
        hint="Pairs: word, word and score between tabs. Analogies: four words a line.",
    )


def export(folder: Path, vectors: Any, source: str, scores: Sequence[Score]) -> None:
    """Write gensim's KeyedVectors to ``folder``, in place of one there; whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        vectors.save_word2vec_format(str(temporary / VECTORS), binary=True)
        draw_map(vectors.index_to_key, vectors.vectors, temporary / "words.png")
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(temporary.iterdir())
        }
        manifest = {
            "name": folder.resolve().parent.name,
            "engine": "word2vec",
            "capabilities": ["embed"],
            "files": digests,
            "licence": "as the text it was trained on",
            "source": source,
            "summary": f"Vectors of {vectors.vector_size} numbers for {len(vectors):,} words.",
            "vectors": VECTORS,
            "dimensions": vectors.vector_size,
            "scores": [msgspec.to_builtins(one) for one in scores],
        }
        (temporary / MANIFEST).write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(
            f"The model {folder} cannot be written: {error.strerror or error}.",
            hint="Free some space, then go on with --resume.",
        ) from None


def draw_map(words: Sequence[str], vectors: Any, path: Path) -> None:
    """Draw the first 120 words on their two main directions, as a PNG."""
    import warnings

    with needs("train"):
        from matplotlib.figure import Figure
    shown = np.asarray(vectors[:_DRAWN], np.float64)
    shown = shown - shown.mean(axis=0)
    _, _, directions = np.linalg.svd(shown, full_matrices=False)
    points = np.zeros((len(shown), 2))
    points[:, : len(directions[:2])] = shown @ directions[:2].T
    figure: Any = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=12, color="#0072b2")
    for word, (x, y) in zip(words[:_DRAWN], points.tolist(), strict=True):
        axes.annotate(
            word,
            (x, y),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
        )
    axes.set_title("The most frequent words, on their vectors' two main directions", fontsize=10)
    with files.replacing(path) as temporary, warnings.catch_warnings():
        # A script that no font here has is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(temporary, dpi=150, format="png")
