"""Boxes found in a resized picture, and their way back to the picture itself.

Knows no detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ogam.capabilities.vision import Point, Polygon

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]


class Box(NamedTuple):
    """An upright rectangle in pixels; (0, 0) is the top left corner of the picture."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """In square pixels."""
        return self.width * self.height

    def scaled(self, factor: float) -> Box:
        """All four numbers times ``factor``."""
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def moved(self, right: float, down: float) -> Box:
        """The same box elsewhere."""
        return Box(self.x + right, self.y + down, self.width, self.height)

    def grown(self, share: float) -> Box:
        """Wider and higher by ``share`` of its sides on each of the four sides."""
        right, down = self.width * share, self.height * share
        return Box(self.x - right, self.y - down, self.width + 2 * right, self.height + 2 * down)

    def clipped(self, width: float, height: float) -> Box:
        """The part that lies in a picture of that size."""
        left, top = min(max(self.x, 0.0), width), min(max(self.y, 0.0), height)
        right = min(max(self.x + self.width, left), width)
        bottom = min(max(self.y + self.height, top), height)
        return Box(left, top, right - left, bottom - top)

    def shared(self, other: Box) -> float:
        """The area both cover, in square pixels."""
        wide = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        high = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(wide, 0.0) * max(high, 0.0)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        shared = self.shared(other)
        return shared / (self.area + other.area - shared) if shared else 0.0


class Found(NamedTuple):
    """A box, how sure its detector is (0 to 1), and which one it was."""

    box: Box
    score: float
    kind: str = ""


def strongest(found: Sequence[Found], overlap: float = 0.3) -> list[Found]:
    """Non-maximum suppression: of boxes that overlap, or lie in one another, the surest.

    Sorted by score, then by place, so that the order never depends on thread timing.
    """
    kept: list[Found] = []
    for item in sorted(found, key=lambda item: (-item.score, item.box)):
        small = item.box.area
        if all(
            item.box.overlap(other.box) <= overlap
            and item.box.shared(other.box) <= 0.6 * min(small, other.box.area)
            for other in kept
        ):
            kept.append(item)
    return kept


def fit(grey: Grey, longest: int, least: int = 0) -> tuple[Grey, float]:
    """``grey`` with a long side of at most ``longest`` and at least ``least`` pixels.

    Returns it with the factor that leads back: place in it x factor = place in the picture.
    """
    import cv2

    height, width = grey.shape[:2]
    side = max(height, width)
    factor = longest / side if side > longest else max(least / side, 1.0)
    if factor == 1.0:
        return grey, 1.0
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(grey, size, interpolation=how), 1 / factor  # pyright: ignore[reportReturnType]


def polygon(box: Box, width: int, height: int) -> Polygon:
    """The part of ``box`` inside the picture, as a polygon."""
    return Polygon.box(*box.clipped(width, height))


def inside(x: float, y: float, width: int, height: int) -> Point:
    """The point of the picture nearest to (x, y)."""
    return Point(x=min(max(float(x), 0.0), width), y=min(max(float(y), 0.0), height))
