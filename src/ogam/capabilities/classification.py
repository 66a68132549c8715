"""classify: labels for text. Knows no model; with labels of the caller's own it is zero-shot."""

from __future__ import annotations

from typing import Protocol

from ogam.capabilities.base import Answer, Request, Result, Value, check_text
from ogam.errors import InvalidRequestError


class ClassifyRequest(Request, frozen=True, kw_only=True):
    """Label each of ``texts``.

    Without ``labels`` the model's own are used, where it has any. With ``labels`` (two or
    more, all different) the model chooses among them. ``multi_label`` scores each label
    by itself instead of sharing 1.0 among them.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not self.texts:
            raise InvalidRequestError("There is nothing to classify.", param="texts")
        for text in self.texts:
            check_text(text, "text")
        for label in self.labels:
            check_text(label, "label")
        if len(set(self.labels)) != len(self.labels):
            raise InvalidRequestError("A label is given twice.", param="labels")
        if len(self.labels) == 1:
            raise InvalidRequestError(
                "One label leaves nothing to choose.", hint="Give two or more.", param="labels"
            )


class LabelScore(Value, frozen=True, kw_only=True):
    """A label and its score from 0 to 1."""

    label: str
    score: float


class Classification(Value, frozen=True, kw_only=True):
    """All labels of one text, best first."""

    scores: tuple[LabelScore, ...]

    @property
    def label(self) -> str:
        """The best label."""
        return self.scores[0].label

    @property
    def score(self) -> float:
        """The best label's score."""
        return self.scores[0].score


class ClassifyResult(Result, frozen=True, kw_only=True):
    """``classifications`` in the order of the texts; ``label`` and ``score`` are the first's.

    ``tokens`` counts each text's, where the engine counts any.
    """

    classifications: tuple[Classification, ...]
    tokens: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The first text's best label."""
        return self.classifications[0].label

    @property
    def score(self) -> float:
        """The first text's best score."""
        return self.classifications[0].score

    @property
    def labels(self) -> tuple[str, ...]:
        """Each text's best label."""
        return tuple(item.label for item in self.classifications)


class Classifier(Protocol):
    """What an engine that classifies must have."""

    def classify(self, request: ClassifyRequest, /) -> Answer[ClassifyResult]:
        """Label every text."""
        ...
