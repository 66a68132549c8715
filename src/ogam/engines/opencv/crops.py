"""Where to crop: the window of a given shape that keeps most of what draws the eye.

Knows no engine and no face detector; it is told where the faces are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ogam.capabilities.base import checkpoint
from ogam.capabilities.vision import CropHint
from ogam.engines.opencv.boxes import Box, fit, polygon
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Hou and Zhang (CVPR 2007) work at 64 pixels: a larger map follows texture, not things.
_SIDE = 64
# All faces together weigh as much as all the rest of the picture.
_FACES = 1.0
# Sizes tried where no shape was asked for, as shares of the sides.
_SIZES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)


def hints(
    grey: NDArray[np.uint8], faces: Sequence[Box], ratios: Sequence[float], most: int
) -> tuple[CropHint, ...]:
    """One hint for each of ``ratios`` (width / height), in their order, at most ``most``.

    Each is the largest window of that shape, in whole pixels, so its sides hold the ratio
    within a pixel. Without ratios, one hint: the picture's own shape, at the size whose share
    of what matters exceeds its share of the area by most.

    ``importance`` is the share of saliency inside. ``confidence``: of what the best place can
    save over the worst one of the same size, the share that is saved; 0 where every place is
    as good, 1 where nothing that matters is cut off.
    """
    height, width = grey.shape
    table = _table(_saliency(grey, faces))
    if ratios:
        sizes = [_largest(width, height, ratio) for ratio in ratios[:most]]
        return tuple(_hint(table, width, height, *size)[0] for size in sizes)
    if most < 1:
        return ()
    best, won = None, -1.0
    for size in _SIZES:
        hint, kept = _hint(
            table, width, height, max(round(width * size), 1), max(round(height * size), 1)
        )
        # Two percent more than a larger window, or the larger one stays.
        if best is None or kept - size * size > won + 0.02:
            best, won = hint, kept - size * size
    return (best,) if best else ()


def _largest(width: int, height: int, ratio: float) -> tuple[int, int]:
    """The largest (width, height) of that shape in the picture, at least one pixel a side."""
    if width > height * ratio:
        return min(max(round(height * ratio), 1), width), height
    return width, min(max(round(width / ratio), 1), height)


def _hint(
    table: NDArray[np.float64], width: int, height: int, wide: int, high: int
) -> tuple[CropHint, float]:
    """The best place for a window of ``wide`` x ``high`` pixels, and the share it keeps."""
    import numpy as np

    checkpoint()
    # Every place at the map's resolution, in pixels of the picture; the ends are exact.
    lefts = np.linspace(0, width - wide, min(width - wide, 2 * _SIDE) + 1)
    tops = np.linspace(0, height - high, min(height - high, 2 * _SIDE) + 1)
    kept = (
        _at(table, lefts + wide, tops + high, width, height)
        - _at(table, lefts, tops + high, width, height)
        - _at(table, lefts + wide, tops, width, height)
        + _at(table, lefts, tops, width, height)
    )
    # Among equals, the one nearest to the middle: a plain picture is cropped in its centre.
    middle = np.abs(tops - (height - high) / 2)[:, None] / height
    middle = middle + np.abs(lefts - (width - wide) / 2)[None] / width
    row, column = np.unravel_index(int(np.argmax(kept - 1e-6 * middle)), kept.shape)
    share = min(max(float(kept[row, column]), 0.0), 1.0)
    worst = min(max(float(kept.min()), 0.0), 1.0)
    confidence = 1.0 if worst > 1 - 1e-9 else max(share - worst, 0.0) / (1 - worst)
    box = Box(round(float(lefts[column])), round(float(tops[row])), wide, high)
    hint = CropHint(
        polygon=polygon(box, width, height),
        confidence=round(confidence, 4),
        importance=round(share, 4),
    )
    return hint, share


def _saliency(grey: NDArray[np.uint8], faces: Sequence[Box]) -> NDArray[np.float64]:
    """A map of at most 64 x 64 that sums to 1: spectral residual, edges and faces."""
    with needs("local"):
        import cv2
        import numpy as np

    small, factor = fit(grey, _SIDE)
    values = small.astype(np.float64) / 255
    # Spectral residual: what is unexpected in the spectrum's logarithm, brought back.
    spectrum = np.fft.fft2(values)
    log = np.log(np.abs(spectrum) + 1e-9)
    residual = log - cv2.blur(log, (3, 3), borderType=cv2.BORDER_REPLICATE)
    odd = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    edges = np.hypot(
        cv2.Sobel(values, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REPLICATE),
        cv2.Sobel(values, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_REPLICATE),
    )
    # A plain picture has rounding noise alone, and no part of it matters more.
    plain = float(edges.max()) < 0.02
    found = np.ones_like(values) if plain else _share(odd) + _share(edges)
    total = _share(np.asarray(cv2.GaussianBlur(found, (0, 0), 2.5), dtype=np.float64))
    if faces:
        total = _share(total + _FACES * _share(_face_map(total.shape, faces, factor)))
    return total


def _face_map(shape: tuple[int, ...], faces: Sequence[Box], factor: float) -> NDArray[np.float64]:
    import numpy as np

    marks = np.zeros(shape)
    for face in faces:
        # Hair and chin belong to a head.
        box = face.grown(0.2).scaled(1 / factor)
        top, left = max(int(box.y), 0), max(int(box.x), 0)
        marks[top : int(box.y + box.height) + 1, left : int(box.x + box.width) + 1] += 1
    return marks


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(values.sum())
    return values / total if total > 0 else values + 1 / values.size


def _table(saliency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral image: [row, column] is the sum above and left of it."""
    import numpy as np

    return np.pad(saliency.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _at(
    table: NDArray[np.float64],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    width: int,
    height: int,
) -> NDArray[np.float64]:
    """The integral image between its cells (bilinear), for each y and each x in pixels."""
    import numpy as np

    rows, columns = table.shape[0] - 1, table.shape[1] - 1
    ys, xs = ys * (rows / height), xs * (columns / width)
    top, left = np.clip(ys.astype(int), 0, rows - 1), np.clip(xs.astype(int), 0, columns - 1)
    down, right = (ys - top)[:, None], (xs - left)[None]
    upper = table[np.ix_(top, left)] * (1 - right) + table[np.ix_(top, left + 1)] * right
    lower = table[np.ix_(top + 1, left)] * (1 - right) + table[np.ix_(top + 1, left + 1)] * right
    return upper * (1 - down) + lower * down
