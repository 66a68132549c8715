"""Lengths of time and days, as people write them, in milliseconds. Knows no clock but UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from ogam.errors import InvalidRequestError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def milliseconds(text: str) -> int:
    """Of ``90s``, ``45m``, ``12h``, ``30d`` or ``2w``; ``0`` is none."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None and text.strip() != "0":
        raise InvalidRequestError(
            f"{text!r} is no length of time.", hint="Write 90s, 45m, 12h, 30d or 2w."
        )
    return 0 if found is None else int(found[1]) * _SECONDS[found[2]] * 1000


def moment(text: str) -> int:
    """When that was: ``30d`` ago, or a day such as ``2026-11-22`` (UTC)."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise InvalidRequestError(f"There is no day {text}.") from None
        return int(day.timestamp()) * 1000
    try:
        return now() - milliseconds(text)
    except InvalidRequestError:
        raise InvalidRequestError(
            f"{text!r} is neither a day nor a length of time.", hint="Write 2026-11-22 or 30d."
        ) from None
