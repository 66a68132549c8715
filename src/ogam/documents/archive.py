"""A zip of XML files (what Office documents are): read with care, written with only the changed
files changed.
"""

from __future__ import annotations

import importlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from ogam.errors import InvalidMediaError, TooLargeError
from ogam.extras import needs

# Unpacked. A book of 1,000 pages has 10 MB of XML; its pictures come beside that.
_MOST_BYTES = 512 * 1024 * 1024
_MOST_XML = 128 * 1024 * 1024
_MOST_FILES = 20_000


class Archive:
    """The files in a zip, in their order. InvalidMediaError where it is none."""

    def __init__(self, data: bytes) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as opened:
                self._infos = opened.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise _damaged(error) from None
        self._data = data
        if (
            len(self._infos) > _MOST_FILES
            or sum(one.file_size for one in self._infos) > _MOST_BYTES
        ):
            raise TooLargeError(
                "The document is too large when it is unpacked.",
                hint=f"The limit is {_MOST_BYTES:,} bytes in {_MOST_FILES:,} files.",
            )
        if any(one.flag_bits & 1 for one in self._infos):
            raise InvalidMediaError("The document is encrypted.", hint="Take its password off.")
        self.names = [one.filename for one in self._infos]

    def xml(self, name: str) -> Any:
        """A file as lxml's tree. A document type, which these formats never have, is refused."""
        info = next(one for one in self._infos if one.filename == name)
        if info.file_size > _MOST_XML:
            raise TooLargeError(f"{name} in the document has {info.file_size:,} bytes.")
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as opened, opened.open(info) as file:
                return parse(file.read())
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
            raise _damaged(error) from None

    def with_xml(self, changed: Mapping[str, Any]) -> bytes:
        """The zip with these trees in place of the files of their names."""
        written = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(self._data)) as opened,
            zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as out,
        ):
            try:
                for info in self._infos:
                    tree = changed.get(info.filename)
                    out.writestr(info, opened.read(info) if tree is None else serialized(tree))
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
                raise _damaged(error) from None
        return written.getvalue()


def parse(data: bytes) -> Any:
    """An XML document as lxml's tree: nothing is fetched, no entity is resolved."""
    etree = _lxml()
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=False
    )
    try:
        tree = etree.parse(io.BytesIO(data), parser)
    except etree.XMLSyntaxError as error:
        raise InvalidMediaError(f"The document's XML is damaged: {error.msg}.") from None
    if tree.docinfo.internalDTD is not None:
        raise InvalidMediaError(
            "The document's XML has a document type of its own.", hint="Save it without one."
        )
    return tree


def serialized(tree: Any) -> bytes:
    """The tree as a file, declared as it was."""
    return _lxml().tostring(
        tree,
        xml_declaration=True,
        encoding=tree.docinfo.encoding or "UTF-8",
        standalone=tree.docinfo.standalone,
    )


def serialized_element(element: Any) -> bytes:
    """One element as canonical XML, to compare."""
    return _lxml().tostring(element, method="c14n", with_tail=False)


def _lxml() -> Any:
    with needs("local"):
        return importlib.import_module("lxml.etree")


def _damaged(error: Exception) -> InvalidMediaError:
    return InvalidMediaError(
        f"The document is damaged: {type(error).__name__}.", hint="Does it open in its program?"
    )
