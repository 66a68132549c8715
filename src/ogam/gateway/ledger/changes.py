"""What is changed seldom, each in a transaction of its own: budgets and keys.

Every process sees a change at its next group: it waits for the groups under way, and they for it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from ogam.errors import InvalidRequestError, NotFoundError
from ogam.gateway.ledger import schema
from ogam.gateway.ledger.database import Database
from ogam.gateway.ledger.queries import budget_of
from ogam.gateway.ledger.values import Budget, StoredKey


class Changes:
    """The rare writes to ``database``. ``forget``: what this process remembers of its budgets."""

    def __init__(self, database: Database, forget: Callable[[], None]) -> None:
        self._database, self._forget = database, forget

    def set_budget(self, budget: Budget) -> None:
        """Make a budget, or change the one of that id."""
        table, places = schema.budgets, schema.counters
        with self._database.transaction() as connection:
            self._change(connection)
            row = connection.execute(select(table).where(table.c.id == budget.id)).first()
            values = msgspec.structs.asdict(budget)
            if row is None:
                connection.execute(insert(table).values(values))
            else:
                connection.execute(update(table).where(table.c.id == budget.id).values(values))
                if msgspec.structs.replace(budget_of(row), cap=budget.cap) != budget:
                    connection.execute(delete(places).where(places.c.budget == budget.id))

    def remove_budget(self, budget_id: str) -> None:
        """NotFoundError where there is none."""
        table, places = schema.budgets, schema.counters
        with self._database.transaction() as connection:
            self._change(connection)
            if not connection.execute(delete(table).where(table.c.id == budget_id)).rowcount:
                raise NotFoundError(f"There is no budget {budget_id!r}.")
            connection.execute(delete(places).where(places.c.budget == budget_id))

    def _change(self, connection: Connection) -> None:
        """Wait until nobody counts, and let everybody know that budgets are others now."""
        number = schema.revisions.c.number
        connection.execute(update(schema.revisions).values(number=number + 1))
        self._forget()

    def add_key(self, key: StoredKey) -> None:
        """InvalidRequestError where there is one of that id or hash."""
        table = schema.keys
        with self._database.transaction() as connection:
            same = connection.execute(
                select(func.count()).where((table.c.id == key.id) | (table.c.hash == key.hash))
            ).scalar_one()
            if same:
                raise InvalidRequestError(f"There is a key {key.id!r} already.", param="id")
            connection.execute(insert(table).values(msgspec.structs.asdict(key)))

    def revoke_key(self, key_id: str, at: int) -> None:
        """From ``at`` on the key is none. The first time counts. NotFoundError without it."""
        table = schema.keys
        before = table.c.id.startswith(f"{key_id}~", autoescape=True)
        with self._database.transaction() as connection:
            if not connection.execute(
                update(table)
                .where((table.c.id == key_id) | before)
                .values(revoked=func.coalesce(table.c.revoked, at))
            ).rowcount:
                raise NotFoundError(f"There is no key {key_id!r}.")

    def rotate_key(self, key_id: str, new: str, until: int, expires: int | None) -> None:
        """The hash becomes ``new``; the old one goes on, in a row ``ID~NUMBER``, ``until`` then.

        NotFoundError without it, InvalidRequestError where it is revoked.
        """
        table = schema.keys
        with self._database.transaction() as connection:
            one = table.c.id == key_id
            old = connection.execute(select(table).where(one).with_for_update()).mappings().first()
            if old is None:
                raise NotFoundError(f"There is no key {key_id!r}.")
            if old["revoked"] is not None:
                raise InvalidRequestError(f"The key {key_id!r} is revoked.", hint="Make a new one.")
            earlier = table.c.id.startswith(f"{key_id}~", autoescape=True)
            number = connection.execute(select(func.count()).where(earlier)).scalar_one() + 1
            connection.execute(update(table).where(one).values(hash=new, expires=expires))
            ends = until if old["expires"] is None else min(until, old["expires"])
            before = {**old, "id": f"{key_id}~{number}", "expires": ends}
            connection.execute(insert(table).values(before))
