"""XML and HTML as segments: what is a sentence, what stays as it is.

A scanner of our own, for a parser would write other bytes than it read: all that is not
translated text comes back byte for byte. It knows no document type and resolves no entities
but character references, so nothing can explode.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

from ogam.errors import InvalidRequestError
from ogam.markup.plain import lines
from ogam.markup.segments import Piece, Slot, Template

_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z_:][^\s/<>\"']*+)"
    r"(?P<rest>[^<>\"']*+(?:\"[^\"]*+\"[^<>\"']*+|'[^']*+'[^<>\"']*+)*+)>"
)
# Elements that end a sentence in HTML; all others are part of one.
# Written as lines of words, for one a line would fill two screens.
# ruff: noqa: SIM905
_BLOCKS = frozenset(
    """
    address article aside base blockquote body br button caption center col colgroup dd
    details dialog dir div dl dt fieldset figcaption figure footer form frameset h1 h2 h3 h4
    h5 h6 head header hgroup hr html iframe legend li link main menu meta nav noframes
    noscript object ol optgroup option p picture pre script search section select source style
    summary table tbody td template textarea tfoot th thead title tr track ul video audio
    """.split()
)
_VOID = frozenset(
    """
    area base br col embed hr img input link meta param source track wbr
    """.split()
)
_RAW = frozenset(("script", "style"))
_UNTOUCHED = re.compile(
    r"\btranslate\s*=\s*[\"']?no\b|\bclass\s*=\s*(?:\"[^\"]*\bnotranslate\b|'[^']*\bnotranslate\b|notranslate\b)",
    re.IGNORECASE,
)


class Options(NamedTuple):
    """How tags cut a text. ``outline``: find out which XML tags are structure.

    ``join_lines``: a line's end is no sentence's end.
    """

    kind: Literal["xml", "html"]
    outline: bool = True
    splitting: Collection[str] = ()
    non_splitting: Collection[str] = ()
    ignored: Collection[str] = ()
    join_lines: bool = False


class _Token(NamedTuple):
    """``name`` is empty for text (``text``) and for comments and the like (``other``)."""

    kind: Literal["text", "cdata", "open", "close", "empty", "other"]
    source: str
    name: str = ""


def parse(text: str, options: Options) -> Template:
    """The segments of a text with tags. InvalidRequestError for XML whose tags do not match."""
    tokens = list(_tokens(text, options.kind))
    splits = _splits(tokens, options)
    return _Builder(tokens, splits, options).build()


def written(text: str, raw: bool) -> str:
    """How a piece is written: escaped, but in CDATA."""
    if raw:
        return text.replace("]]>", "]] >")
    text = re.sub(r"&(?=(\w+;)?)", _ampersand, text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def written_html(text: str, raw: bool) -> str:
    """As :func:`written`; a no-break space stays visible to whoever edits the source."""
    return written(text, raw).replace("\u00a0", "&nbsp;")


def _ampersand(one: re.Match[str]) -> str:
    # An entity of the document's own that nobody here could resolve stays itself.
    name = one.group(1)
    unknown = name is not None and html.unescape(f"&{name}") == f"&{name}"
    return "&" if unknown else "&amp;"


def _tokens(text: str, kind: str) -> Iterator[_Token]:
    at = start = 0
    missing: set[str] = set()  # ends that the rest does not have: looked for only once

    def until(end: str, begin: int) -> int:
        if end in missing:
            return -1
        found = text.find(end, begin)
        if found < 0:
            missing.add(end)
            return -1
        return found + len(end)

    while (at := text.find("<", at)) >= 0:
        token = _special(text, at, until, kind)
        if token is None:
            at += 1
            continue
        if at > start:
            yield _Token("text", text[start:at])
        yield token
        at = start = at + len(token.source)
        if kind == "html" and token.kind == "open" and token.name in _RAW:
            end = re.compile(rf"</{token.name}\b", re.IGNORECASE).search(text, at)
            stop = end.start() if end else len(text)
            if stop > at:
                yield _Token("other", text[at:stop])
            at = start = stop
    if start < len(text):
        yield _Token("text", text[start:])


def _special(text: str, at: int, until: Callable[[str, int], int], kind: str) -> _Token | None:
    for opening, ending, what in (
        ("<!--", "-->", "other"),
        ("<![CDATA[", "]]>", "cdata"),
        ("<?", "?>", "other"),
        ("<!", ">", "other"),
    ):
        if text.startswith(opening, at):
            stop = until(ending, at + len(opening))
            if stop < 0:
                return None
            return _Token("cdata" if what == "cdata" else "other", text[at:stop])
    found = _TAG.match(text, at)
    if found is None:
        return None
    name = found["name"] if kind == "xml" else found["name"].lower()
    if found["close"]:
        return _Token("close", found.group(), name)
    empty = found["rest"].endswith("/") if kind == "xml" else name in _VOID
    return _Token("empty" if empty else "open", found.group(), name)


def _splits(tokens: list[_Token], options: Options) -> list[bool]:
    """For each token whether a sentence ends there."""
    if options.kind == "html":
        blocks = (_BLOCKS | frozenset(options.splitting)) - frozenset(options.non_splitting)
        return [token.name in blocks for token in tokens]
    # An element is part of a sentence where words stand beside it in its parent; all others are
    # structure.
    around: list[bool] = [False]  # for each element, by number, has it words of its own
    parent: list[int] = [0] * len(tokens)
    opened: list[tuple[str, int, int]] = []
    for number, token in enumerate(tokens):
        inside = opened[-1][2] if opened else 0
        parent[number] = inside
        if token.kind in ("text", "cdata"):
            around[inside] = around[inside] or bool(_inner(token).strip())
        elif token.kind == "open":
            opened.append((token.name, number, len(around)))
            around.append(False)
        elif token.kind == "close":
            if not opened or opened[-1][0] != token.name:
                raise _unbalanced(token.source)
            parent[number] = parent[opened.pop()[1]]
    if opened:
        raise _unbalanced(tokens[opened[-1][1]].source)
    found: list[bool] = []
    for number, token in enumerate(tokens):
        structure = options.outline and not around[parent[number]]
        found.append(
            token.kind in ("open", "close", "empty")
            and token.name not in options.non_splitting
            and (token.name in options.splitting or structure)
        )
    return found


def _unbalanced(tag: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The tags of the XML do not match, at {tag[:40]!r}.",
        hint="Close every tag, and write < in text as &lt;.",
        param="text",
    )


class _Builder:
    """Walks the tokens once."""

    def __init__(self, tokens: list[_Token], splits: list[bool], options: Options) -> None:
        self._tokens, self._split_at, self._options = tokens, splits, options
        self._parts: list[str | Slot] = []
        self._segments: list[list[Piece]] = [[]]
        self._ignored: list[str] = []  # the elements we are in, from the first ignored one
        self._characters = 0

    def build(self) -> Template:
        for token, splits in zip(self._tokens, self._split_at, strict=True):
            if token.kind in ("text", "cdata"):
                self._text(token)
                continue
            if splits:
                self._end()
            self._parts.append(token.source)
            self._enter(token)
        return Template(self._parts, self._segments, self._characters)

    def _enter(self, token: _Token) -> None:
        if token.kind == "open":
            untouched = self._options.kind == "html" and _UNTOUCHED.search(token.source)
            if self._ignored:
                if token.name == self._ignored[0]:
                    self._ignored.append(token.name)
            elif token.name in self._options.ignored or untouched:
                self._ignored.append(token.name)
        elif token.kind == "close" and self._ignored and token.name == self._ignored[0]:
            self._ignored.pop()

    def _end(self) -> None:
        if self._segments[-1]:
            self._segments.append([])

    def _text(self, token: _Token) -> None:
        inner = _inner(token)
        text = inner if token.kind == "cdata" else html.unescape(inner)
        self._characters += len(text)
        if self._ignored:
            self._parts.append(token.source)
            self._segments[-1].append(Piece(text, "fixed"))
            return
        if token.kind == "cdata":
            self._parts.append("<![CDATA[")
        for number, piece in enumerate(lines(text)):
            if piece.kind == "break" and not self._options.join_lines:
                self._end()
                self._parts.append(piece.text)
            elif piece.text or not number:
                self._parts.append(
                    Slot(len(self._segments) - 1, len(self._segments[-1]), token.kind == "cdata")
                )
                self._segments[-1].append(piece)
        if token.kind == "cdata":
            self._parts.append("]]>")


def _inner(token: _Token) -> str:
    return token.source[9:-3] if token.kind == "cdata" else token.source
