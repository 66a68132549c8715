"""Rows of prices, as they stand in TOML: read, checked, and made into prices.

Amounts are text, so that they are read exactly; a factor is text too. Knows no file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple, cast

import msgspec

from ogam.capabilities.base import Capability
from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.gateway import money
from ogam.gateway.billing import Above, Documents, Kind, Price, Rate

OWN = "ogam.toml"
_MILLION, _THOUSAND, _MINUTE, _HOUR = 1_000_000, 1_000, 60_000, 3_600_000
_FACTOR = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")


class _Long(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    above: int
    input: str
    output: str


class _Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    above: int
    factor: str


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    vendor: str
    models: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    sources: tuple[str, ...] = ()
    checked: datetime.date | None = None
    note: str = ""
    free: str | None = None
    input: str | None = None
    cached: str | None = None
    cache_write: str | None = None
    output: str | None = None
    long: _Long | None = None
    audio_tokens_per_second: int | None = None
    output_limit: int | None = None
    characters: str | None = None
    documents: Documents | None = None
    minute: str | None = None
    hour: str | None = None
    step_ms: int = 1
    minimum_ms: int = 0
    per_channel: bool = False
    features: dict[str, str] = {}
    batch: str | None = None
    tiers: tuple[_Tier, ...] = ()
    unbounded: tuple[str, ...] = ()


class Entry(NamedTuple):
    """A row of the book: which models of whom have this price, and for what."""

    vendor: str
    models: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    price: Price


class _WrongError(Exception):
    """A field of a row, and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


def entry(values: Mapping[str, Any], number: int, origin: str) -> Entry:
    """Row ``number`` of ``origin`` (:data:`OWN`, or the day of a whole file).

    ConfigurationError names the row and the field that is wrong.
    """
    try:
        row = msgspec.convert(dict(values), _Row)
        return Entry(row.vendor, row.models, row.capabilities, _price(row, origin))
    except (msgspec.ValidationError, _WrongError) as error:
        problem = str(error)
    models: Any = values.get("models")
    if isinstance(models, list):
        models = next(iter(cast(list[Any], models)), None)
    who = " ".join(str(name) for name in (values.get("vendor"), models) if name is not None)
    raise ConfigurationError(
        f"Row {number} of [[prices]]{f' ({who[:60]})' if who else ''} is wrong: {problem}.",
        hint='Amounts stand in quotes: input = "0.15". See docs/prices.md.',
    )


def _price(row: _Row, origin: str) -> Price:
    _check(row)
    day = row.checked.isoformat() if row.checked else ""
    own = origin == OWN
    version = f"{origin} {day}".strip() if own else day or origin
    if row.free is not None:
        free = Price.free(row.free)
        return msgspec.structs.replace(free, version=f"{version}, free", sources=row.sources)
    kind = _kind(row)
    minute, hour = _amount("minute", row.minute), _amount("hour", row.hour)
    audio = Fraction(minute or 0, _MINUTE) or Fraction(hour or 0, _HOUR)
    price = Price(
        version=version,
        note=row.note,
        sources=row.sources,
        bills=kind,
        input=_rate("input", row.input) or 0,
        cached=_rate("cached", row.cached),
        cache_write=_rate("cache_write", row.cache_write),
        output=_rate("output", row.output) or 0,
        long=_long(row.long),
        audio_tokens_per_second=row.audio_tokens_per_second,
        output_limit=row.output_limit,
        characters=_rate("characters", row.characters) or 0,
        documents=row.documents,
        audio=audio,
        step_ms=row.step_ms,
        minimum_ms=row.minimum_ms,
        per_channel=row.per_channel,
        features={
            name: Fraction(_amount(f"features.{name}", amount) or 0, _THOUSAND)
            for name, amount in row.features.items()
        },
        batch=None if row.batch is None else _factor("batch", row.batch, most=1),
        tiers=_tiers(row.tiers),
        unbounded=row.unbounded,
        # Last: it takes amounts that were read without fault.
        words=_words(row, kind),
    )
    # A bound charges the dearest of what is not known: these must be in order for that.
    if price.cached is not None and price.cached > price.input:
        raise _WrongError("cached", "it is dearer than input")
    if price.cache_write is not None and price.cache_write < price.input:
        raise _WrongError("cache_write", "it is cheaper than input")
    return price


