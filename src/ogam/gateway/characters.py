"""The characters that a key's calls came to this month, and what its budgets still pay for.

Some vendors sell characters and tell an account how many it used; here the ledger knows. Knows
no vendor's wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ogam.capabilities.base import Capability, Units
from ogam.gateway import periods
from ogam.gateway.billing import Billing
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import ANYONE, Key

if TYPE_CHECKING:
    from ogam.gateway.ledger import BudgetState

# Where nothing limits: a number all the same, because SDKs want one and programs subtract from it.
NO_LIMIT = 1_000_000_000_000
# A price for one character is a fraction; a million is how they are told.
_MANY = 1_000_000


class Characters(NamedTuple):
    """``number`` of this month (UTC), and ``limit``: that, and what the budgets leave."""

    number: int
    limit: int


async def used(
    gateway: Gateway, key: Key | None, capability: Capability, protocol: str
) -> Characters:
    """Of the key's calls over ``protocol``; of everyone's where no key is asked for.

    LedgerError where the books do not answer.
    """
    from ogam.gateway.ledger import period_of, span

    ledger = await gateway.spending.open()
    # Rows are written behind the calls: this one comes after them.
    await ledger.flush()
    month = span(period_of("month", periods.now()))
    filters: dict[str, Any] = {"capability": capability, "protocol": protocol}
    if key is not None and key != ANYONE:
        filters["key"] = key.id
    found = await ledger.usage(since=month and month[0], **filters)
    count = sum(one.units.characters for one in found)
    left = _left(gateway, key or ANYONE, capability, await ledger.budgets())
    return Characters(count, NO_LIMIT if left is None else count + left)


def _left(
    gateway: Gateway, key: Key, capability: Capability, budgets: list[BudgetState]
) -> int | None:
    """As many characters as the budgets still pay for, at the model that gives most for it.

    None where nothing says so: the route has a model of this machine, or one that is not paid by
    the character, or no budget stands over it.
    """
    most = 0
    for name in gateway.config.routes.of(capability).names:
        vendor = gateway.vendor(name)
        if vendor is None:
            return None
        scopes = {
            ("total", ""),
            ("key", key.id),
            ("capability", capability),
            ("vendor", vendor.name),
        }
        over = [one for one in budgets if (one.budget.scope, one.budget.subject) in scopes]
        price = gateway.spending.book.find(vendor.name, name.partition("/")[2], capability)
        if not over or (price is not None and not price.characters):
            return None
        if price is not None:  # without a price, nothing is sent under a budget
            each = price.cost(Billing(units=Units(characters=_MANY)))
            money = max(0, min(one.left for one in over))
            most = max(most, money * _MANY // each)
    return most
