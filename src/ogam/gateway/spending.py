"""The money of calls: what an attempt can cost at most is set aside before it is sent, and what
it did cost is settled after. Knows prices, bounds and the ledger; no engine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from ogam.capabilities.base import Result
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.config import Config
from ogam.gateway.trail import Trail
from ogam.vendors import Vendor

# Imported where they are used: what costs nothing loads no database.
if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger
    from ogam.gateway.prices import Book, Price


class Stake:
    """What was set aside for one attempt. One of its methods is called, once."""

    def __init__(
        self, trail: Trail, hold: str, price: Price | None, features: tuple[str, ...]
    ) -> None:
        self._trail, self._hold, self._price, self._features = trail, hold, price, features

    def settle(self, result: Result) -> None:
        """It answered: what that costs."""
        from ogam.gateway.prices import Billing

        cost = 0
        if self._price is not None:
            cost = self._price.cost(Billing(units=result.units, features=self._features))
            self._trail.price_version = self._price.version
        self._trail.cost += cost
        self._end(cost, "settled")

    def release(self) -> None:
        """It did not reach the vendor, or the vendor refused it: nothing is owed."""
        self._end(0, "released")

    def leave(self) -> None:
        """Nobody knows what the vendor bills: all of it stays set aside until someone does."""
        self._end(None, "unknown")

    def _end(self, cost: int | None, outcome: Any) -> None:
        from ogam.gateway.ledger import Settlement

        self._trail.settlements.append(Settlement(hold=self._hold, cost=cost, outcome=outcome))


class Spending:
    """One gateway's. ``ledger`` opens at the first call that costs, or by ``open``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._book: Book | None = None
        self._ledger: Ledger | None = None
        self._opening = asyncio.Lock()

    @property
    def book(self) -> Book:
        """The prices, the configuration's first."""
        if self._book is None:
            from ogam.gateway.prices import Book

            self._book = Book.load(self._config.prices)
        return self._book

    async def open(self) -> Ledger:
        """The ledger, open."""
        if self._ledger is None:
            async with self._opening:
                if self._ledger is None:
                    from ogam.gateway.ledger import Ledger

                    own = self._config.ledger
                    ledger = Ledger(
                        own.url or self._config.server.folder() / "ledger.sqlite",
                        when_down=own.when_down,
                        durable=own.durable,
                    )
                    await ledger.open()
                    self._ledger = ledger
        return self._ledger

    async def close(self) -> None:
        """Write what waits, and close the ledger."""
        if self._ledger is not None:
            ledger, self._ledger = self._ledger, None
            await ledger.close()

    async def stake(
        self, trail: Trail, name: str, vendor: Vendor, request: Any
    ) -> tuple[Stake, Any]:
        """Set aside the most that ``request`` can cost; the request as it may then be sent.

        BudgetError where that does not fit, UnpricedError where nobody knows it and a budget
        stands over it, LedgerError where nothing can be set aside.
        """
        from ogam.gateway.ledger import Hold

        ledger = await self.open()
        model = name.partition("/")[2]
        price = self.book.find(vendor.name, model, trail.capability)
        request = self._with_maximum(request)
        bound = await self._bound(trail, price, request)
        hold = trail.next_hold()
        await ledger.hold(
            Hold(
                id=hold,
                call=trail.id,
                at=trail.at,
                key=trail.caller.key.id,
                capability=trail.capability,
                vendor=vendor.name,
                model=name,
                bound=bound,
                price_version=price.version if price else "",
                sent=True,
            )
        )
        features = tuple(getattr(request, "features", ()))
        return Stake(trail, hold, price, features), request

    def _with_maximum(self, request: Any) -> Any:
        if isinstance(request, GenerateRequest) and request.max_tokens is None:
            return msgspec.structs.replace(
                request, max_tokens=self._config.ledger.max_output_tokens
            )
        return request

    async def _bound(self, trail: Trail, price: Price | None, request: Any) -> int | None:
        from ogam.gateway import bounds

        if price is None:
            return None
        if isinstance(request, TranscribeRequest):
            # Its seconds are known once it is decoded.
            most = await asyncio.to_thread(bounds.bound, trail.capability, request, price)
        else:
            most = bounds.bound(trail.capability, request, price)
        return None if most is None else price.cost(most)

    def end(self, trail: Trail, result: Result | None, error: BaseException | None) -> None:
        """The call is over: its row and its settlements go to the ledger, where one is open."""
        if self._ledger is not None:
            self._ledger.settle(trail.row(result, error), trail.settlements)
