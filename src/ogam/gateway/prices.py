"""What vendors charge: ``prices.toml`` beside this file, and the rows of ogam.toml before it.

What a row does not say is never guessed: a model without a row has no price, and that is not a
price of zero. Reads that one file, once, and knows no request, vendor or budget.
"""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

import msgspec

from ogam.capabilities.base import Capability
from ogam.gateway import price_rows
from ogam.gateway.billing import Billing, Documents, Price
from ogam.gateway.price_rows import Entry

__all__ = ["Billing", "Book", "Documents", "Entry", "Price"]

_WILD = re.compile(r"[*?[]")


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    as_of: datetime.date
    prices: tuple[dict[str, Any], ...]


class Book:
    """All prices: ``own`` rows come before ``shipped`` ones, however wide their patterns are."""

    def __init__(self, own: Sequence[Entry], shipped: Sequence[Entry], as_of: str) -> None:
        self.own, self.shipped, self.as_of = tuple(own), tuple(shipped), as_of

    @classmethod
    def load(cls, overrides: Sequence[Mapping[str, Any]] = ()) -> Book:
        """The shipped prices, after ``overrides``: ``[[prices]]`` of ogam.toml, in the same form.

        ConfigurationError names the row and the field that is wrong.
        """
        as_of, shipped = _shipped()
        own = [
            price_rows.entry(row, number, price_rows.OWN) for number, row in enumerate(overrides, 1)
        ]
        return cls(own, shipped, as_of)

    def find(self, vendor: str, model: str, capability: Capability) -> Price | None:
        """The price of a model, None where nobody knows it.

        A name itself comes before a pattern, a pattern with a longer beginning before one with a
        shorter, the earlier row before the later.
        """
        for entries in (self.own, self.shipped):
            found = [
                (_WILD.search(pattern) is not None, -_beginning(pattern), -len(pattern), at)
                for at, entry in enumerate(entries)
                if entry.vendor == vendor and capability in entry.capabilities
                for pattern in entry.models
                if pattern == model or fnmatchcase(model, pattern)
            ]
            if found:
                return entries[min(found)[3]].price
        return None


def _beginning(pattern: str) -> int:
    wild = _WILD.search(pattern)
    return wild.start() if wild else len(pattern)


@functools.cache
def _shipped() -> tuple[str, tuple[Entry, ...]]:
    text = resources.files("ogam.gateway").joinpath("prices.toml").read_text(encoding="utf-8")
    file = msgspec.convert(tomllib.loads(text), _File)
    as_of = file.as_of.isoformat()
    rows = enumerate(file.prices, 1)
    return as_of, tuple(price_rows.entry(row, number, as_of) for number, row in rows)
