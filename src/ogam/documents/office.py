"""Word, PowerPoint and Excel documents (Office Open XML).

A paragraph is a segment; its runs are the pieces, so that each stretch of the translation takes
the format of the run it belongs to. Neighbouring runs of one format are one piece: Word cuts
runs where nobody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ogam.documents.archive import Archive, serialized_element
from ogam.documents.document import Document
from ogam.errors import InvalidMediaError
from ogam.markup.segments import Piece

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_WORD = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_SLIDES = re.compile(r"ppt/(slides/slide|notesSlides/notesSlide)\d+\.xml")
_DRAWN = re.compile(r"(ppt|word|xl)/(charts/chart|diagrams/data|drawings/drawing)\d*\.xml")
_SHEETS = re.compile(r"xl/(sharedStrings|worksheets/sheet\d+|comments\d*)\.xml")
_TABLES = re.compile(r"xl/tables/[^/]+\.xml")


def read_docx(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """A text document: body, headers, footers, notes, comments, text boxes, charts."""
    archive = _opened(data, "word/document.xml")
    return _document(archive, {_WORD: _word_paragraphs, _DRAWN: _drawn_paragraphs})


def read_pptx(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """Slides and their notes, charts and diagrams."""
    archive = _opened(data, "ppt/presentation.xml")
    return _document(archive, {_SLIDES: _drawn_paragraphs, _DRAWN: _drawn_paragraphs})


def read_xlsx(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """The texts in cells and comments; numbers, formulas and names of sheets stay."""
    archive = _opened(data, "xl/workbook.xml")
    # A table's header must say what the table's own part says, and formulas name it.
    headers = frozenset(
        column.get("name")
        for name in archive.names
        if _TABLES.fullmatch(name)
        for column in archive.xml(name).iter(f"{_S}tableColumn")
    )

    def cells(root: Any) -> Iterator[list[Any]]:
        for cell in root.iter(f"{_S}si", f"{_S}is", f"{_S}text"):
            nodes = [node for node in cell.iter(f"{_S}t") if node.getparent().tag != f"{_S}rPh"]
            if "".join(node.text or "" for node in nodes) not in headers:
                yield nodes

    return _document(archive, {_SHEETS: cells, _DRAWN: _drawn_paragraphs})


def _opened(data: bytes, main: str) -> Archive:
    archive = Archive(data)
    if main not in archive.names:
        raise InvalidMediaError(
            "The document is not what its ending says.", hint=f"It holds no {main}."
        )
    return archive


def _document(
    archive: Archive, parts: dict[re.Pattern[str], Callable[[Any], Iterator[list[Any]]]]
) -> Document:
    trees: dict[str, Any] = {}
    segments: list[list[Piece]] = []
    places: list[list[list[Any]]] = []  # for each segment, for each piece, its elements
    for name in archive.names:
        reader = next((one for pattern, one in parts.items() if pattern.fullmatch(name)), None)
        if reader is None or name in trees:
            continue
        trees[name] = archive.xml(name)
        for nodes in reader(trees[name].getroot()):
            pieces, owners = _pieces(nodes)
            if pieces:
                segments.append(pieces)
                places.append(owners)

    def write(made: Sequence[Sequence[str]]) -> bytes:
        for pieces, texts, owners in zip(segments, made, places, strict=True):
            for piece, text, elements in zip(pieces, texts, owners, strict=True):
                if piece.kind == "text" and elements:
                    _put(elements, text)
        return archive.with_xml(trees)

    texts = [one.text for segment in segments for one in segment if one.kind != "break"]
    return Document(segments, sum(map(len, texts)), write)


def _put(elements: Sequence[Any], text: str) -> None:
    if "".join(one.text or "" for one in elements) == text:
        return
    for number, one in enumerate(elements):
        one.text = ("" if number else text) or None
    if text != text.strip() and not elements[0].tag.startswith(_A):
        elements[0].set(_SPACE, "preserve")


def _word_paragraphs(root: Any) -> Iterator[list[Any]]:
    for paragraph in root.iter(f"{_W}p"):
        yield [
            node
            for node in paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr")
            if node.getparent().tag == f"{_W}r"
            and next(node.iterancestors(f"{_W}p")) is paragraph
            # Text that was taken out, with tracked changes on, is not there.
            and next(node.iterancestors(f"{_W}del", f"{_W}moveFrom"), None) is None
        ]


def _drawn_paragraphs(root: Any) -> Iterator[list[Any]]:
    for paragraph in root.iter(f"{_A}p"):
        yield list(paragraph.iter(f"{_A}t", f"{_A}br"))


def _pieces(nodes: Sequence[Any]) -> tuple[list[Piece], list[list[Any]]]:
    pieces: list[Piece] = []
    owners: list[list[Any]] = []
    last: tuple[Any, bytes] | None = None
    for node in nodes:
        if not node.tag.endswith("}t"):
            pieces.append(Piece(" ", "break"))
            owners.append([])
            last = None
            continue
        run = node.getparent()
        # A field, such as a slide's number, is the program's own text.
        kind = "fixed" if run.tag == f"{_A}fld" else "text"
        form = (run.getparent(), _format(run))
        if kind == "text" and form == last:
            pieces[-1] = Piece(pieces[-1].text + (node.text or ""))
            owners[-1].append(node)
            continue
        pieces.append(Piece(node.text or "", kind))
        owners.append([node])
        last = form if kind == "text" else None
    return pieces, owners


def _format(run: Any) -> bytes:
    """The run's format, to compare."""
    own = next((one for one in run if str(one.tag).endswith("}rPr")), None)
    return serialized_element(own) if own is not None else b""
