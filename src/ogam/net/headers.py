"""Header fields: those of an answer, read; those of a request, checked and written."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime

from ogam.errors import InvalidRequestError

# RFC 9110, section 5.6.2; what follows is its section 5.5, without the control characters.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# They say where a message ends, which is the client's own affair.
_FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# Bytes are taken as they come: a compressed answer to a small question costs both sides time.
_DEFAULTS = (("accept", "*/*"), ("accept-encoding", "identity"), ("user-agent", "ogam"))


class Headers:
    """The fields of an answer, names in lower case, in the order they came."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def get(self, name: str, default: str = "") -> str:
        """The value of ``name``, several joined by a comma; ``default`` where there is none."""
        wanted = name.lower().encode("latin-1")
        found = [value for key, value in self._raw if key == wanted]
        return b", ".join(found).decode("latin-1") if found else default

    @property
    def retry_after(self) -> float | None:
        """The seconds that the peer asks to wait, told as seconds or as a date; None: it does not.

        https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
        """
        told = self.get("retry-after")
        try:
            seconds = float(told)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(told).timestamp() - time.time()
            except (ValueError, OverflowError):
                return None
        return max(0.0, seconds) if math.isfinite(seconds) else None

    def items(self) -> list[tuple[str, str]]:
        """Every field."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._raw]

    def __contains__(self, name: str) -> bool:
        wanted = name.lower().encode("latin-1")
        return any(key == wanted for key, _ in self._raw)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.items()])

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


def lines(fields: Sequence[tuple[str, str]]) -> bytes:
    """The fields of a request as they are written, with what every request says of itself.

    InvalidRequestError names the field that cannot be written, never its value, which may be a key.
    """
    given: set[str] = set()
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(f"{name!r} is no name of an HTTP header.")
        if not _VALUE.fullmatch(value):
            raise InvalidRequestError(
                f"The HTTP header {name} has a character that no header may have.",
                hint="A key copied with its line end is the usual reason.",
            )
        given.add(name.lower())
    if framing := given & _FRAMING:
        raise InvalidRequestError(f"The HTTP header {min(framing)} cannot be set.")
    every = [field for field in _DEFAULTS if field[0] not in given]
    every += fields
    return "".join([f"{name}: {value}\r\n" for name, value in every]).encode("latin-1")
