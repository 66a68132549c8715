"""The SQL of what happens at every call, written once for both databases and compiled once.

Each comes with the order of its parameters held by an assertion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Dialect,
    Text,
    any_,
    bindparam,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import CompilerElement

from ogam.capabilities.base import Units
from ogam.gateway.ledger.schema import calls, counters, holds, records, revisions


class Statements(NamedTuple):
    """SQL for a driver. The lists are parameters: JSON text for SQLite, a list for PostgreSQL."""

    revision: str
    holds: str
    counters: str
    add_counter: str
    add_hold: str
    end_hold: str
    move: str
    call: str
    reconciled: str
    record: str


def compiled(database: str) -> Statements:
    """The statements for ``sqlite`` or ``postgresql``. The rows they lock, they lock in order."""
    insert = sqlite.insert if database == "sqlite" else postgresql.insert
    dialect = (
        sqlite.dialect(paramstyle="qmark")
        if database == "sqlite"
        else postgresql.psycopg.dialect(paramstyle="format")
    )

    def among(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        if database == "sqlite":
            return column.in_(select(func.json_each(bindparam(name)).table_valued("value")))
        return column == any_(bindparam(name, type_=ARRAY(Text)))

    c, h = counters.c, holds.c
    call = insert(calls)
    # The same call again: its last row stays, and what it cost adds up.
    names = list(calls.c.keys())
    changed: dict[str, Any] = {one: call.excluded[one] for one in names if one != "id"}
    changed["cost"] = calls.c.cost + call.excluded.cost
    # Who reconciles may find no row: its process died before there was one.
    blank: ColumnElement[str] = literal_column("''")
    none: ColumnElement[int] = literal_column("0")
    units = Units.__struct_fields__
    more = {one: bindparam(f"more_{one}", type_=BigInteger) for one in units}
    attempts: ColumnElement[str] = literal_column("'[]'")
    status: ColumnElement[str] = literal_column("'Interrupted'")
    late = insert(calls).from_select(
        names,
        select(
            *(h.call, h.at, h.key, h.capability, blank, blank, attempts, h.vendor),
            *(h.model, more["input_tokens"], more["output_tokens"], more["characters"]),
            *(more["audio_ms"], more["image_features"], h.price_version, h.cost, null(), none),
            *(blank, status, more["cached_input_tokens"]),
        ).where(h.id == bindparam("its")),
    )
    record = insert(records)

    def sql(statement: CompilerElement, *order: str) -> str:
        return _sql(statement, dialect, order)

    return Statements(
        revision=sql(
            select(revisions.c.number)
            .where(revisions.c.name == bindparam("name"))
            .with_for_update(read=True),
            "name",
        ),
        holds=sql(
            select(h.id, h.call, h.at, h.key, h.capability, h.vendor, h.bound, h.state, h.cost)
            .where(among(h.id, "ids"))
            .order_by(h.id)
            .with_for_update(),
            "ids",
        ),
        counters=sql(
            select(c.budget, c.period, c.settled, c.held)
            .where(among(c.budget, "budgets"), among(c.period, "periods"))
            .order_by(c.budget, c.period)
            .with_for_update(),
            "budgets",
            "periods",
        ),
        add_counter=sql(
            insert(counters).on_conflict_do_nothing(), "budget", "period", "settled", "held"
        ),
        add_hold=sql(insert(holds), *holds.columns.keys()),
        end_hold=sql(
            update(holds)
            .where(h.id == bindparam("its"))
            .values(state=bindparam("new_state"), cost=bindparam("new_cost")),
            "new_state",
            "new_cost",
            "its",
        ),
        move=sql(
            update(counters)
            .where(c.budget == bindparam("its"), c.period == bindparam("when"))
            .values(settled=bindparam("new_settled"), held=bindparam("new_held")),
            "new_settled",
            "new_held",
            "its",
            "when",
        ),
        call=sql(call.on_conflict_do_update(index_elements=["id"], set_=changed), *names),
        reconciled=sql(
            late.on_conflict_do_update(
                index_elements=["id"],
                set_={one: calls.c[one] + late.excluded[one] for one in ("cost", *units)},
            ),
            *(f"more_{one}" for one in units),
            "its",
        ),
        record=sql(
            record.on_conflict_do_update(
                index_elements=["call"],
                set_={"request": record.excluded.request, "response": record.excluded.response},
            ),
            "call",
            "request",
            "response",
        ),
    )


def _sql(statement: CompilerElement, dialect: Dialect, order: Sequence[str]) -> str:
    found: Any = statement.compile(dialect=dialect)
    assert found.positiontup == list(order), found.positiontup
    return str(found)
