"""embed: vectors for text, and the cosine of two of them. Knows no model and needs no NumPy."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ogam.capabilities.base import Answer, Request, Result, Value, check_count, check_text
from ogam.errors import InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EmbedRequest(Request, frozen=True, kw_only=True):
    """A vector for each of ``texts``; ``dimensions`` keeps the first so many, normalised again."""

    texts: tuple[str, ...]
    dimensions: int | None = None

    def __post_init__(self) -> None:
        if not self.texts:
            raise InvalidRequestError("There is nothing to embed.", param="texts")
        for text in self.texts:
            check_text(text, "text")
        check_count(self.dimensions, "dimensions", 1, 1_000_000, none_ok=True)


class Vectors(Value, frozen=True, kw_only=True):
    """Vectors of ``dimensions`` float32 numbers, little-endian, row after row in ``data``.

    ``numpy.asarray(vectors)`` is a read-only (count, dimensions) float32 view without a copy.
    """

    data: bytes
    dimensions: int

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[float]]) -> Vectors:
        """Pack rows of equal length."""
        flat = array("f")
        dimensions = 0
        for row in rows:
            dimensions = dimensions or len(row)
            if len(row) != dimensions:
                raise ValueError("rows differ in length")
            flat.extend(row)
        return cls(data=flat.tobytes(), dimensions=dimensions)

    def __len__(self) -> int:
        return len(self.data) // (4 * self.dimensions) if self.dimensions else 0

    def __getitem__(self, index: int) -> tuple[float, ...]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        width = 4 * self.dimensions
        start = (index % len(self)) * width
        return tuple(array("f", self.data[start : start + width]))

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        import numpy as np

        view = np.frombuffer(self.data, dtype="<f4").reshape(len(self), self.dimensions)
        if dtype is not None and view.dtype != dtype:
            return view.astype(dtype)
        return view.copy() if copy else view

    def tolist(self) -> list[list[float]]:
        """Plain lists of floats."""
        return [list(row) for row in self]


class EmbedResult(Result, frozen=True, kw_only=True):
    """``vectors`` in the order of the texts, each of length 1; ``vector`` is the first.

    ``tokens`` counts each text's, where the engine counts any.
    """

    vectors: Vectors
    tokens: tuple[int, ...] = ()

    @property
    def vector(self) -> tuple[float, ...]:
        """The first text's vector."""
        return self.vectors[0]


class Embedder(Protocol):
    """What an engine that embeds must have."""

    def embed(self, request: EmbedRequest, /) -> Answer[EmbedResult]:
        """Embed every text."""
        ...


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of the angle between two vectors of the same length, from -1 to 1.

    A vector of zeros has no direction; its cosine with anything is 0.
    """
    if len(left) != len(right):
        raise InvalidRequestError(
            f"Vectors of {len(left)} and {len(right)} numbers do not compare."
        )
    dot = math.fsum(a * b for a, b in zip(left, right, strict=True))
    norm = math.sqrt(math.fsum(a * a for a in left)) * math.sqrt(math.fsum(b * b for b in right))
    return max(-1.0, min(1.0, dot / norm)) if norm else 0.0
