"""A map of texts: their vectors' two main directions, with the texts beside the points.

Knows no engine. Principal components by NumPy's SVD, drawn by matplotlib without a window.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogam.capabilities.embedding import Vectors
from ogam.errors import InvalidRequestError
from ogam.extras import needs
from ogam.media import files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENDINGS = (".png", ".svg", ".pdf")
# More labels than these cover each other at this size of picture.
_MOST_LABELS = 150
_LABEL_LENGTH = 40
# Widespread fonts with Hangul, kana and Han, by system: Linux, Windows, macOS.
_WIDE_FONTS = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "NanumBarunGothic",
    "Baekmuk Gulim",
    "UnDotum",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def check(path: str) -> None:
    """Fail before the work where the map could not be drawn."""
    if Path(path).suffix.lower() not in _ENDINGS:
        raise InvalidRequestError(
            f"A map cannot be drawn to {path!r}.", hint=f"Endings: {' '.join(_ENDINGS)}."
        )
    with needs("plot"):
        import matplotlib.figure  # noqa: F401  # pyright: ignore[reportUnusedImport]


def draw_map(path: str, texts: Sequence[str], vectors: Vectors) -> list[str]:
    """Draw ``texts`` where ``vectors`` put them; return the characters that no font here has."""
    with needs("plot"):
        from matplotlib.figure import Figure
    with needs("local"):
        import numpy as np
    points, shares = principal_components(np.asarray(vectors))
    labels = [_short(text) for text in texts[:_MOST_LABELS]]
    families, missing = _fonts(set("".join(labels)))
    figure: Any = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=24, color="#0072b2")
    # zip: the labels may be fewer than the points
    for label, (x, y) in zip(labels, points, strict=False):
        axes.annotate(
            label,
            (x, y),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=9,
            fontfamily=families,
            parse_math=False,  # a $ in a text is a $
        )
    axes.margins(0.15)
    axes.set_aspect("equal", adjustable="datalim")  # what looks near is near
    axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second component ({shares[1]:.0%})")
    with files.replacing(path) as temporary, warnings.catch_warnings():
        # What no font has is drawn as a box and reported by the return value.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(temporary, dpi=150, format=Path(path).suffix[1:].lower())
    return missing


def principal_components(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Positions, shape (count, 2), and each axis's share of the variance.

    The sign of a component is free; here its largest weight is positive, so that the same
    texts give the same map everywhere.
    """
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    count = min(2, len(strengths))
    signs = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    positions = np.zeros((len(vectors), 2), np.float32)
    positions[:, :count] = left[:, :count] * strengths[:count] * np.where(signs == 0, 1, signs)
    whole = float((strengths**2).sum()) or 1.0
    shares = [float(one**2) / whole for one in strengths[:2]] + [0.0, 0.0]
    return positions, (shares[0], shares[1])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LABEL_LENGTH else f"{line[: _LABEL_LENGTH - 1]}…"


def _fonts(characters: set[str]) -> tuple[list[str], list[str]]:
    """Font families for ``characters``, and those characters that none of them has."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    library: Any = font_manager
    installed = {font.name: font.fname for font in library.fontManager.ttflist}
    families = ["DejaVu Sans"]  # comes with matplotlib
    left = {one for one in characters if unicodedata.category(one)[0] not in "ZC"}
    left -= _glyphs(FT2Font(installed["DejaVu Sans"]))
    for name in _WIDE_FONTS:
        if left and name in installed:
            has = _glyphs(FT2Font(installed[name])) & left
            if has:
                families.append(name)
                left -= has
    return families, sorted(left)


def _glyphs(font: Any) -> set[str]:
    return {chr(code) for code in font.get_charmap()}
