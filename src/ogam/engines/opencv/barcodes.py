"""Bar codes and QR codes: zxing-cpp reads, OpenCV finds the ones that are hard to read.

Knows no engine. OpenCV alone reads only QR, EAN and UPC, and 15 of 22 spoilt pictures of one
QR code where zxing-cpp reads 17; but it finds the place of slanted and badly lit codes, which
then are straightened and read again: 20 (benchmarks/vision.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

from ogam.capabilities.base import checkpoint
from ogam.capabilities.vision import Barcode, Polygon
from ogam.engines.opencv.boxes import fit, inside
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    import zxingcpp
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Corners = NDArray[np.float32]

# zxing-cpp's names -> ZXing's (com.google.zxing.BarcodeFormat); variants fold into their kind.
_NAMES = {
    "Aztec": "AZTEC",
    "AztecCode": "AZTEC",
    "AztecRune": "AZTEC",
    "Codabar": "CODABAR",
    "Code32": "CODE_39",
    "Code39": "CODE_39",
    "Code39Ext": "CODE_39",
    "Code39Std": "CODE_39",
    "Code93": "CODE_93",
    "Code128": "CODE_128",
    "CompactPDF417": "PDF_417",
    "DataBar": "RSS_14",
    "DataBarExp": "RSS_EXPANDED",
    "DataBarExpStk": "RSS_EXPANDED",
    "DataBarLtd": "RSS_LIMITED",
    "DataBarOmni": "RSS_14",
    "DataBarStk": "RSS_14",
    "DataBarStkOmni": "RSS_14",
    "DataMatrix": "DATA_MATRIX",
    "EAN8": "EAN_8",
    "EAN13": "EAN_13",
    "ISBN": "EAN_13",
    "ITF": "ITF",
    "ITF14": "ITF",
    "MaxiCode": "MAXICODE",
    "MicroPDF417": "MICRO_PDF_417",
    "MicroQRCode": "MICRO_QR_CODE",
    "PDF417": "PDF_417",
    "PZN": "CODE_39",
    "QRCode": "QR_CODE",
    "QRCodeModel1": "QR_CODE",
    "QRCodeModel2": "QR_CODE",
    "RMQRCode": "RM_QR_CODE",
    "UPCA": "UPC_A",
    "UPCE": "UPC_E",
}
# Whole pictures are read at up to this size; regions are cut from the full picture.
_LONGEST = 3000
# OpenCV's finders see bars best when a code is some hundred pixels wide.
_FINDER_LONGEST = 1000
# A straightened code has at least four pixels to a module of all but the largest QR codes.
_PATCH = 640
# An upscaled whole picture stays below this side: a look costs 30 ms a megapixel.
_UPSCALED = 1200


# Formats without a check digit are believed at the first look only: a slanted Code 128
# reads as a short ITF once it is straightened the wrong way.
_UNCHECKED = frozenset({"ITF", "CODABAR"})
_MATRIX = frozenset({"AZTEC", "DATA_MATRIX", "MAXICODE", "MICRO_QR_CODE", "QR_CODE", "RM_QR_CODE"})
# Bars that are lower than this share of their length were read along one line only. An EAN
# code is 0.73 as high as it is long (22.85 mm by 31.35 mm, GS1 General Specifications).
_THIN, _EAN_HEIGHT = 0.1, 0.75


class _Code(NamedTuple):
    format: str
    text: str
    corners: Corners

    @property
    def middle(self) -> tuple[float, float]:
        return _middle(self.corners)


def read(grey: Grey, most: int) -> tuple[Barcode, ...]:
    """The codes in a picture of shape (height, width), top to bottom, at most ``most``."""
    height, width = grey.shape
    small, factor = fit(grey, _LONGEST)
    codes: list[_Code] = []
    for code in _look(small):
        _add(codes, _back(code, factor))
    _look_at_regions(grey, codes)
    if not codes:
        # Only then: more looks at every picture would cost more than they find.
        _look_harder(grey, codes)
    codes.sort(key=lambda code: (code.corners[:, 1].min(), code.corners[:, 0].min()))
    return tuple(
        Barcode(
            format=code.format,
            text=code.text,
            polygon=Polygon(
                points=tuple(inside(x, y, width, height) for x, y in _clockwise(code.corners))
            ),
        )
        for code in codes[:most]
    )


def _look(grey: Grey, *, one_level: bool = False) -> list[_Code]:
    """What zxing-cpp reads. ``one_level``: one threshold for all, not one for each place."""
    with needs("local"):
        import numpy as np
        import zxingcpp

    checkpoint()
    kind = zxingcpp.Binarizer.GlobalHistogram if one_level else zxingcpp.Binarizer.LocalAverage
    codes: list[_Code] = []
    for found in zxingcpp.read_barcodes(
        np.ascontiguousarray(grey), text_mode=zxingcpp.TextMode.Plain, binarizer=kind
    ):
        name = _NAMES.get(found.format.name)
        # What has no name here (film edges, price add-ons) is no code of its own.
        if name is None:
            continue
        text = _text(found)
        if name == "EAN_13" and text.startswith("0"):
            # The same bars: UPC-A is EAN-13 with a leading zero, and ZXing says UPC-A.
            name, text = "UPC_A", text[1:]
        at = found.position
        corners = [at.top_left, at.top_right, at.bottom_right, at.bottom_left]
        codes.append(_Code(name, text, np.array([(p.x, p.y) for p in corners], dtype=np.float32)))
    return codes


def _text(found: zxingcpp.Barcode) -> str:
    """The payload as printed; bytes that are no text in any charset one by one as Latin-1."""
    from zxingcpp import ContentType

    extra = found.extra
    if isinstance(extra, dict) and "UPCE" in extra:
        # zxing-cpp gives the number that the eight digits stand for.
        return str(cast("dict[str, object]", extra)["UPCE"])
    bare = (ContentType.Binary, ContentType.UnknownECI)
    try:
        # Marked as binary, or in a charset nobody knows: most such codes are UTF-8 all the same.
        return found.bytes.decode() if found.content_type in bare else found.text
    except UnicodeError:
        return found.bytes.decode("latin-1")


def _look_at_regions(grey: Grey, codes: list[_Code]) -> None:
    """Straighten each place where OpenCV sees an unread code, read it there and add it."""
    import cv2

    for place in _places(grey):
        here = [
            number
            for number, code in enumerate(codes)
            if cv2.pointPolygonTest(place, code.middle, False) >= 0
            or cv2.pointPolygonTest(code.corners, _middle(place), False) >= 0
        ]
        for number in here:
            codes[number] = _thick(codes[number], place)
        if here:
            continue
        patch, home = _straight(grey, place)
        for view in _views(patch):
            found = [c for c in _look(view, one_level=view is not patch) if _checked(c)]
            for code in found:
                corners = cast("Corners", cv2.perspectiveTransform(code.corners[None], home)[0])
                _add(codes, _thick(code._replace(corners=corners), place))
            if found:
                break


def _places(grey: Grey) -> list[Corners]:
    """Where OpenCV sees QR codes and bars: four corners each, in pixels of ``grey``."""
    with needs("local"):
        import cv2
        import numpy as np

    small, factor = fit(grey, _FINDER_LONGEST, 200)
    places: list[Corners] = []
    for finder in (cv2.QRCodeDetector(), cv2.barcode.BarcodeDetector()):
        checkpoint()
        try:
            seen, corners = finder.detectMulti(small)
        except cv2.error:  # some degenerate pictures trip the finders' own assertions
            continue
        if seen:
            found = np.asarray(corners, dtype=np.float32).reshape(-1, 4, 2)[:16]
            places += [place * np.float32(factor) for place in found]
    return places


def _thick(code: _Code, place: Corners) -> _Code:
    """A code read along one line gets the bars' whole height, as OpenCV sees it."""
    import numpy as np

    if code.format in _MATRIX:
        return code
    long = float(np.linalg.norm(code.corners[1] - code.corners[0]))
    high = float(np.linalg.norm(code.corners[3] - code.corners[0]))
    if high > _THIN * long:
        return code
    # Of the four ways round, the one whose corners are nearest to the code's own.
    ways = [np.roll(way, turn, axis=0) for way in (place, place[::-1]) for turn in range(4)]
    return code._replace(
        corners=min(ways, key=lambda way: float(np.linalg.norm(way - code.corners, axis=1).sum()))
    )


