"""What the verbs about keys and money share: the ledger, periods of time, amounts a period."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from ogam import config as configuration
from ogam.config import Config
from ogam.errors import InvalidRequestError, NotFoundError
from ogam.gateway import money
from ogam.gateway.keys import BEFORE

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger, StoredKey
    from ogam.gateway.ledger.values import Period

T = TypeVar("T")


def run(work: Callable[[Ledger, Config], Awaitable[T]]) -> T:
    """Do ``work`` with the ledger of the settings, open."""
    settings = configuration.load()

    async def main() -> T:
        from ogam.gateway.spending import Spending

        spending = Spending(settings)
        try:
            return await work(await spending.open(), settings)
        finally:
            await spending.close()

    return asyncio.run(main())


def per_period(text: str) -> tuple[int, Period]:
    """``10/month`` as nano-dollars and the period."""
    from ogam.gateway.ledger.values import Period

    amount, _, period = text.partition("/")
    if period not in get_args(Period):
        raise InvalidRequestError(
            f"{text!r} names no amount and period.", hint="Write 5/day, 10/month or 100/ever."
        )
    return money.parse(amount), cast("Period", period)


def key_of(keys: Sequence[StoredKey], named: str) -> StoredKey:
    """The key of that id, or of that name; NotFoundError where there is none."""
    own = [one for one in keys if BEFORE not in one.id]
    found = [one for one in own if one.id == named] or [one for one in own if one.name == named]
    if not found:
        raise NotFoundError(f"There is no key {named!r}.", hint="ogam keys list shows them.")
    # A name is free again once its key is revoked.
    return next((one for one in found if one.revoked is None), found[-1])


def among(values: Sequence[str], known: Sequence[str], what: str) -> tuple[Any, ...]:
    """``values``, each of which must be one of ``known``."""
    for one in values:
        if one not in known:
            raise InvalidRequestError(
                f"There is no {what} {one!r}.", hint=f"There is {', '.join(known)}."
            )
    return tuple(dict.fromkeys(values))
