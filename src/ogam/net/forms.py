"""multipart/form-data, written."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from ogam.errors import InvalidRequestError

# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
_ESCAPES = str.maketrans({"\r": "%0D", "\n": "%0A", '"': "%22"})


def multipart(
    fields: Sequence[tuple[str, str]] = (),
    files: Sequence[tuple[str, str, str, bytes]] = (),
) -> tuple[str, bytes]:
    """The content type and the body of a form.

    A field is (name, value); a file (name, file name, content type, bytes). A name may come more
    than once. InvalidRequestError for a content type that is none.
    """
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    for name, value in fields:
        parts += (_head(boundary, name), b"\r\n", value.encode(), b"\r\n")
    for name, file_name, content_type, content in files:
        if not (content_type.isascii() and content_type.isprintable()):
            raise InvalidRequestError(f"{content_type!r} is no content type.")
        kind = content_type or "application/octet-stream"
        rest = f'; filename="{file_name.translate(_ESCAPES)}"\r\ncontent-type: {kind}\r\n'
        parts += (_head(boundary, name, rest), b"\r\n", content, b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def _head(boundary: str, name: str, rest: str = "\r\n") -> bytes:
    name = name.translate(_ESCAPES)
    return f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{rest}'.encode()
