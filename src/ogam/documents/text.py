"""Plain text, subtitles and HTML: bytes to text, segments, and back in the same encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ogam.documents.document import Document
from ogam.errors import InvalidMediaError
from ogam.markup import plain, tags
from ogam.markup.segments import Piece, Slot, Template

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_TIMES = re.compile(r"\s*\d+:\d\d:\d\d[,.]\d{1,3}\s*-->\s*\d+:\d\d:\d\d[,.]\d{1,3}.*")
# A player's own marks in a subtitle: {\an8}
_MARK = re.compile(r"(\{\\[^}]*\})")


class _Encoding(NamedTuple):
    bom: bytes
    name: str

    def encode(self, text: str, errors: str = "strict") -> bytes:
        try:
            return self.bom + text.encode(self.name, errors)
        except UnicodeEncodeError:
            # The new language has letters that the old encoding lacks.
            return codecs.BOM_UTF8 + text.encode()


def read_txt(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """A text; each line is a segment."""
    text, encoding = _decoded(data)
    return _document(plain.parse(text), plain.written, encoding.encode)


def read_html(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """A page: its text, not its attributes, scripts and styles."""
    declared = _CHARSET.search(data[:4096])
    text, encoding = _decoded(data, declared.group(1).decode() if declared else None)
    template = tags.parse(text, tags.Options("html", join_lines=True))

    def encode(made: str) -> bytes:
        return encoding.encode(made, "xmlcharrefreplace")

    return _document(template, tags.written_html, encode)


def read_srt(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """Subtitles: numbers and times stay, a caption's lines are one sentence cut again."""
    text, encoding = _decoded(data)
    parts: list[str | Slot] = []
    segments: list[list[Piece]] = []
    characters = 0
    caption: list[str] = []
    timed = False

    def end() -> None:
        nonlocal characters
        if not caption:
            return
        for number, stretch in enumerate(_MARK.split("".join(caption))):
            if number % 2:
                parts.append(stretch)
                continue
            found = tags.parse(stretch, tags.Options("html", join_lines=True))
            parts.extend(
                part
                if isinstance(part, str)
                else part._replace(segment=part.segment + len(segments))
                for part in found.parts
            )
            segments.extend(found.segments)
            characters += found.characters
        caption.clear()

    for line in text.splitlines(keepends=True):
        if _TIMES.fullmatch(line.rstrip("\r\n")):
            # Where no blank line stood before the cue, its number was read as text.
            number = [caption.pop()] if caption and caption[-1].strip().isdigit() else []
            end()
            timed = True
            parts += [*number, line]
        elif not timed or not line.strip():
            end()
            timed = timed and bool(line.strip())
            parts.append(line)
        else:
            caption.append(line)
    end()
    if not any(isinstance(part, Slot) for part in parts) and text.strip():
        raise InvalidMediaError(
            "The file holds no subtitles.",
            hint="SRT has times such as 00:00:01,000 --> 00:00:02,000.",
        )
    return _document(Template(parts, segments, characters), _in_subtitle, encoding.encode)


def _in_subtitle(text: str, raw: bool) -> str:  # noqa: ARG001
    return text


def _document(
    template: Template, written: Callable[[str, bool], str], encode: Callable[[str], bytes]
) -> Document:
    def write(made: Sequence[Sequence[str]]) -> bytes:
        return encode(template.fill(made, written))

    return Document(
        template.segments,
        template.characters,
        write,
    )


def _decoded(data: bytes, declared: str | None = None) -> tuple[str, _Encoding]:
    for bom, name in _BOMS:
        if data.startswith(bom):
            return _text(data[len(bom) :], _Encoding(bom, name))
    if b"\x00" in data[:4096]:
        raise InvalidMediaError("The document is not text.", hint="Its ending says it is.")
    for name in (declared, "utf-8", "cp1252"):
        try:
            if name is not None:
                return data.decode(name), _Encoding(b"", name)
        except (UnicodeDecodeError, LookupError):
            continue
    return _text(data, _Encoding(b"", "latin-1"))


def _text(data: bytes, encoding: _Encoding) -> tuple[str, _Encoding]:
    try:
        return data.decode(encoding.name), encoding
    except UnicodeDecodeError:
        raise InvalidMediaError(f"The document is not whole {encoding.name} text.") from None
