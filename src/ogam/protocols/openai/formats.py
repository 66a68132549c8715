"""The formats of strings that the vendor's structured outputs know: how one is told in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

_CLOCK = r"\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})+"
# How it looks, what else must take it, and what is written where the text has none.
FORMATS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "date": (r"\d{4}-\d\d-\d\d", date.fromisoformat, "1970-01-01"),
    "time": (_CLOCK, time.fromisoformat, "00:00:00Z"),
    "date-time": (rf"\d{{4}}-\d\d-\d\dT{_CLOCK}", datetime.fromisoformat, "1970-01-01T00:00:00Z"),
    "duration": (r"P(?:\d+D)?T(?:\d+H(?:\d+M)?(?:\d+S)?|\d+M(?:\d+S)?|\d+S)|P\d+[DW]", str, "PT0S"),
    "email": (rf"[\w+-]+(?:\.[\w+-]+)*@{_HOST}", lambda one: one.encode("ascii"), "a@example.org"),
    "hostname": (_HOST, str, "example.org"),
    "ipv4": (r"\d+\.\d+\.\d+\.\d+", IPv4Address, "0.0.0.0"),  # noqa: S104
    "ipv6": (r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+", IPv6Address, "::"),
    "uuid": (r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", UUID, str(UUID(int=0))),
}


def formatted(name: str, text: str) -> str:
    """The first of format ``name`` in ``text``, or one that says nothing."""
    pattern, check, otherwise = FORMATS[name]
    for found in re.finditer(pattern, text):
        try:
            check(found[0])
        except ValueError:
            continue
        return found[0]
    return otherwise
