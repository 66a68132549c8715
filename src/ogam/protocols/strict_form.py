"""Multipart forms that go on as they came, read so that no other reader can find something else.

What SDKs and browsers write is taken; anything that readers are known to differ about is not:
parts without a name, other ends of lines, escapes, the boundary inside a part.

https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.requests import Request

_KIND = re.compile(
    r"multipart/form-data; ?boundary=(\"?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1", re.IGNORECASE
)
_NAMED = re.compile(
    r'form-data; name="([^"\\\r\n]+)"(?:; filename="([^"\\\r\n]*)")?', re.IGNORECASE
)
_FIELDS = frozenset(("content-disposition", "content-length", "content-type"))
_LONGEST_HEAD, _MOST_PARTS = 4096, 1000


class Part(NamedTuple):
    """A part: its content is ``data[start:stop]`` of its form."""

    name: str
    file_name: str | None
    start: int
    stop: int


class Form:
    """A form and its parts, as they stand in its bytes."""

    def __init__(self, data: bytes, boundary: bytes, parts: list[Part]) -> None:
        self.data, self.parts = data, parts
        self._boundary = boundary

    def texts(self) -> list[tuple[str, str]]:
        """The parts that are no files. UnicodeDecodeError where one is no UTF-8."""
        return [
            (one.name, self.data[one.start : one.stop].decode())
            for one in self.parts
            if one.file_name is None
        ]

    def file(self, name: str) -> Part | None:
        """The one file of that name; None where there is none, or more."""
        found = [one for one in self.parts if one.name == name]
        return found[0] if len(found) == 1 and found[0].file_name is not None else None

    def content(self, part: Part) -> bytes:
        """What is in a part."""
        return self.data[part.start : part.stop]

    def with_field(self, name: str, value: str) -> bytes:
        """The form's bytes with ``value`` in place of what the field ``name`` holds."""
        made, data, at = bytearray(), self.data, 0
        found = [one for one in self.parts if one.name == name]
        if not found:
            made += b"--" + self._boundary + b"\r\nContent-Disposition: form-data; "
            made += f'name="{name}"\r\n\r\n{value}\r\n'.encode()
        for one in found:
            made += data[at : one.start] + value.encode()
            at = one.stop
        return bytes(made + data[at:])


async def read(request: Request) -> Form | None:
    """The form that a request brings; None where it is none, or not written plainly."""
    kinds = request.headers.getlist("content-type")
    kind = _KIND.fullmatch(kinds[0]) if len(kinds) == 1 else None
    return parse(await request.body(), kind[2].encode()) if kind else None


def parse(data: bytes, boundary: bytes) -> Form | None:
    """The form in ``data``; None where it is not written plainly."""
    line = b"--" + boundary
    if not data.startswith(line + b"\r\n"):
        return None
    parts: list[Part] = []
    at = len(line) + 2
    while len(parts) < _MOST_PARTS:
        start = data.find(b"\r\n\r\n", at, at + _LONGEST_HEAD) + 4
        named = _named(data[at : start - 4]) if start > 3 else None
        stop = data.find(b"\r\n" + line, start)
        if named is None or stop < 0:
            return None
        parts.append(Part(*named, start, stop))
        at = stop + 2 + len(line) + 2
        if data[at - 2 : at] == b"--":
            plain = data[at:] in (b"", b"\r\n") and data.count(line) == len(parts) + 1
            return Form(data, boundary, parts) if plain else None
        if data[at - 2 : at] != b"\r\n":
            return None
    return None


def _named(head: bytes) -> tuple[str, str | None] | None:
    """The name and file name that a part's head tells."""
    try:
        fields = [one.partition(":") for one in head.decode().split("\r\n")]
    except UnicodeDecodeError:
        return None
    values = {name.lower(): value.strip(" ") for name, _, value in fields}
    if len(values) < len(fields) or not values.keys() <= _FIELDS:
        return None
    found = _NAMED.fullmatch(values.get("content-disposition", ""))
    plain = head.count(b"\n") == head.count(b"\r") == len(fields) - 1 and b"\0" not in head
    return (found[1], found[2]) if found and plain else None