def _check(row: _Row) -> None:
    for field in ("vendor", "models", "capabilities"):
        if not getattr(row, field):
            raise _WrongError(field, "it is empty")
    for field in ("step_ms", "audio_tokens_per_second", "output_limit"):
        if (number := getattr(row, field)) is not None and number < 1:
            raise _WrongError(field, f"it must be 1 or more, not {number}")
    if row.minimum_ms < 0:
        raise _WrongError("minimum_ms", f"it must be 0 or more, not {row.minimum_ms}")
    if row.documents is not None:
        if row.documents.minimum < 0:
            raise _WrongError("documents.minimum", "it must be 0 or more")
        if row.documents.maximum is not None and row.documents.maximum < row.documents.minimum:
            raise _WrongError("documents.maximum", "it is less than the minimum")


def _kind(row: _Row) -> Kind:
    """The one kind of unit a row bills; a row of none, or of two, is wrong."""
    kinds: list[Kind] = []
    if row.input is not None or row.output is not None:
        kinds.append("tokens")
    if row.characters is not None:
        kinds.append("characters")
    if row.minute is not None or row.hour is not None:
        kinds.append("audio")
    if row.features:
        kinds.append("features")
    if len(kinds) != 1 or (row.minute is not None and row.hour is not None):
        raise _WrongError(
            "input", "give one of input with output, characters, minute, hour, features, free"
        )
    if kinds == ["tokens"] and row.input is None:
        raise _WrongError("input", "it is missing")
    if kinds == ["tokens"] and row.output is None and "generate" in row.capabilities:
        raise _WrongError("output", "it is missing")
    return kinds[0]


def _amount(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return money.parse(text)
    except InvalidRequestError as error:
        raise _WrongError(field, error.message.rstrip(".")) from None


def _rate(field: str, text: str | None) -> Rate | None:
    """Dollars a million units as nano-dollars a unit."""
    amount = _amount(field, text)
    if amount is None:
        return None
    rate = Fraction(amount, _MILLION)
    return rate.numerator if rate.denominator == 1 else rate


def _factor(field: str, text: str, *, least: int = 0, most: int = 1_000_000) -> Fraction:
    if not _FACTOR.fullmatch(text) or not least <= Fraction(text) <= most:
        raise _WrongError(field, f"{text[:40]!r} is no factor from {least} to {most}")
    return Fraction(text)


def _long(row: _Long | None) -> Above | None:
    if row is None:
        return None
    if row.above < 0:
        raise _WrongError("long.above", "it must be 0 or more")
    return Above(
        row.above,
        _factor("long.input", row.input, least=1),
        _factor("long.output", row.output, least=1),
    )


def _tiers(rows: tuple[_Tier, ...]) -> tuple[Above, ...]:
    starts = [row.above for row in rows]
    if rows and (starts[0] != 0 or sorted(set(starts)) != starts):
        raise _WrongError("tiers", "the first must be above 0, and each above the one before")
    return tuple(Above(row.above, _factor("tiers.factor", row.factor, most=1)) for row in rows)


def _words(row: _Row, kind: Kind) -> str:
    def told(amount: str | None) -> str:
        return money.dollars(money.parse(amount or "0"))

    if kind == "tokens":
        named = {"in": row.input, "cached": row.cached, "cache write": row.cache_write}
        parts = [f"{told(one)} {name}" for name, one in {**named, "out": row.output}.items() if one]
        return f"{', '.join(parts)} per 1M tokens"
    if kind == "characters":
        return f"{told(row.characters)} per 1M characters"
    if kind == "audio":
        return f"{told(row.minute)} a minute" if row.minute else f"{told(row.hour)} an hour"
    by_amount: dict[str, list[str]] = {}
    for name, amount in row.features.items():
        by_amount.setdefault(told(amount), []).append(name)
    parts = [f"{amount} {', '.join(names)}" for amount, names in by_amount.items()]
    return f"{'; '.join(parts)} per 1,000 pictures"
