"""Text in pictures: PP-OCR's detector, classifier and recogniser, as RapidOCR ships them.

The three models lie in the rapidocr wheel; nothing is downloaded. Knows how to turn a
picture into lines; the page is made of them in :mod:`.layout`.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.vision import Feature, SeeRequest, SeeResult
from ogam.engines.rapidocr.layout import Char, Line, Turn, document
from ogam.errors import EngineError, UnknownModelError
from ogam.extras import needs
from ogam.media import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Quad = NDArray[np.float32]

_FEATURES: tuple[Feature, ...] = ("text", "document_text")
# The names of the bundled files in rapidocr 3.10; other releases bundle other models.
_BUNDLED = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_REINSTALL = "Run: pip install --force-reinstall 'rapidocr>=3.10,<3.11'"
# For one page; a page must not starve what else runs.
_THREADS = 4
# Pages at once. One of 2000 x 1400 pixels took the process to a peak of 808 MB.
_AT_ONCE = 2
# RapidOCR makes small pictures larger until their short side has 736. So do we where the long
# side then stays within 2400, which keeps every character that RapidOCR finds; past that it
# finds nothing in a picture of one tight line, and takes 1.5 s for 600 x 160 pixels. There
# the long side stays within 1280, and the zoom within three.
_SHORT_SIDE, _OWN_SIDE, _LONG_SIDE, _MOST_ZOOM = 736, 2400, 1280, 3.0
# Large ones are detected at this long side; the recogniser still gets the full resolution.
_LARGEST_SIDE = 2000
# Heights of text in the detector's pixels: too large, good to read, the least it finds.
_LARGE_TEXT, _GOOD_TEXT, _LEAST_TEXT = 160.0, 60.0, 12.0
# Space around the picture, or letters that touch its edge are not found.
_MARGIN = 32
# A line with a lower mean probability is no text (RapidOCR's own value).
_LEAST_CONFIDENCE = 0.5
_SURE_UPSIDE_DOWN = 0.9
_BATCH = 6
# As wide a strip as the recogniser was trained on, 320 x 48.
_LEAST_RATIO = 320 / 48
# Some 200 letters; a longer strip is squeezed, for memory grows with the square of it.
_MOST_RATIO = 100.0
# Height / width: from 1.5 (RapidOCR's own value) a box may hold a line turned by 90 degrees,
# from 3 it can be no single letter.
_TALL, _ONE_LETTER = 1.5, 3.0


class _Reading(NamedTuple):
    """What the recogniser saw in one strip."""

    chars: tuple[Char, ...]
    confidence: float


class RapidOcrEngine:
    """Reads Chinese, Japanese, English and the other languages in Latin letters."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"see"})
    features: ClassVar[frozenset[Feature]] = frozenset(_FEATURES)
    requires: ClassVar[tuple[str, ...]] = ("rapidocr", "onnxruntime", "cv2", "numpy", "PIL")
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef) -> None:
        if ref.model and ref.folder is None:
            raise UnknownModelError(
                f"{ref.engine} has no model {ref.model!r}.", hint=f"Ask for {ref.engine!r}."
            )
        self._ref = ref
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._reader: _Reader | None = None

    def close(self) -> None:
        """Drop the models."""
        self._reader = None

    def see(self, request: SeeRequest) -> SeeResult:
        """Read the text; ``document`` is None where there is none.

        Raises InvalidMediaError for a damaged picture, EngineError when a model is missing
        or fails.
        """
        features = tuple(dict.fromkeys(request.features)) or _FEATURES
        with needs("local"):
            pixels = _pixels(request.image)
        reader = self._load()
        with self._slots:
            checkpoint()
            try:
                lines, turn = reader.read(pixels)
            except Exception as error:
                raise EngineError(
                    f"The OCR models failed on this picture: {type(error).__name__}.",
                    hint=f"Are they intact? {_REINSTALL}",
                ) from error
        found = document(lines, turn, request.languages)
        return SeeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(image_features=len(features)),
            image=request.image,
            features=features,
            document=found if found.text else None,
        )

    def _load(self) -> _Reader:
        with self._lock:
            if self._reader is None:
                self._reader = _Reader(self._ref.folder)
            return self._reader


