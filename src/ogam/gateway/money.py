"""Amounts of money: whole nano-dollars, as text both ways. Knows no price and no budget.

A nano-dollar is the smallest amount here, so that the price of one token is a whole number of
them ($0.15 for a million tokens is 150 a token) and sums are exact. No amount is ever a float.
"""

from __future__ import annotations

import re

from ogam.errors import InvalidRequestError

NANO = 1_000_000_000
# What a signed 64-bit column of a database holds: above nine billion dollars.
MOST = 2**63 - 1
# ASCII digits alone: \d also takes those of other scripts.
_AMOUNT = re.compile(r"\$?([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.([0-9]{1,9}))?")


def parse(text: str) -> int:
    """Nano-dollars of ``12.50``, ``$12.50`` or ``$1,250.000000001``.

    InvalidRequestError for anything else: signs, exponents, more than nine decimals, a comma
    that separates no thousands, or more than :data:`MOST`.
    """
    found = _AMOUNT.fullmatch(text.strip())
    # Twenty digits are over the most, and int() takes its time on thousands of them.
    whole = found[1].replace(",", "").lstrip("0") if found else ""
    if found is None or len(whole) > 19:
        raise InvalidRequestError(
            f"{_short(text)!r} is no amount of dollars.",
            hint="Write it as 12.50: no sign, nine decimals at most.",
        )
    nano = int(whole or "0") * NANO + int((found[2] or "").ljust(9, "0"))
    if nano > MOST:
        raise InvalidRequestError(
            f"{_short(text)!r} is too much.", hint=f"At most {dollars(MOST)}."
        )
    return nano


def dollars(nano: int) -> str:
    """The amount exactly, with two decimals or as many as it takes: $12.50, $0.000075."""
    whole, part = divmod(abs(nano), NANO)
    decimals = f"{part:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{decimals}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
