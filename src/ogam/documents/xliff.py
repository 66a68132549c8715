"""XLIFF 1.2 and 2.x: each source's translation goes into the target beside it.

The target gets the source's own inline codes, in their order. What is marked
``translate="no"`` is copied.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from ogam.documents.archive import parse, serialized
from ogam.documents.document import Document
from ogam.errors import InvalidMediaError
from ogam.markup.segments import Piece

_NEW = "urn:oasis:names:tc:xliff:document:2."
_OLD = "urn:oasis:names:tc:xliff:document:1.2"
# What 1.2 writes inside these is a tool's code, not text.
_CODES = frozenset(("ph", "bpt", "ept", "it", "x", "bx", "ex"))


def read(data: bytes, source: str | None, target: str) -> Document:  # noqa: ARG001
    """Every unit's sources; targets that are there already are replaced."""
    tree = parse(data)
    root = tree.getroot()
    space = str(root.tag).partition("}")[0].lstrip("{")
    if not (space == _OLD or space.startswith(_NEW)):
        raise InvalidMediaError(
            "The document is no XLIFF.", hint="Versions 1.2 and 2.x are read, by their namespace."
        )
    segments: list[list[Piece]] = []
    places: list[tuple[Any, Any, list[tuple[Any, bool]]]] = []
    for element in root.iter(f"{{{space}}}source"):
        if _untouched(element) or str(element.getparent().tag).endswith("}alt-trans"):
            continue
        made = copy.deepcopy(element)
        made.tag, made.tail = f"{{{space}}}target", None
        made.attrib.pop("{http://www.w3.org/XML/1998/namespace}lang", None)
        slots = list(_texts(made, fixed=False))
        pieces = [
            Piece((one.tail if tail else one.text) or "", "fixed" if fixed else "text")
            for one, tail, fixed in slots
        ]
        segments.append(pieces)
        places.append((element, made, [(one, tail) for one, tail, _ in slots]))

    def write(texts: Sequence[Sequence[str]]) -> bytes:
        for own, (element, made, slots) in zip(texts, places, strict=True):
            for text, (one, tail) in zip(own, slots, strict=True):
                if tail:
                    one.tail = text or None
                else:
                    one.text = text or None
            _replace(element, made)
        _name(root, space, target)
        return serialized(tree)

    characters = sum(len(one.text) for segment in segments for one in segment)
    return Document(segments, characters, write)


def _texts(element: Any, *, fixed: bool) -> Iterator[tuple[Any, bool, bool]]:
    """In order, where text stands: the element, whether after it, whether it must stay."""
    yield element, False, fixed
    for child in element:
        if isinstance(child.tag, str) and child.tag.rpartition("}")[2] not in _CODES:
            yield from _texts(child, fixed=fixed or child.get("translate") == "no")
        yield child, True, fixed


def _untouched(element: Any) -> bool:
    for one in (element, *element.iterancestors()):
        said = one.get("translate")
        if said is not None:
            return said == "no"
    return False


def _replace(source: Any, made: Any) -> None:
    parent = source.getparent()
    old = next((one for one in parent if one.tag == made.tag), None)
    if old is None:
        made.tail, source.tail = source.tail, _between(parent, source)
        source.addnext(made)
    else:
        made.tail = old.tail
        for name, value in old.attrib.items():
            if made.get(name) is None:
                made.set(name, value)
        parent.replace(old, made)


def _between(parent: Any, source: Any) -> str | None:
    """The white space that stands before the source stands before its target too."""
    before = source.getprevious()
    return parent.text if before is None else before.tail


def _name(root: Any, space: str, target: str) -> None:
    if not target:
        return
    if space == _OLD:
        for file in root.iter(f"{{{space}}}file"):
            file.set("target-language", target)
    else:
        root.set("trgLang", target)