class _Reader:
    """The three models. They keep nothing between calls, so threads share them."""

    def __init__(self, folder: Path | None) -> None:
        with needs("local"):
            import rapidocr
            from rapidocr import RapidOCR
        bundled = Path(rapidocr.__file__).parent / "models"
        params: dict[str, Any] = {
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": min(_THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # The picture comes in at its final size; the detector only rounds it.
            "Det.limit_type": "max",
            "Det.limit_side_len": 1_000_000,
        }
        paths = {
            f"{part}.model_path": str(_model_file(part, folder) or bundled / name)
            for part, name in _BUNDLED.items()
        }
        params |= paths
        missing = [path for path in paths.values() if not os.path.exists(path)]
        if missing:
            raise EngineError(
                f"The OCR model {os.path.basename(missing[0])} is missing.",
                hint=_REINSTALL,
            )
        # The parts one by one, not RapidOCR as a whole: so the page's turn is known before its
        # lines are read, and every character's column and probability after.
        with _quiet("RapidOCR"):
            try:
                parts = RapidOCR(params=params)
                self._detector = parts._load_det_model()  # pyright: ignore[reportPrivateUsage]
                # The same network, at the scale that RapidOCR would choose.
                self._own_detector = copy.copy(self._detector)
                self._own_detector.limit_type = "min"
                self._own_detector.limit_side_len = _SHORT_SIDE
                self._classifier = parts._load_cls_model()  # pyright: ignore[reportPrivateUsage]
                self._recognizer = parts._load_rec_model()  # pyright: ignore[reportPrivateUsage]
            except Exception as error:
                names = ", ".join(os.path.basename(path) for path in paths.values())
                raise EngineError(
                    f"An OCR model cannot be loaded (of {names}): {type(error).__name__}.",
                    hint="Each must be a PP-OCR model in ONNX, with its characters inside.",
                ) from error
        self._alphabet: list[str] = self._recognizer.postprocess_op.character

    def read(self, picture: Pixels) -> tuple[list[Line], Turn]:
        """The lines of a BGR picture (height, width, 3), and how its page is turned."""
        import numpy as np

        height, width = picture.shape[:2]
        quarters, page, quads = 0, picture, self._detect(picture)
        if _is_sideways(quads):
            checkpoint()
            quarters, page = 1, np.ascontiguousarray(np.rot90(picture))
            quads = self._detect(page)
        if not quads:
            return [], Turn(0, width, height)
        flips = self._flips([_strip(page, _level(quad)) for quad in quads])
        if self._is_upside_down(page, quads, flips):
            quarters, page = quarters + 2, np.ascontiguousarray(page[::-1, ::-1])
            corner = np.array([page.shape[1], page.shape[0]], np.float32)
            quads = [(corner - quad)[[2, 3, 0, 1]] for quad in quads]
            flips = [1 - flip for flip in flips]
        return self._lines(page, quads, flips), Turn(quarters, width, height)

    def _detect(self, page: Pixels) -> list[Quad]:
        """Corners of the lines in ``page``, clockwise from the top left."""
        short, long = sorted(page.shape[:2])
        zoom = max(1.0, _SHORT_SIDE / short)
        if long * zoom <= min(_OWN_SIDE, _LARGEST_SIDE * zoom):
            quads = _quads(self._own_detector(page).boxes)
            heights = sorted(min(_sides(quad)) * zoom for quad in quads)
            if heights and heights[len(heights) // 2] <= _LARGE_TEXT:
                return quads
        zoom = min(max(1.0, min(_SHORT_SIDE / short, _LONG_SIDE / long)), _MOST_ZOOM)
        zoom = min(zoom, _LARGEST_SIDE / long)
        quads = self._detect_at(page, zoom)
        heights = sorted(min(_sides(quad)) * zoom for quad in quads)
        # Letters larger than the detector sees at once fall apart; from afar they are whole.
        if heights and (usual := heights[len(heights) // 2]) > _LARGE_TEXT:
            smaller = _GOOD_TEXT / usual
            if heights[0] * smaller >= _LEAST_TEXT:
                quads = self._detect_at(page, zoom * smaller) or quads
        return quads

    def _detect_at(self, page: Pixels, zoom: float) -> list[Quad]:
        import cv2
        import numpy as np

        height, width = page.shape[:2]
        if zoom != 1:
            size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
            kind = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
            page = np.asarray(cv2.resize(page, size, interpolation=kind), np.uint8)
        # The network takes multiples of 32; filled up, the picture is not distorted.
        below, right = (_MARGIN + -(side + 2 * _MARGIN) % 32 for side in page.shape[:2])
        edges = (_MARGIN, below, _MARGIN, right)
        found = self._detector(cv2.copyMakeBorder(page, *edges, cv2.BORDER_REPLICATE))
        scale = np.array([width / page.shape[1], height / page.shape[0]], np.float32)
        limit = np.array([width, height], np.float32)
        return _quads(found.boxes, lambda quad: np.clip((quad - _MARGIN) * scale, 0, limit))

    def _flips(self, strips: list[Pixels]) -> list[float]:
        """For each strip the probability that it stands on its head."""
        said: list[tuple[str, float]] = []
        for start in range(0, len(strips), _BATCH):
            checkpoint()
            said.extend(self._classifier(strips[start : start + _BATCH]).cls_res or [])
        return [float(score if label == "180" else 1 - score) for label, score in said]

    def _is_upside_down(self, page: Pixels, quads: list[Quad], flips: list[float]) -> bool:
        """The classifier's vote, by length; its longest lines are read both ways to be sure."""
        ranked = sorted(zip((max(_sides(quad)) for quad in quads), flips, strict=True))
        if 2 * sum(size for size, flip in ranked if flip > 0.5) <= sum(size for size, _ in ranked):
            return False
        longest = sorted(quads, key=lambda quad: max(_sides(quad)))[-3:]
        strips = [_strip(page, _level(quad)) for quad in longest]
        as_is = self._recognize(strips)
        turned = self._recognize([strip[::-1, ::-1] for strip in strips])
        return sum(r.confidence for r in turned) > sum(r.confidence for r in as_is)

    def _lines(self, page: Pixels, quads: list[Quad], flips: list[float]) -> list[Line]:
        """The best reading of each quad, where there is one."""
        first: list[tuple[int, Quad, float]] = []
        more: list[tuple[int, Quad, float]] = []
        for index, (quad, flip) in enumerate(zip(quads, flips, strict=True)):
            width, height = _sides(quad)
            turned = 1 if height >= _TALL * width else 0
            first.append((index, _rolled(quad, turned), 0.0))
            if flip > _SURE_UPSIDE_DOWN:
                more.append((index, _rolled(quad, turned + 2), 0.0))
            if turned and height < _ONE_LETTER * width:
                # A lone 1 or I is as tall as a line turned by 90 degrees, and lying down it
                # passes for a dash or the Chinese one: standing is the better guess.
                more.append((index, quad, 0.3))
        # Apart: how wide a batch is padded changes what is read at the edge of legibility, and
        # these batches are then RapidOCR's own.
        readings = [
            reading
            for tries in (first, more)
            for reading in self._recognize([_strip(page, quad) for _, quad, _ in tries])
        ]
        best: dict[int, tuple[float, Line]] = {}
        for (index, quad, bonus), reading in zip([*first, *more], readings, strict=True):
            if not reading.chars or reading.confidence < _LEAST_CONFIDENCE:
                continue
            rank = reading.confidence + bonus
            if index not in best or rank > best[index][0]:
                corners = [(float(x), float(y)) for x, y in quad]
                line = Line((corners[0], corners[1], corners[2], corners[3]), reading.chars)
                best[index] = rank, line
        return [line for _, line in best.values()]

    def _recognize(self, strips: list[Pixels]) -> list[_Reading]:
        import numpy as np

        order = sorted(range(len(strips)), key=lambda i: strips[i].shape[1] / strips[i].shape[0])
        readings = [_Reading((), 0.0)] * len(strips)
        for start in range(0, len(order), _BATCH):
            checkpoint()
            chosen = order[start : start + _BATCH]
            ratios = [strips[i].shape[1] / strips[i].shape[0] for i in chosen]
            widest = min(max(_LEAST_RATIO, *ratios), _MOST_RATIO)
            batch = [self._recognizer.resize_norm_img(strips[i], widest) for i in chosen]
            output = np.asarray(self._recognizer.session(np.stack(batch)), np.float32)
            for place, (i, ratio) in enumerate(zip(chosen, ratios, strict=True)):
                readings[i] = _decode(output[place], self._alphabet, min(ratio / widest, 1))
        return readings


def _decode(probabilities: NDArray[np.float32], alphabet: list[str], share: float) -> _Reading:
    """Characters from connectionist temporal classification, shape (columns, alphabet).

    ``share`` is how much of the columns the strip fills; the rest is padding. A character
    stands at the column where it is first seen, and reaches half way to its neighbours.
    """
    best = probabilities.argmax(axis=1)
    columns = [
        column
        for column, index in enumerate(best)
        if index != 0 and (column == 0 or index != best[column - 1])
    ]
    if not columns:
        return _Reading((), 0.0)
    filled = len(best) * share
    centres = [min((column + 0.5) / filled, 1.0) for column in columns]
    edges = [(a + b) / 2 for a, b in pairwise(centres)]
    first = max(0.0, 2 * centres[0] - edges[0]) if edges else 0.0
    last = min(1.0, 2 * centres[-1] - edges[-1]) if edges else 1.0
    bounds = [first, *edges, last]
    sure = [float(probabilities[column, best[column]]) for column in columns]
    chars = tuple(
        Char(alphabet[best[column]], bounds[n], bounds[n + 1], min(max(sure[n], 0.0), 1.0))
        for n, column in enumerate(columns)
    )
    return _Reading(chars, sum(sure) / len(sure))


def _quads(boxes: Any, place: Callable[[Quad], Quad] = lambda quad: quad) -> list[Quad]:
    """The detector's boxes, each put in its ``place``; what is thinner than 2 pixels is none."""
    import numpy as np

    quads = [place(np.asarray(box, np.float32)) for box in (() if boxes is None else boxes)]
    return [quad for quad in quads if min(_sides(quad)) >= 2]


def _sides(quad: Quad) -> tuple[float, float]:
    """(width, height): the longer of each pair of opposite sides."""
    import numpy as np

    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    return float(max(sides[0], sides[2])), float(max(sides[1], sides[3]))


def _rolled(quad: Quad, quarters: int) -> Quad:
    """The quad of the same place whose text runs ``quarters`` x 90 degrees further clockwise."""
    import numpy as np

    return np.roll(quad, -quarters, axis=0)


def _level(quad: Quad) -> Quad:
    """The quad read along its long side."""
    width, height = _sides(quad)
    return _rolled(quad, 1 if height >= _TALL * width else 0)


def _is_sideways(quads: list[Quad]) -> bool:
    """Whether most of the text, by length, runs up or down the picture."""
    down = across = 0.0
    for quad in quads:
        width, height = _sides(quad)
        # Less tall, and it may be a lone upright 1 or I.
        if height >= _ONE_LETTER * width:
            down += height
        elif width >= _TALL * height:
            across += width
    return down > across


def _strip(page: Pixels, quad: Quad) -> Pixels:
    """The quad cut out and laid straight, at its own size.

    Enlarging small ones here, with a better filter than the recogniser's own linear one,
    turned punctuation into look-alikes on three of RapidOCR's test pictures.
    """
    import cv2
    import numpy as np

    width, height = _sides(quad)
    w, h = max(1, int(width)), max(1, int(height))
    to = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.ascontiguousarray(quad, np.float32), to)
    strip = cv2.warpPerspective(
        page, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(strip, np.uint8)


def _pixels(image: Image) -> Pixels:
    """BGR; what is transparent gets the ground that the visible part stands out from most.

    White, black and grey are tried: text of one colour needs its opposite, a picture with
    black and white text needs grey.
    """
    import numpy as np

    if not image.has_alpha:
        return np.ascontiguousarray(image.pixels("RGB")[..., ::-1])
    rgba = image.pixels("RGBA").astype(np.float32)
    colors, alpha = rgba[..., :3], rgba[..., 3:] / 255
    seen = (colors @ np.array([0.299, 0.587, 0.114], np.float32))[alpha[..., 0] > 0.5]
    ground = 255.0
    if seen.size:
        ground = max((255.0, 0.0, 128.0), key=lambda g: float(np.percentile(abs(seen - g), 5)))
    blended = colors * alpha + ground * (1 - alpha)
    return np.ascontiguousarray(blended[..., ::-1].round().astype(np.uint8))


def _model_file(part: str, folder: Path | None) -> Path | None:
    """The ONNX file in ``folder`` with det, cls or rec in its name, used instead of ours."""
    if folder is None:
        return None
    return next(iter(sorted(folder.glob(f"*{part.lower()}*.onnx"))), None)


@contextmanager
def _quiet(name: str) -> Generator[None]:
    """Hold a logger back, and leave it as it was: the program may use the library itself."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
