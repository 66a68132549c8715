"""Bar codes and QR codes: zxing-cpp reads, OpenCV finds the ones that are hard to read.

Knows no engine. OpenCV alone reads only QR, EAN and UPC, and 12 to 15 of 23 spoilt pictures
of one QR code where zxing-cpp reads 17; but it finds the place of slanted and badly lit
codes, which then are straightened and read again (benchmarks/vision.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ogam.capabilities.base import checkpoint
from ogam.capabilities.vision import Barcode, Polygon
from ogam.engines._opencv_boxes import fit, inside
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
_UPSCALED = 2000


class _Code(NamedTuple):
    format: str
    text: str
    corners: Corners


def read(grey: Grey, most: int) -> tuple[Barcode, ...]:
    """The codes in a picture of shape (height, width), top to bottom, at most ``most``."""
    height, width = grey.shape
    small, factor = fit(grey, _LONGEST)
    codes = [_back(code, factor) for code in _look(small)]
    for found in _look_at_regions(grey, codes):
        _add(codes, found)
    if not codes:
        # Only then: four more looks at every picture would cost more than they find.
        for found in _look_harder(grey):
            _add(codes, found)
            if codes:
                break
    codes.sort(key=lambda code: (float(code.corners[:, 1].min()), float(code.corners[:, 0].min())))
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
        at = found.position
        corners = [at.top_left, at.top_right, at.bottom_right, at.bottom_left]
        codes.append(
            _Code(name, _text(found), np.array([(p.x, p.y) for p in corners], dtype=np.float32))
        )
    return codes


def _text(found: zxingcpp.Barcode) -> str:
    """The payload; bytes that are no text in any charset appear as Latin-1, one by one."""
    try:
        text = found.text
        text.encode()
    except UnicodeError:
        return found.bytes.decode("latin-1")
    return text


def _look_at_regions(grey: Grey, codes: Sequence[_Code]) -> Iterator[_Code]:
    """Straighten each place where OpenCV sees an unread code, and read it there."""
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
        if seen and corners is not None:
            places += [np.float32(place) * np.float32(factor) for place in corners[:16]]
    for place in places:
        middle = place.mean(axis=0)
        if any(
            cv2.pointPolygonTest(code.corners, (float(middle[0]), float(middle[1])), False) >= 0
            for code in codes
        ):
            continue
        patch, home = _straight(grey, place)
        for view in _views(patch):
            found = _look(view, one_level=view is not patch)
            if found:
                for code in found:
                    corners = cv2.perspectiveTransform(code.corners[None], home)[0]
                    yield code._replace(corners=corners)
                break


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
    goal = np.float32([[0, 0], [width, 0], [width, height], [0, height]]) + np.float32(edge)
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

    reach = max(min(grey.shape) // 8, 3) | 1
    light = cv2.GaussianBlur(cv2.dilate(grey, np.ones((reach, reach), np.uint8)), (0, 0), reach / 2)
    return cv2.divide(grey, light, scale=255)  # pyright: ignore[reportReturnType]


def _look_harder(grey: Grey) -> Iterator[_Code]:
    """The whole picture again: larger, then in the other views."""
    import cv2

    small, factor = fit(grey, _UPSCALED)
    if max(small.shape) * 3 <= _UPSCALED * 2:
        ratio = min(3.0, _UPSCALED / max(small.shape))
        large = cv2.resize(small, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_CUBIC)
        for code in _look(large):  # pyright: ignore[reportArgumentType]
            yield _back(code, factor / ratio)
    for number, view in enumerate(_views(small)):
        for code in _look(view, one_level=number < 3):
            yield _back(code, factor)


def _back(code: _Code, factor: float) -> _Code:
    return code._replace(corners=code.corners * factor)


def _add(codes: list[_Code], found: _Code) -> None:
    """Add what is new: the same text at the same place is the same code."""
    middle = found.corners.mean(axis=0)
    for code in codes:
        reach = float((code.corners.max(axis=0) - code.corners.min(axis=0)).max()) / 2 + 2
        near = float(abs(code.corners.mean(axis=0) - middle).max()) <= reach
        if near and (code.format, code.text) == (found.format, found.text):
            return
    codes.append(found)


def _clockwise(corners: Corners) -> list[tuple[float, float]]:
    """The corners clockwise; a mirrored code's run the other way round."""
    points = [(float(x), float(y)) for x, y in corners]
    turns = zip(points, points[1:] + points[:1], strict=True)
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in turns)
    # The y axis points down, so a positive area is clockwise to the eye.
    return points if area >= 0 else [points[0], *reversed(points[1:])]
