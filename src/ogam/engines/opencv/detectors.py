"""The classifiers that ship inside OpenCV's wheel, lent to one thread at a time.

Knows no face and no person: it loads, lends and runs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ogam.capabilities.base import checkpoint
from ogam.engines.opencv.boxes import Box
from ogam.errors import EngineError
from ogam.extras import needs

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class Window(NamedTuple):
    """A place a cascade accepts. ``weight`` is how many of its windows agreed there, or the
    margin of the last stage: higher is surer, comparable within one cascade only.
    """

    box: Box
    weight: float


class Detectors:
    """One thread's set; a cascade is read from its file at first use (1 to 30 ms)."""

    def __init__(self) -> None:
        self._cascades: dict[str, cv2.CascadeClassifier] = {}
        self._people: cv2.HOGDescriptor | None = None

    def count(
        self,
        name: str,
        grey: NDArray[np.uint8],
        *,
        step: float = 1.1,
        agree: int = 3,
        smallest: int = 24,
    ) -> list[Window]:
        """Slide the cascade ``name`` over ``grey``, growing by ``step`` from ``smallest`` pixels.

        The weight is the number of windows that agreed, at least ``agree``.
        """
        checkpoint()
        boxes, counts = self._cascade(name).detectMultiScale2(
            grey, scaleFactor=step, minNeighbors=agree, minSize=(smallest, smallest)
        )
        return _windows(boxes, counts)

    def weigh(
        self,
        name: str,
        grey: NDArray[np.uint8],
        *,
        agree: int = 3,
        smallest: int = 24,
        largest: int = 0,
    ) -> list[Window]:
        """The same, weighed by the margin of the best window; twice as slow as counting."""
        checkpoint()
        # (0, 0) is OpenCV's word for no upper bound.
        boxes, _, margins = self._cascade(name).detectMultiScale3(
            grey,
            scaleFactor=1.1,
            minNeighbors=agree,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        return _windows(boxes, margins)

    def margin(self, name: str, grey: NDArray[np.uint8], place: Box) -> float:
        """What the cascade ``name`` thinks of one place: its margin, -inf where it sees nothing."""
        around = place.grown(0.35).clipped(grey.shape[1], grey.shape[0])
        left, top = int(around.x), int(around.y)
        cut = grey[top : int(around.y + around.height), left : int(around.x + around.width)]
        size = place.width
        seen = self.weigh(name, cut, smallest=int(size * 0.7), largest=int(size * 1.4))
        near = (w.weight for w in seen if w.box.moved(left, top).overlap(place) > 0.3)
        return max(near, default=-math.inf)

    def people(self, picture: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Upright walkers by HOG and its linear SVM: boxes with the SVM's margin."""
        import cv2
        import numpy as np

        checkpoint()
        if picture.shape[0] < 128 or picture.shape[1] < 64:
            return []  # OpenCV 4.14 crashes the process where its window does not fit.
        if self._people is None:
            self._people = cv2.HOGDescriptor()
            weights = np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32)
            self._people.setSVMDetector(weights)
        boxes, margins = self._people.detectMultiScale(
            picture, hitThreshold=0, winStride=(8, 8), scale=1.05
        )
        return [(window.box, window.weight) for window in _windows(boxes, margins)]

    def _cascade(self, name: str) -> cv2.CascadeClassifier:
        import cv2
        import cv2.data

        if name not in self._cascades:
            cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")
            if cascade.empty():
                raise EngineError(
                    f"This OpenCV has no cascade {name!r}.",
                    hint="Run: pip install 'opencv-python-headless>=4.10,<5'",
                )
            self._cascades[name] = cascade
        return self._cascades[name]


def _windows(boxes: ArrayLike, weights: ArrayLike) -> list[Window]:
    """OpenCV's two arrays, each an empty tuple where nothing was found, as a list."""
    import numpy as np

    places: list[list[float]] = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).tolist()
    values: list[float] = np.asarray(weights, dtype=np.float64).ravel().tolist()
    return [Window(Box(*place), value) for place, value in zip(places, values, strict=True)]


class Pool:
    """Sets of detectors; a cascade keeps state while it runs, so no two threads share one.

    As many sets exist as were in use at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Detectors] = []

    @contextmanager
    def lent(self) -> Generator[Detectors]:
        """A set for this block alone."""
        with needs("local"):
            import cv2  # noqa: F401  # pyright: ignore[reportUnusedImport]
        with self._lock:
            detectors = self._idle.pop() if self._idle else Detectors()
        try:
            yield detectors
        finally:
            with self._lock:
                self._idle.append(detectors)

    def clear(self) -> None:
        """Let go of the sets nobody uses."""
        with self._lock:
            self._idle.clear()
