"""The dominant colours of a picture: k-means in CIE Lab, without chance.

Knows no engine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ogam.capabilities.vision import Color
from ogam.extras import needs
from ogam.media import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# As many as Google Vision returns.
CLUSTERS = 10
# 128 x 128 samples: a share of 10 % is met within 0.5 % (two standard errors).
_SIDE = 128
# Closer than this in Lab (CIE76), two colours are one to most eyes across a picture.
_SAME = 6.0


def dominant(image: Image, most: int) -> tuple[Color, ...]:
    """At most ``most`` colours, the highest score first.

    ``pixel_fraction`` is the share of the pixels that are not transparent. ``score`` is that
    share weighted by vividness, share x (0.3 + chroma / 100) with CIE Lab chroma, over the
    sum of all: a small red balloon before a large grey wall ranks high. Scores sum to 1.
    """
    with needs("local"):
        import cv2
        import numpy as np

    pixels = image.pixels("RGBA") if image.has_alpha else image.pixels("RGB")
    # Samples, not a scaled copy: scaling mixes colours that are not in the picture.
    rows, columns = _spread(pixels.shape[0]), _spread(pixels.shape[1])
    flat = pixels[np.ix_(rows, columns)].reshape(-1, pixels.shape[2])
    if flat.shape[1] == 4:
        flat = flat[flat[:, 3] >= 128, :3]
    if not len(flat):
        return ()
    scaled = np.ascontiguousarray(flat[None], dtype=np.float32) / np.float32(255)
    lab = cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab)[0]
    labels = _clusters(lab)  # pyright: ignore[reportArgumentType]
    counts = np.bincount(labels)
    groups = [
        (int(counts[label]) / len(labels), flat[labels == label].mean(axis=0), lab[labels == label])
        for label in range(len(counts))
        if counts[label]
    ]
    weights = [share * (0.3 + _chroma(members)) for share, _, members in groups]
    total = sum(weights)
    colors = [
        Color(
            red=round(float(mean[0])),
            green=round(float(mean[1])),
            blue=round(float(mean[2])),
            # Cut, not rounded, so that no sum exceeds 1.
            score=_cut(weight / total),
            pixel_fraction=_cut(share),
        )
        for (share, mean, _), weight in zip(groups, weights, strict=True)
    ]
    colors.sort(key=lambda color: (-color.score, -color.pixel_fraction, color.hex))
    return tuple(colors[:most])


def _spread(length: int) -> NDArray[np.int64]:
    """At most ``_SIDE`` places, evenly over ``length``."""
    import numpy as np

    count = min(_SIDE, length)
    return (np.arange(count, dtype=np.int64) * 2 + 1) * length // (2 * count)


def _clusters(lab: NDArray[np.float32]) -> NDArray[np.int64]:
    """A label for each colour. The start is the fullest cells of a grid, so nothing is random."""
    import cv2
    import numpy as np

    # Cells of 20 units: 5 of lightness, some ten of each colour axis.
    grid = np.floor(lab / 20).astype(np.int64)
    _, cell_of, counts = np.unique(grid, axis=0, return_inverse=True, return_counts=True)
    fullest = np.argsort(-counts, kind="stable")[:CLUSTERS]
    centres = np.stack([lab[cell_of.ravel() == cell].mean(axis=0) for cell in fullest])
    start = _nearest(lab, centres)
    if len(centres) > 1:
        until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
        _, raw, found = cv2.kmeans(
            np.ascontiguousarray(lab),
            len(centres),
            start.astype(np.int32).reshape(-1, 1),
            until,
            1,
            cv2.KMEANS_USE_INITIAL_LABELS,
        )
        start, centres = raw.ravel().astype(np.int64), found
    # Merge what the eye takes for one colour, into the one with the lower number.
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    return np.argmax(apart < _SAME, axis=1)[start]


def _nearest(lab: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    import numpy as np

    return np.argmin(((lab[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)


def _chroma(members: NDArray[np.float32]) -> float:
    """Distance of the mean colour from grey, about 0 to 1.3."""
    middle = members.mean(axis=0)
    return math.hypot(float(middle[1]), float(middle[2])) / 100


def _cut(value: float) -> float:
    return math.floor(value * 1e6) / 1e6
