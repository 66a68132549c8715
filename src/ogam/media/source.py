"""Where media comes from: a path, bytes, a file object or a data URL, all to bytes.

Never fetches anything: a web address is refused, not opened.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from ogam.errors import InvalidMediaError, InvalidRequestError
from ogam.media import limits

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]+)*),", re.ASCII)
_WEB = re.compile(r"(?i)(https?|ftp|gs|s3)://")


def read(source: Source, what: str) -> tuple[bytes, str]:
    """Return (bytes, a name for messages). ``what`` is "audio" or "picture"."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), f"The {what}"
    elif isinstance(source, str) and source.startswith("data:"):
        data, name = _from_data_url(source, what), f"The {what} in the data URL"
    elif isinstance(source, str) and _WEB.match(source):
        raise InvalidRequestError(
            f"{source[:60]} is a web address; Ogam does not fetch media by itself.",
            hint="Download it and give the file or its bytes.",
        )
    elif isinstance(source, (str, os.PathLike)):
        data, name = _from_path(os.fspath(source))
    elif hasattr(source, "read"):
        data = source.read(limits.current().max_bytes + 1)
        name = str(getattr(source, "name", f"The {what}"))
        if not isinstance(data, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(
                f"{name} is open as text.", hint='Open it with open(path, "rb").'
            )
    else:
        raise InvalidRequestError(
            f"{what} cannot be made from {type(source).__name__}.",
            hint="Give a path, bytes, a file opened in binary mode, a NumPy array or a data URL.",
        )
    limits.check_bytes(len(data), name)
    if not data:
        raise InvalidMediaError(f"{name} is empty.", hint="It has 0 bytes.")
    return data, name


def _from_path(path: str) -> tuple[bytes, str]:
    if "\x00" in path:
        raise InvalidRequestError("The file name contains a NUL byte.")
    try:
        with open(path, "rb") as file:
            limits.check_bytes(os.fstat(file.fileno()).st_size, path)
            # One byte more than allowed: a pipe or /dev/zero has no size to ask for.
            return file.read(limits.current().max_bytes + 1), path
    except FileNotFoundError:
        raise InvalidRequestError(
            f"There is no file {path!r}.", hint="Is the path right?"
        ) from None
    except IsADirectoryError:
        raise InvalidRequestError(f"{path!r} is a folder.", hint="Name a file in it.") from None
    except OSError as error:
        raise InvalidRequestError(f"{path!r} cannot be read: {error.strerror}.") from None


def _from_data_url(url: str, what: str) -> bytes:
    match = _DATA_URL.match(url)
    if not match:
        raise InvalidRequestError(
            f"The {what}'s data URL is malformed.",
            hint="It looks like data:audio/wav;base64,UklGR…",
        )
    # A base64 character carries 6 bits.
    limits.check_bytes((len(url) - match.end()) * 3 // 4, f"The {what} in the data URL")
    payload = url[match.end() :]
    if ";base64" not in match.group(2).lower():
        return unquote_to_bytes(payload)
    try:
        return base64.b64decode(unquote_to_bytes(payload), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"The {what}'s data URL is not valid base64.") from None
