"""What a ledger is seldom asked, and what is seldom changed in it: budgets, keys, sums, lists.

Each is awaited; none of it is in the way of a call.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ogam.errors import InvalidRequestError
from ogam.gateway.ledger.values import (
    Budget,
    BudgetState,
    Difference,
    Grouping,
    OpenHold,
    Row,
    State,
    StoredKey,
    Usage,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ogam.gateway.ledger.changes import Changes

T = TypeVar("T")
# The largest amount that the databases take.
MOST = 2**63 - 1
_GROUPINGS: tuple[Grouping, ...] = ("key", "capability", "vendor", "model", "day")
# What calls may be chosen by.
_FILTERS = frozenset(
    ("id", "key", "capability", "protocol", "engine", "model", "status", "route", "cache")
)


class Seldom(ABC):
    """The part of a ledger that is not on the way of calls. All of it raises LedgerError where
    the database does not answer.
    """

    # Budgets and keys, for all processes that share the database.

    async def budgets(self, now: int | None = None) -> list[BudgetState]:
        """Every budget in its present period, or in that of ``now`` (milliseconds, UTC)."""
        from ogam.gateway.ledger import queries

        at = _now() if now is None else now
        return await self._read(lambda connection: queries.budgets(connection, at))

    async def set_budget(self, budget: Budget) -> None:
        """Make a budget, or change the one of that id; it counts what its period already saw.

        Its cap may be below what is spent: nothing more is admitted then.
        """
        if (budget.scope == "total") != (budget.subject == ""):
            raise InvalidRequestError(
                f"A budget for {budget.scope} "
                + ("names nothing further." if budget.subject else "names which one."),
                param="subject",
            )
        if not budget.id or not 0 <= budget.cap <= MOST:
            raise InvalidRequestError("A budget has an id, and a cap of $0 or more.", param="cap")
        await self._task(lambda: self._changes.set_budget(budget))

    async def remove_budget(self, budget: str) -> None:
        """NotFoundError where there is none of that id."""
        await self._task(lambda: self._changes.remove_budget(budget))

    async def keys(self) -> list[StoredKey]:
        """Every key, the revoked ones too, the oldest first."""
        from ogam.gateway.ledger import queries

        return await self._read(queries.keys)

    async def add_key(self, key: StoredKey) -> None:
        """InvalidRequestError where there is one of that id or hash."""
        await self._task(lambda: self._changes.add_key(key))

    async def revoke_key(self, key: str, at: int | None = None) -> None:
        """From ``at`` on, or from now, the key is none. NotFoundError where there is none."""
        when = _now() if at is None else at
        await self._task(lambda: self._changes.revoke_key(key, when))

    async def rotate_key(self, key: str, new: str, until: int, expires: int | None = None) -> None:
        """The key's hash is ``new`` from now on, and the old one is good ``until`` then.

        ``expires`` is when the key itself ends. NotFoundError where there is none,
        InvalidRequestError where it is revoked.
        """
        await self._task(lambda: self._changes.rotate_key(key, new, until, expires))

    async def keys_mark(self) -> tuple[int, ...]:
        """A value that is another one after every change of a key: cheaper to read than all."""
        from ogam.gateway.ledger import queries

        return await self._read(queries.keys_mark)

    # What was.

    async def usage(
        self,
        by: Sequence[Grouping] = (),
        *,
        since: int | None = None,
        until: int | None = None,
        **filters: str,
    ) -> list[Usage]:
        """Sums for each group of ``by``, the dearest first; one sum without groups.

        From ``since`` (milliseconds, UTC) and before ``until``. ``filters``: key, capability,
        vendor, model, and protocol: that of the calls.
        """
        from ogam.gateway.ledger import queries

        _known("usage is grouped by", by, _GROUPINGS)
        _known("usage is chosen by", filters, (*_GROUPINGS[:4], "protocol"))
        return await self._read(
            lambda connection: queries.usage(connection, by, filters, since, until)
        )

    async def calls(
        self,
        limit: int = 100,
        *,
        since: int | None = None,
        until: int | None = None,
        **filters: str,
    ) -> list[Row]:
        """The newest calls first. ``filters``: id, key, capability, protocol, engine, model,
        status, route, cache.
        """
        from ogam.gateway.ledger import queries

        _known("calls are chosen by", filters, _FILTERS)
        return await self._read(
            lambda connection: queries.calls(connection, filters, since, until, limit)
        )

    async def recorded(self, call: str) -> tuple[Any, Any] | None:
        """The request and response of a call whose text was kept."""
        from ogam.gateway.ledger import queries

        return await self._read(lambda connection: queries.record(connection, call))

    async def holds(self, state: State | None = None, limit: int = 1000) -> list[OpenHold]:
        """The holds that set money aside, the oldest first; of one ``state``, or all."""
        from ogam.gateway.ledger import queries

        return await self._read(lambda connection: queries.open_holds(connection, state, limit))

    async def unknown_total(self) -> int:
        """What is set aside for attempts that nobody could settle."""
        from ogam.gateway.ledger import queries

        return await self._read(queries.unknown_total)

    async def check(self) -> list[Difference]:
        """Every sum that is not what it should be; none where the books are right.

        The calls' costs are the settled holds', and each counter is the sum of its holds.
        """
        from ogam.gateway.ledger import queries

        return await self._read(queries.check)

    # How it is done.

    @abstractmethod
    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Ask on a connection that sees one moment of the books."""

    @abstractmethod
    async def _task(self, work: Callable[[], T]) -> T:
        """Have it done by the writer, after all that was put before."""

    @property
    @abstractmethod
    def _changes(self) -> Changes:
        """The rare writes."""


def _known(what: str, names: Sequence[str] | dict[str, str], allowed: Any) -> None:
    for name in names:
        if name not in allowed:
            raise InvalidRequestError(
                f"{what[0].upper()}{what[1:]} {', '.join(sorted(allowed))}, not {name!r}.",
                param=name,
            )


def _now() -> int:
    return time.time_ns() // 1_000_000
