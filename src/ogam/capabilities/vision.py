"""see: what is in a picture. The features are Google Vision's; bar codes are ours.

Knows no detector. Coordinates are pixels of the picture as it is shown, that is after
EXIF orientation; (0, 0) is the top left corner. Polygons have four corners, clockwise
from the top left of the thing itself, so a turned word has a turned polygon.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, get_args

from ogam.capabilities.base import Answer, Request, Result, Value, check_count, check_range
from ogam.errors import InvalidRequestError
from ogam.media import Image

Feature = Literal[
    "text",
    "document_text",
    "faces",
    "objects",
    "labels",
    "image_properties",
    "crop_hints",
    "barcodes",
]
FEATURES: tuple[Feature, ...] = get_args(Feature)
Likelihood = Literal["unknown", "very_unlikely", "unlikely", "possible", "likely", "very_likely"]


class Point(Value, frozen=True, kw_only=True):
    """A pixel position; may lie between pixels."""

    x: float
    y: float


class Polygon(Value, frozen=True, kw_only=True):
    """Corners, clockwise."""

    points: tuple[Point, ...]

    @classmethod
    def box(cls, x: float, y: float, width: float, height: float) -> Polygon:
        """An upright rectangle."""
        return cls(
            points=(
                Point(x=x, y=y),
                Point(x=x + width, y=y),
                Point(x=x + width, y=y + height),
                Point(x=x, y=y + height),
            )
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)."""
        xs = [point.x for point in self.points]
        ys = [point.y for point in self.points]
        return min(xs), min(ys), max(xs), max(ys)


class SeeRequest(Request, frozen=True, kw_only=True):
    """Find ``features`` in ``image``; none means all that the engine has.

    ``languages`` are hints for text. ``max_results`` bounds each list of findings.
    ``aspect_ratios`` are width / height, for crop hints.
    """

    image: Image
    features: tuple[Feature, ...] = ()
    languages: tuple[str, ...] = ()
    max_results: int = 100
    aspect_ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        unknown = [feature for feature in self.features if feature not in FEATURES]
        if unknown:
            raise InvalidRequestError(
                f"There is no feature {unknown[0]!r}.",
                hint=f"Features: {', '.join(FEATURES)}.",
                param="features",
            )
        check_count(self.max_results, "max_results", 1, 1_000_000)
        for ratio in self.aspect_ratios:
            check_range(ratio, "aspect_ratios", 0.01, 100)


class Symbol(Value, frozen=True, kw_only=True):
    """A character. ``break_after`` is what separates it from the next one."""

    text: str
    polygon: Polygon
    confidence: float
    break_after: Literal["", "space", "line"] = ""


class TextWord(Value, frozen=True, kw_only=True):
    """A word and its symbols."""

    symbols: tuple[Symbol, ...]
    polygon: Polygon
    confidence: float

    @property
    def text(self) -> str:
        """The word's characters."""
        return "".join(symbol.text for symbol in self.symbols)


class Paragraph(Value, frozen=True, kw_only=True):
    """Words that belong together; usually some lines."""

    words: tuple[TextWord, ...]
    polygon: Polygon
    confidence: float

    @property
    def text(self) -> str:
        """The paragraph with its spaces and line ends."""
        breaks = {"": "", "space": " ", "line": "\n"}
        return "".join(
            symbol.text + breaks[symbol.break_after]
            for word in self.words
            for symbol in word.symbols
        ).rstrip("\n")


class Block(Value, frozen=True, kw_only=True):
    """Paragraphs that stand together on the page."""

    paragraphs: tuple[Paragraph, ...]
    polygon: Polygon
    confidence: float


class Page(Value, frozen=True, kw_only=True):
    """One page: the picture itself. ``languages`` most frequent first."""

    width: int
    height: int
    blocks: tuple[Block, ...]
    languages: tuple[str, ...] = ()


class DocumentText(Value, frozen=True, kw_only=True):
    """Text with its layout. ``text`` is what a reader would copy from the picture."""

    text: str
    pages: tuple[Page, ...]

    @property
    def words(self) -> tuple[TextWord, ...]:
        """All words in reading order."""
        return tuple(
            word
            for page in self.pages
            for block in page.blocks
            for paragraph in block.paragraphs
            for word in paragraph.words
        )


class Landmark(Value, frozen=True, kw_only=True):
    """A point of a face, named as in Google Vision: LEFT_EYE, RIGHT_EYE, MOUTH_CENTER."""

    name: str
    point: Point


class Face(Value, frozen=True, kw_only=True):
    """A face, its landmarks, and whether it smiles."""

    polygon: Polygon
    confidence: float
    landmarks: tuple[Landmark, ...] = ()
    smile: Likelihood = "unknown"


class DetectedObject(Value, frozen=True, kw_only=True):
    """A thing and where it is."""

    name: str
    score: float
    polygon: Polygon


class Label(Value, frozen=True, kw_only=True):
    """What the whole picture shows."""

    name: str
    score: float


class Color(Value, frozen=True, kw_only=True):
    """A dominant colour, 0 to 255 a channel, and the share of pixels that have it."""

    red: int
    green: int
    blue: int
    score: float
    pixel_fraction: float

    @property
    def hex(self) -> str:
        """#rrggbb."""
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


class CropHint(Value, frozen=True, kw_only=True):
    """The part to keep for one aspect ratio; ``importance`` is its share of what matters."""

    polygon: Polygon
    confidence: float
    importance: float


class Barcode(Value, frozen=True, kw_only=True):
    """A bar code or QR code. ``format`` as ZXing writes it, such as QR_CODE or EAN_13."""

    format: str
    text: str
    polygon: Polygon


class SeeResult(Result, frozen=True, kw_only=True):
    """Findings. A feature that was not asked for is empty, as is one that found nothing;
    ``features`` tells which were looked for.
    """

    image: Image
    features: tuple[Feature, ...]
    document: DocumentText | None = None
    faces: tuple[Face, ...] = ()
    objects: tuple[DetectedObject, ...] = ()
    labels: tuple[Label, ...] = ()
    colors: tuple[Color, ...] = ()
    crop_hints: tuple[CropHint, ...] = ()
    barcodes: tuple[Barcode, ...] = ()

    @property
    def text(self) -> str:
        """The text in the picture, or an empty string."""
        return self.document.text if self.document else ""

    def boxes(self) -> tuple[tuple[str, str, Polygon], ...]:
        """(kind, caption, polygon) of everything that has a place, for drawing."""
        words = self.document.words if self.document else ()
        return (
            *(("word", word.text, word.polygon) for word in words),
            *(("face", f"face {face.confidence:.2f}", face.polygon) for face in self.faces),
            *(("object", f"{item.name} {item.score:.2f}", item.polygon) for item in self.objects),
            *(("barcode", f"{code.format} {code.text}", code.polygon) for code in self.barcodes),
            *(("crop", "crop", hint.polygon) for hint in self.crop_hints),
        )

    def draw(self) -> Image:
        """The picture as PNG, with a box around everything that was found."""
        return self.image.draw(self._corners())

    def _corners(self) -> list[tuple[str, str, list[tuple[float, float]]]]:
        return [
            (kind, caption, [(point.x, point.y) for point in polygon.points])
            for kind, caption, polygon in self.boxes()
        ]

    def _repr_html_(self) -> str:
        return self.image.html_with_boxes(self._corners())


class Seer(Protocol):
    """What an engine that sees must have."""

    features: ClassVar[frozenset[Feature]]

    def see(self, request: SeeRequest, /) -> Answer[SeeResult]:
        """Find the request's features; only features this engine declares are asked of it."""
        ...