def _straight(grey: Grey, place: Corners) -> tuple[Grey, Grey]:
    """A patch with the quadrilateral ``place`` upright in it, and the matrix that leads back."""
    import cv2
    import numpy as np

    wide = max(np.linalg.norm(place[1] - place[0]), np.linalg.norm(place[2] - place[3]), 1.0)
    high = max(np.linalg.norm(place[3] - place[0]), np.linalg.norm(place[2] - place[1]), 1.0)
    scale = _PATCH / max(wide, high)
    width, height = max(int(wide * scale), 8), max(int(high * scale), 8)
    # The quiet zone, and what the finder cut off: bars are found short of their ends.
    edge = _PATCH // 5
    ends = [[0, 0], [width, 0], [width, height], [0, height]]
    goal = np.array(ends, dtype=np.float32) + np.float32(edge)
    to_patch = cv2.getPerspectiveTransform(place, goal)
    size = (width + 2 * edge, height + 2 * edge)
    patch = cv2.warpPerspective(
        grey, to_patch, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return patch, np.linalg.pinv(to_patch)  # pyright: ignore[reportReturnType]


def _views(grey: Grey) -> Iterator[Grey]:
    """The same picture: as it is, evenly lit, with dark and light exchanged, without specks."""
    import cv2

    yield grey
    even = _evenly_lit(grey)
    yield even
    # zxing-cpp turns matrix codes from light on dark by itself, but no bars.
    yield 255 - even  # pyright: ignore[reportReturnType]
    yield cv2.medianBlur(grey, 5)  # pyright: ignore[reportReturnType]


def _evenly_lit(grey: Grey) -> Grey:
    """Divided by its own brightest surroundings, so that a shadow across bars is gone."""
    import cv2
    import numpy as np

    # Light changes slowly, so a thumbnail knows it: the same at full size takes ten times as long.
    height, width = grey.shape
    small, _ = fit(grey, 64)
    light = cv2.GaussianBlur(cv2.dilate(small, np.ones((7, 7), np.uint8)), (0, 0), 3)
    return cast("Grey", cv2.divide(grey, cv2.resize(light, (width, height)), scale=255))


def _look_harder(grey: Grey, codes: list[_Code]) -> None:
    """The whole picture again, until something is found: larger, then in the other views."""
    import cv2

    small, factor = fit(grey, _UPSCALED)
    if max(small.shape) * 3 <= _UPSCALED * 2:
        ratio = min(3.0, _UPSCALED / max(small.shape))
        size = (round(small.shape[1] * ratio), round(small.shape[0] * ratio))
        large = cast("Grey", cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
        for code in filter(_checked, _look(large)):
            _add(codes, _back(code, factor / ratio))
    for view in _views(small):
        if codes:
            return
        for code in filter(_checked, _look(view, one_level=True)):
            _add(codes, _back(code, factor))


def _checked(code: _Code) -> bool:
    return code.format not in _UNCHECKED


def _back(code: _Code, factor: float) -> _Code:
    return code._replace(corners=code.corners * factor)


def _middle(corners: Corners) -> tuple[float, float]:
    x, y = corners.mean(axis=0)
    return float(x), float(y)


def _add(codes: list[_Code], found: _Code) -> None:
    """Add what is new: the same text at the same place is the same code.

    Two lines across the same bars may be read as two codes; they lie less than the bars'
    height apart.
    """
    reach = 0.5 if found.format in _MATRIX else _EAN_HEIGHT
    for code in codes:
        if (code.format, code.text) == (found.format, found.text):
            size = float((code.corners.max(axis=0) - code.corners.min(axis=0)).max())
            if math.dist(code.middle, found.middle) <= reach * size + 2:
                return
    codes.append(found)


def _clockwise(corners: Corners) -> list[tuple[float, float]]:
    """The corners clockwise; a mirrored code's run the other way round."""
    points = [(float(x), float(y)) for x, y in corners]
    turns = zip(points, points[1:] + points[:1], strict=True)
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in turns)
    # The y axis points down, so a positive area is clockwise to the eye.
    return points if area >= 0 else [points[0], *reversed(points[1:])]
