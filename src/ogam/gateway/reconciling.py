"""The ledger beside a vendor's own count: what this month comes to, by us and by them.

Two vendors tell: DeepL and ElevenLabs, the characters of the account in its period. That is all
who use the account, and its period need not be the calendar's month, so a difference is a
question, and no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ogam import vendors
from ogam.capabilities.base import Value
from ogam.config import Config
from ogam.errors import InvalidRequestError, NotFoundError
from ogam.gateway.billing import Billing, Units
from ogam.gateway.ledger.values import period_of, span
from ogam.gateway.money import dollars
from ogam.gateway.prices import Book, Price
from ogam.registry import Registry

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger

# What each vendor counts in characters.
_COUNTED = {"deepl": "translate", "elevenlabs": "speak"}


class Comparison(Value, frozen=True, kw_only=True):
    """``theirs`` and ``ours`` are characters, the money what the ledger says of the month.

    ``difference_nano``: what the difference costs at the dearest price of the models used, None
    where no price is known. ``unknown_nano``: set aside for attempts that nobody could settle.
    """

    vendor: str
    month: str
    theirs: int
    ours: int
    cost_nano: int
    unknown_nano: int
    difference_nano: int | None
    price: str = ""


async def compare(ledger: Ledger, config: Config, vendor: str, now: int) -> Comparison:
    """Ask the vendor and the ledger.

    NotFoundError for no such vendor, InvalidRequestError for one that does not tell; VendorError
    where it does not answer.
    """
    known = vendors.found(config.vendors)
    own = known.get(vendor)
    if own is None:
        raise NotFoundError(f"There is no vendor {vendor!r}.", hint=f"There is {', '.join(known)}.")
    capability: Any = _COUNTED.get(own.protocol)
    if capability is None:
        raise InvalidRequestError(
            f"{vendor} does not tell what it billed.",
            hint="Those that speak DeepL's and ElevenLabs' protocols do; for others read the bill, "
            "and settle holds by hand: ogam ledger reconcile HOLD DOLLARS.",
        )
    registry = Registry(known)
    try:
        theirs = int(await registry.get(vendor).usage())
        await registry.aclose()
    finally:
        registry.close()
    month = period_of("month", now)
    within = span(month)
    assert within is not None
    found = await ledger.usage(
        ("model",), since=within[0], until=within[1], vendor=vendor, capability=capability
    )
    ours = sum(one.units.characters for one in found)
    book = Book.load(config.prices)
    names = [one.model.partition("/")[2] for one in found] or [""]
    prices = [book.find(vendor, name, capability) for name in names]
    price = max((one for one in prices if one), key=lambda one: one.characters, default=None)
    if own.free:
        price = Price.free("free = true")
    apart = abs(theirs - ours)
    return Comparison(
        vendor=vendor,
        month=month,
        theirs=theirs,
        ours=ours,
        cost_nano=sum(one.cost for one in found),
        unknown_nano=sum(one.unknown for one in found),
        difference_nano=price and price.cost(Billing(units=Units(characters=apart))),
        price=price.words if price else "",
    )


def words(found: Comparison) -> list[str]:
    """The comparison in sentences, one a line."""
    cost = dollars(found.cost_nano)
    lines = [
        f"{found.vendor} counts {found.theirs:,} characters, "
        f"the ledger {found.ours:,} in {found.month} for {cost}."
    ]
    apart = found.theirs - found.ours
    if not apart:
        lines.append("They agree.")
        return lines
    worth = "nobody here knows its price"
    if found.difference_nano is not None:
        worth = f"{dollars(found.difference_nano)} at {found.price}"
    if apart > 0:
        lines.append(f"That is {apart:,} more than the ledger saw: {worth}.")
        if found.unknown_nano:
            lines.append(
                f"Attempts that nobody settled hold {dollars(found.unknown_nano)} and may be it: "
                "ogam ledger holds --state unknown."
            )
        lines.append("Others may use the account, and its period may begin on another day.")
    else:
        lines.append(f"That is {-apart:,} fewer than the ledger saw: {worth}.")
        lines.append("Its count may lag, or its period began later than the month.")
    return lines
