"""Which formats there are, and which module reads each."""

from __future__ import annotations

import importlib

from ogam.documents.document import Document
from ogam.errors import UnsupportedOptionError
from ogam.media import limits

_OFFICE = "application/vnd.openxmlformats-officedocument"
# ending -> module and function, content type
_FORMATS: dict[str, tuple[str, str]] = {
    "txt": ("text:read_txt", "text/plain"),
    "srt": ("text:read_srt", "application/x-subrip"),
    "html": ("text:read_html", "text/html"),
    "htm": ("text:read_html", "text/html"),
    "xlf": ("xliff:read", "application/xliff+xml"),
    "xliff": ("xliff:read", "application/xliff+xml"),
    "docx": ("office:read_docx", f"{_OFFICE}.wordprocessingml.document"),
    "pptx": ("office:read_pptx", f"{_OFFICE}.presentationml.presentation"),
    "xlsx": ("office:read_xlsx", f"{_OFFICE}.spreadsheetml.sheet"),
}


def endings() -> tuple[str, ...]:
    """The endings of the formats that are read, without their dots."""
    return tuple(_FORMATS)


def check(ending: str) -> None:
    """UnsupportedOptionError for a format that is not translated here."""
    if ending not in _FORMATS:
        told = f"{ending} documents are" if ending else "A document without an ending is"
        hint = f"Send one of {', '.join(_FORMATS)}."
        if ending == "pdf":
            hint = "A PDF has pages and no sentences: send the document it was made from."
        raise UnsupportedOptionError(f"{told} not translated here.", hint=hint, param="file")


def sniff(data: bytes) -> str:
    """The ending that a document without one should have; empty where nothing says so."""
    if data.startswith(b"%PDF"):
        return "pdf"
    if data.startswith(b"PK"):
        for main, ending in (
            (b"word/document.xml", "docx"),
            (b"ppt/presentation.xml", "pptx"),
            (b"xl/workbook.xml", "xlsx"),
        ):
            if main in data:  # a zip's directory names its files uncompressed
                return ending
    head = data[:4096].lower()
    if b"<xliff" in head:
        return "xlf"
    if b"<!doctype html" in head or b"<html" in head:
        return "html"
    return "srt" if b" --> " in head else ""


def read(data: bytes, ending: str, *, source: str | None = None, target: str = "") -> Document:
    """The document in ``data``; ``ending`` without its dot. The languages are BCP-47 tags.

    UnsupportedOptionError for another format, InvalidMediaError for one that is damaged,
    TooLargeError for one that is too big when unpacked.
    """
    check(ending)
    limits.check_bytes(len(data), "The document")
    module, _, function = _FORMATS[ending][0].partition(":")
    reader = getattr(importlib.import_module(f"ogam.documents.{module}"), function)
    return reader(data, source, target)


def content_type(ending: str) -> str:
    """The media type that a document of this ending is sent as."""
    return _FORMATS[ending][1]
