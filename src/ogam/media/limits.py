"""How much media and text Ogam takes in. The one place where these numbers stand.

Checked before anything is decoded, and again while decoding, because a header may lie.
"""

from __future__ import annotations

import msgspec

from ogam.errors import TooLargeError


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds on one input.

    ``max_bytes``: of one file, before decoding. ``max_pixels``: width x height; 50 million
    is above every phone camera's default and is 150 MB as RGB. ``max_seconds``: of one
    recording; four hours of 16 kHz PCM are 460 MB. ``max_characters``: of one text, in
    code points.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_seconds: int = 4 * 3600
    max_characters: int = 500_000


_current = Limits()


def current() -> Limits:
    """The limits in force in this process."""
    return _current


def use(limits: Limits) -> None:
    """Put other limits in force, for the whole process."""
    global _current
    _current = limits


def check_bytes(size: int, what: str) -> None:
    """Refuse ``size`` bytes of ``what`` if that is too much."""
    if size > _current.max_bytes:
        raise TooLargeError(
            f"{what} has {size:,} bytes; the limit is {_current.max_bytes:,}.",
            hint="Make it smaller, or raise limits.max_bytes in ogam.toml.",
        )


def check_pixels(width: int, height: int, what: str) -> None:
    """Refuse a picture of too many pixels."""
    if width * height > _current.max_pixels:
        raise TooLargeError(
            f"{what} says it is {width:,} x {height:,} pixels; "
            f"the limit is {_current.max_pixels:,} pixels.",
            hint="Scale it down, or raise limits.max_pixels in ogam.toml.",
        )


def check_seconds(seconds: float, what: str) -> None:
    """Refuse a recording that is too long."""
    if seconds > _current.max_seconds:
        raise TooLargeError(
            f"{what} lasts {seconds / 3600:.1f} hours; "
            f"the limit is {_current.max_seconds / 3600:g} hours.",
            hint="Cut it, or raise limits.max_seconds in ogam.toml.",
        )
