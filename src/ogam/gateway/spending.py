"""The money of calls: what an attempt can cost at most is set aside before it is sent, and what
it did cost is settled after. Knows prices, bounds and the ledger; no engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ogam.capabilities.base import Capability, Result, Units
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.config import Config
from ogam.errors import InvalidRequestError, NotFoundError, UnpricedError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.ledger.values import Hold, Settlement
from ogam.gateway.trail import Trail
from ogam.routes import Route
from ogam.vendors import Vendor

# Imported where they are used: what costs nothing loads no database.
if TYPE_CHECKING:
    from ogam.gateway.caller import Caller
    from ogam.gateway.ledger import Ledger, Row, Status
    from ogam.gateway.prices import Book

# Prices found and kept, so that a call need not search for them.
_PRICES = 1000


class Asked(Protocol):
    """What an attempt asks of a vendor: what it can cost at most, and the features to see."""

    features: tuple[str, ...]

    async def prove(self, price: Price) -> Billing | Unprovable:
        """The most that it is billed for, or why nobody knows."""
        ...


class Valued:
    """A capability's request as what is asked for."""

    def __init__(self, capability: Capability, request: Any) -> None:
        self._capability: Capability = capability
        self._request = request
        self.features = tuple(getattr(request, "features", ()))

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By :mod:`ogam.gateway.bounds`; a recording's seconds are known once it is decoded."""
        if isinstance(self._request, TranscribeRequest):
            return await asyncio.to_thread(bounds.prove, self._capability, self._request, price)
        return bounds.prove(self._capability, self._request, price)


class Stake:
    """What was set aside for one attempt, as ``hold``. One of its methods is called, once."""

    def __init__(self, trail: Trail, hold: str, price: Price | None, asked: Asked) -> None:
        self._trail, self.hold, self._price, self._asked = trail, hold, price, asked

    def settle(self, result: Result) -> None:
        """It answered: what that costs. What has no price is written down as unknown."""
        price = self._price
        if price is None:
            self._trail.price_version = "unknown"
            self._end(0, "settled")
            return
        features = tuple(getattr(result, "features", ())) or self._asked.features
        try:
            cost = price.cost(Billing(units=result.units, features=features))
        except UnpricedError:
            # It did not say what it bills for: all of it stays set aside.
            self.leave()
            return
        self._trail.price_version = price.version
        self._trail.cost += cost
        self._end(cost, "settled")

    def release(self) -> None:
        """It did not reach the vendor, or the vendor refused it: nothing is owed."""
        self._end(0, "released")

    def leave(self) -> None:
        """Nobody knows what the vendor bills: all of it stays set aside until someone does."""
        self._end(None, "unknown")

    def _end(self, cost: int | None, outcome: Any) -> None:
        self._trail.settlements.append(Settlement(hold=self.hold, cost=cost, outcome=outcome))


class Spending:
    """One gateway's. ``ledger`` opens at the first call that costs, or by ``open``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._book: Book | None = None
        self._prices: dict[tuple[str, str, Capability], Price | None] = {}
        self._ledger: Ledger | None = None
        self._opening = asyncio.Lock()
        # Told of each call once it is over: its row, and who asked.
        self.observers: list[Callable[[Row, Caller], None]] = []

    @property
    def book(self) -> Book:
        """The prices, the configuration's first."""
        if self._book is None:
            from ogam.gateway.prices import Book

            self._book = Book.load(self._config.prices)
        return self._book

    def reprice(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take other rows before the shipped prices. ConfigurationError names a wrong one."""
        from ogam.gateway.prices import Book

        self._book = Book.load(rows)
        self._prices.clear()

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
                        record=(),
                    )
                    await ledger.open()
                    self._ledger = ledger
        return self._ledger

    def status(self) -> Status | None:
        """How the ledger is; None where it is not open."""
        return None if self._ledger is None else self._ledger.status()

    async def close(self) -> None:
        """Write what waits, and close the ledger."""
        if self._ledger is not None:
            ledger, self._ledger = self._ledger, None
            await ledger.close()

    async def stake(self, trail: Trail, name: str, vendor: Vendor, asked: Asked) -> Stake:
        """Set aside the most that ``asked`` can cost of the model ``name``.

        BudgetError where that does not fit, UnpricedError where nobody knows it and a budget
        stands over it, LedgerError where nothing can be set aside.
        """
        ledger = await self.open()
        price = self._price(vendor.name, name.partition("/")[2], trail.capability)
        most = None if price is None else await asked.prove(price)
        known = isinstance(most, Billing)
        hold = trail.next_hold()
        try:
            await ledger.hold(
                Hold(
                    id=hold,
                    call=trail.id,
                    at=trail.at,
                    key=trail.caller.key.id,
                    capability=trail.capability,
                    vendor=vendor.name,
                    model=name,
                    bound=price.cost(most) if price is not None and known else None,
                    price_version=price.version if price else "",
                    sent=True,
                )
            )
        except UnpricedError as error:
            if most is None or known:
                raise
            raise UnpricedError(
                f"What this can cost at most is not known, and a budget stands over it: "
                f"{most.reason}",
                hint=most.hint,
                budget=error.budget,
            ) from None
        return Stake(trail, hold, price, asked)

    async def reconcile(self, hold: str, capability: Capability, name: str, units: Units) -> None:
        """Settle what was left of an attempt of the model ``name``, which has told by now.

        Nothing where that was done before. LedgerError where it cannot be written.
        """
        vendor, _, model = name.partition("/")
        price = self._price(vendor, model, capability)
        try:
            cost = price.cost(Billing(units=units)) if price is not None else 0
            ledger = await self.open()
            await ledger.reconcile(hold, cost, units)
        except (InvalidRequestError, NotFoundError, UnpricedError):
            return

    def _price(self, vendor: str, model: str, capability: Capability) -> Price | None:
        key = (vendor, model, capability)
        if key not in self._prices:
            # A client may name models without end.
            if len(self._prices) >= _PRICES:
                self._prices.clear()
            self._prices[key] = self.book.find(vendor, model, capability)
        return self._prices[key]

    def record(self, trail: Trail, route: Route, request: Any, answer: Any) -> None:
        """Keep what was asked and answered, where the route says so."""
        if route.record and self._ledger is not None:
            from ogam.gateway import recording

            recording.keep(self._ledger, trail.id, route, request, answer)

    def end(self, trail: Trail, result: Result | None, error: BaseException | None) -> None:
        """The call is over: its row and its settlements go to the ledger, where one is open."""
        if trail.ticket is not None:
            trail.ticket.close(result.units if result else Units())
        if self._ledger is None and not self.observers:
            return
        row = trail.row(result, error)
        if self._ledger is not None:
            self._ledger.settle(row, trail.settlements)
        for tell in self.observers:
            tell(row, trail.caller)
