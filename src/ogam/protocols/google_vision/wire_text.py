"""Google Cloud Vision's text: pages, blocks, paragraphs, words, symbols, and where each is.

https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#TextAnnotation
"""

from __future__ import annotations

import msgspec

from ogam.protocols.google.protojson import Enum, Message


class Vertex(Message):
    """Pixels; 0 is left out, as in all proto JSON."""

    x: int = 0
    y: int = 0


class NormalizedVertex(Message):
    """Parts of the width and the height, 0 to 1."""

    x: float = 0.0
    y: float = 0.0


class BoundingPoly(Message):
    """Four corners, clockwise from the top left of the thing itself."""

    vertices: list[Vertex] = []
    normalized_vertices: list[NormalizedVertex] = []


class DetectedLanguage(Message):
    """A BCP-47 code, and which part of the text is written in it."""

    language_code: str = ""
    confidence: float = 0.0


class DetectedBreak(Message):
    """What comes after a symbol: SPACE, SURE_SPACE, EOL_SURE_SPACE, HYPHEN or LINE_BREAK."""

    type_: Enum = "UNKNOWN"
    is_prefix: bool = False


class TextProperty(Message):
    """What is known of a piece of text besides its letters."""

    detected_languages: list[DetectedLanguage] = []
    detected_break: DetectedBreak | None = None


class Symbol(Message):
    """A character."""

    property: TextProperty | None = None
    bounding_box: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    text: str = ""
    confidence: float = 0.0


class Word(Message):
    """A word."""

    property: TextProperty | None = None
    bounding_box: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    symbols: list[Symbol] = []
    confidence: float = 0.0


class Paragraph(Message):
    """Words that belong together."""

    property: TextProperty | None = None
    bounding_box: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    words: list[Word] = []
    confidence: float = 0.0


class Block(Message):
    """Paragraphs that stand together."""

    property: TextProperty | None = None
    bounding_box: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    paragraphs: list[Paragraph] = []
    block_type: Enum = "UNKNOWN"
    confidence: float = 0.0


class Page(Message):
    """A page: of a picture in pixels, of a PDF in points."""

    property: TextProperty | None = None
    width: int = 0
    height: int = 0
    blocks: list[Block] = []
    confidence: float = 0.0


class TextAnnotation(Message):
    """The whole text, and its layout."""

    pages: list[Page] = []
    text: str = ""
