"""What a call is charged for, and what a price makes of it: exact fractions, rounded up once.

Knows no vendor's prices, no request and no budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from ogam.capabilities.base import Units, Value
from ogam.errors import UnpricedError

# Nano-dollars a unit. Most prices of a token are whole, and fractions take 20 times as long.
Rate = int | Fraction
Kind = Literal["nothing", "tokens", "characters", "audio", "features"]


class Billing(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What one call is charged for.

    ``features`` names those asked of a picture; ``units.image_features`` beyond them cost as much
    as the dearest. Of the ``units.input_tokens`` that were not read from the vendor's cache,
    ``cache_writes`` were written to it; None: it did not say, and all may have been.
    """

    units: Units = Units()
    features: tuple[str, ...] = ()
    cache_writes: int | None = None

    def __add__(self, other: Billing) -> Billing:
        known = self.cache_writes is not None and other.cache_writes is not None
        return Billing(
            units=self.units + other.units,
            features=self.features + other.features,
            cache_writes=(self.cache_writes or 0) + (other.cache_writes or 0) if known else None,
        )


class Above(NamedTuple):
    """From a count on, prices are multiplied: by ``factor``, and output by ``output``."""

    above: int
    factor: Fraction
    output: Fraction = Fraction(1)


class Documents(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files: those of ``kinds`` count ``minimum`` characters at least, and none is taken that has
    more than ``maximum``.
    """

    kinds: tuple[str, ...]
    minimum: int
    maximum: int | None = None


class Price(Value, frozen=True, kw_only=True):
    """What one model costs for one capability, in nano-dollars a unit.

    It bills one kind of unit; sound in steps, and for each channel where ``per_channel``.
    ``long``: a prompt of more tokens than ``long.above`` costs its factors more, all of it.
    ``tiers`` are the discounts of a month's use. ``unbounded`` names options of a request that
    cost extra, by an amount this price does not know. ``words`` says the price for people,
    ``version`` which row it is from, and of what day.
    """

    version: str
    words: str
    note: str = ""
    sources: tuple[str, ...] = ()
    bills: Kind = "nothing"
    input: Rate = 0
    cached: Rate | None = None
    cache_write: Rate | None = None
    output: Rate = 0
    long: Above | None = None
    audio_tokens_per_second: int | None = None
    output_limit: int | None = None
    characters: Rate = 0
    documents: Documents | None = None
    audio: Fraction = Fraction()
    step_ms: int = 1
    minimum_ms: int = 0
    per_channel: bool = False
    features: Mapping[str, Fraction] = {}
    batch: Fraction | None = None
    tiers: tuple[Above, ...] = ()
    unbounded: tuple[str, ...] = ()

    @classmethod
    def free(cls, reason: str) -> Price:
        """A price of zero, and why it is one."""
        return cls(version=f"free: {reason}", words="free", note=reason)

    def billed_ms(self, milliseconds: int) -> int:
        """Milliseconds rounded up to the step and the minimum; 0 stays 0."""
        if milliseconds <= 0:
            return 0
        return max(self.minimum_ms, -(-milliseconds // self.step_ms) * self.step_ms)

    def cost(self, billing: Billing, *, already: int | None = None, batch: bool = False) -> int:
        """Nano-dollars, rounded up.

        ``already``: how many of the billed unit (of each feature) this month has seen, which
        decides its discount; None charges the dearest. ``batch``: it went with a batch.
        UnpricedError where units came and none of them is what this price bills.
        """
        exact = self._exact(billing, already)
        if batch and self.batch is not None:
            exact *= self.batch
        return math.ceil(exact)

    def _exact(self, billing: Billing, already: int | None) -> Fraction | int:
        units = billing.units
        if self.bills == "nothing":
            return Fraction()
        amount: Fraction | int
        if self.bills == "tokens":
            counted, amount = units.input_tokens + units.output_tokens, self._tokens(billing)
        elif self.bills == "characters":
            counted = units.characters
            amount = self.characters * self._discounted(units.characters, already)
        elif self.bills == "audio":
            counted = units.audio_ms
            amount = self.audio * self._discounted(self.billed_ms(units.audio_ms), already)
        else:
            counted, amount = self._features(billing, already)
        if counted <= 0 and units != Units():
            raise UnpricedError(
                f"The price is by {self.bills}, and the vendor counted none.",
                hint="Put a row for this model into [[prices]] of ogam.toml.",
            )
        return amount

    def _tokens(self, billing: Billing) -> Fraction | int:
        tokens = max(0, billing.units.input_tokens)
        cached = 0
        if self.cached is not None:
            cached = min(max(0, billing.units.cached_input_tokens), tokens)
        fresh = tokens - cached
        wrote = fresh if billing.cache_writes is None else min(max(0, billing.cache_writes), fresh)
        each = self.input
        read = (
            cached * (self.cached or 0)
            + wrote * (self.cache_write or each)
            + (fresh - wrote) * each
        )
        written = max(0, billing.units.output_tokens) * self.output
        if self.long is not None and tokens > self.long.above:
            return read * self.long.factor + written * self.long.output
        return read + written

    def _features(self, billing: Billing, already: int | None) -> tuple[int, Fraction]:
        dearest = max(self.features.values())
        known = sorted((self.features.get(one, dearest) for one in billing.features), reverse=True)
        count = max(0, billing.units.image_features) or len(known)
        rates = known[:count] + [dearest] * (count - len(known))
        return count, sum(rates, Fraction()) * self._discounted(1, already)

    def _discounted(self, count: int, already: int | None) -> Fraction:
        """``count`` units as so many at the full price."""
        count = max(0, count)
        if not self.tiers or already is None:
            return Fraction(count)
        total, already = Fraction(), max(0, already)
        ends = [*(tier.above for tier in self.tiers[1:]), already + count]
        for tier, end in zip(self.tiers, ends, strict=True):
            inside = min(end, already + count) - max(tier.above, already)
            total += max(0, inside) * tier.factor
        return total
