"""Text between Google Cloud Vision's wire types and Ogam's values, both ways. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Literal

from ogam.capabilities.vision import (
    Block,
    DocumentText,
    Page,
    Paragraph,
    Point,
    Polygon,
    Symbol,
    TextWord,
)
from ogam.protocols.google_vision import wire_text as wire

Size = tuple[int, int]
Poly = Callable[[Polygon], wire.BoundingPoly]


def poly(polygon: Polygon) -> wire.BoundingPoly:
    """Corners in whole pixels."""
    return wire.BoundingPoly(
        vertices=[wire.Vertex(x=round(one.x), y=round(one.y)) for one in polygon.points]
    )


def normalized(polygon: Polygon, size: Size) -> wire.BoundingPoly:
    """Corners in parts of ``size``, none outside."""
    width, height = size
    return wire.BoundingPoly(
        normalized_vertices=[
            wire.NormalizedVertex(x=part(one.x / width), y=part(one.y / height))
            for one in polygon.points
        ]
    )


def part(value: float) -> float:
    """A share or a score: 0 to 1, as exact as the protocol buffer's float is."""
    return round(min(max(value, 0.0), 1.0), 6)


def polygon_of(value: wire.BoundingPoly | None, size: Size = (1, 1)) -> Polygon:
    """A polygon in pixels of a picture of ``size``."""
    if value is None:
        return Polygon(points=())
    width, height = size
    found = [Point(x=one.x, y=one.y) for one in value.vertices] or [
        Point(x=one.x * width, y=one.y * height) for one in value.normalized_vertices
    ]
    return Polygon(points=tuple(found))


def around(polygons: Iterable[Polygon]) -> Polygon:
    """The upright rectangle around all of them."""
    bounds = [one.bounds for one in polygons if one.points]
    if not bounds:
        return Polygon(points=())
    left, top = min(one[0] for one in bounds), min(one[1] for one in bounds)
    right, bottom = max(one[2] for one in bounds), max(one[3] for one in bounds)
    return Polygon.box(left, top, right - left, bottom - top)


def text(
    document: DocumentText, made: Poly = poly, sizes: Sequence[Size] = ()
) -> wire.TextAnnotation:
    """The document's tree. ``sizes`` are the pages' own where they are not pixels."""
    pages = [
        _page(page, made, sizes[place] if place < len(sizes) else (page.width, page.height))
        for place, page in enumerate(document.pages)
    ]
    return wire.TextAnnotation(pages=pages, text=document.text)


def _page(page: Page, made: Poly, size: Size) -> wire.Page:
    languages = [wire.DetectedLanguage(language_code=one) for one in page.languages]
    return wire.Page(
        property=wire.TextProperty(detected_languages=languages) if languages else None,
        width=size[0],
        height=size[1],
        confidence=part(fmean(block.confidence for block in page.blocks)) if page.blocks else 0.0,
        blocks=[
            wire.Block(
                bounding_box=made(block.polygon),
                paragraphs=[_paragraph(one, made) for one in block.paragraphs],
                block_type="TEXT",
                confidence=part(block.confidence),
            )
            for block in page.blocks
        ],
    )


def _paragraph(paragraph: Paragraph, made: Poly) -> wire.Paragraph:
    last = paragraph.words[-1].symbols[-1] if paragraph.words else None
    return wire.Paragraph(
        bounding_box=made(paragraph.polygon),
        confidence=part(paragraph.confidence),
        words=[
            wire.Word(
                bounding_box=made(word.polygon),
                confidence=part(word.confidence),
                symbols=[_symbol(one, made, one is last) for one in word.symbols],
            )
            for word in paragraph.words
        ],
    )


def _symbol(symbol: Symbol, made: Poly, is_last: bool) -> wire.Symbol:
    kind = ""
    if symbol.break_after == "space":
        kind = "SPACE"
    elif symbol.break_after == "line":
        # Google tells a line that ends from one that goes on in the next.
        kind = "LINE_BREAK" if is_last else "EOL_SURE_SPACE"
    after = wire.TextProperty(detected_break=wire.DetectedBreak(type_=kind)) if kind else None
    return wire.Symbol(
        property=after,
        bounding_box=made(symbol.polygon),
        text=symbol.text,
        confidence=part(symbol.confidence),
    )


def document_of(value: wire.TextAnnotation) -> DocumentText:
    """The tree as Ogam's value; places become pixels of the page."""
    return DocumentText(text=value.text, pages=tuple(map(_page_of, value.pages)))


def _page_of(page: wire.Page) -> Page:
    size = (page.width, page.height)
    return Page(
        width=page.width,
        height=page.height,
        languages=tuple(
            one.language_code for one in (page.property or wire.TextProperty()).detected_languages
        ),
        blocks=tuple(
            Block(
                polygon=polygon_of(block.bounding_box, size),
                confidence=block.confidence,
                paragraphs=tuple(_paragraph_of(one, size) for one in block.paragraphs),
            )
            for block in page.blocks
        ),
    )


def _paragraph_of(paragraph: wire.Paragraph, size: Size) -> Paragraph:
    return Paragraph(
        polygon=polygon_of(paragraph.bounding_box, size),
        confidence=paragraph.confidence,
        words=tuple(
            TextWord(
                polygon=polygon_of(word.bounding_box, size),
                confidence=word.confidence,
                symbols=tuple(
                    Symbol(
                        text=one.text,
                        polygon=polygon_of(one.bounding_box, size),
                        confidence=one.confidence,
                        break_after=_break_of(one),
                    )
                    for one in word.symbols
                ),
            )
            for word in paragraph.words
        ),
    )


_BREAKS: dict[int | str, Literal["", "space", "line"]] = {
    "SPACE": "space",
    "SURE_SPACE": "space",
    "EOL_SURE_SPACE": "line",
    "HYPHEN": "line",
    "LINE_BREAK": "line",
    1: "space",
    2: "space",
    3: "line",
    4: "line",
    5: "line",
}


def _break_of(symbol: wire.Symbol) -> Literal["", "space", "line"]:
    found = symbol.property and symbol.property.detected_break
    return _BREAKS.get(found.type_, "") if found else ""
