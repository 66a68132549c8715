"""What the ledger can be asked: sums, lists, and the proof that the sums agree. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal,
    select,
    true,
    union_all,
)

from ogam.capabilities.base import Units
from ogam.gateway.ledger import schema
from ogam.gateway.ledger import values as v
from ogam.gateway.ledger.accounting import OPEN

_DAY_MS = 86_400_000
_UNITS = tuple(Units.__struct_fields__)


def sums(connection: Connection, budget: v.Budget, period: str) -> tuple[int, int]:
    """What a budget's holds come to in a period, settled and held, added up anew."""
    h = schema.holds.c
    held = case((h.state.in_(OPEN), func.coalesce(h.bound, 0)), else_=0)
    found = connection.execute(
        select(func.sum(h.cost), func.sum(held)).where(*_under(budget, period))
    ).one()
    return int(found[0] or 0), int(found[1] or 0)


def budgets(connection: Connection, now: int) -> list[v.BudgetState]:
    """Every budget in its present period."""
    found: list[v.BudgetState] = []
    c = schema.counters.c
    counted = {
        (row.budget, row.period): (row.settled, row.held)
        for row in connection.execute(select(c.budget, c.period, c.settled, c.held))
    }
    for budget in _budgets(connection):
        period = v.period_of(budget.period, now)
        # Counters are made when the first call of a period, or under a new budget, needs them.
        settled, held = counted.get((budget.id, period)) or sums(connection, budget, period)
        found.append(v.BudgetState(budget=budget, period=period, settled=settled, held=held))
    return found


def open_holds(connection: Connection, state: v.State | None, limit: int) -> list[v.OpenHold]:
    """The holds that set money aside, oldest first."""
    h = schema.holds.c
    states = OPEN if state is None else {state}
    rows = connection.execute(
        select(schema.holds).where(h.state.in_(states)).order_by(h.at, h.id).limit(limit)
    )
    return [v.OpenHold(hold=_hold(row), state=row.state) for row in rows]


def unknown_total(connection: Connection) -> int:
    """What all unknown holds set aside."""
    h = schema.holds.c
    return int(
        connection.execute(select(func.sum(h.bound)).where(h.state == "unknown")).scalar() or 0
    )


def usage(
    connection: Connection,
    by: Sequence[v.Grouping],
    filters: dict[str, str],
    since: int | None,
    until: int | None,
) -> list[v.Usage]:
    """Sums of the calls and of the holds that paid for them, the dearest first."""
    calls, holds = schema.calls.c, schema.holds.c
    zero = literal(0, BigInteger)
    unknown = case((holds.state == "unknown", func.coalesce(holds.bound, 0)), else_=0)
    # A hold has no protocol: that is its call's, looked up only where it is asked for.
    spoken = literal("")
    if "protocol" in filters:
        spoken = select(calls.protocol).where(calls.id == holds.call).scalar_subquery()
    # Units belong to what answered, money to what was paid: a call that one vendor billed and
    # another answered counts for both.
    both = union_all(
        select(
            calls.key.label("key"),
            calls.capability.label("capability"),
            calls.engine.label("vendor"),
            calls.model.label("model"),
            calls.protocol.label("protocol"),
            calls.at.label("at"),
            literal(1, BigInteger).label("calls"),
            *(calls[one].label(one) for one in _UNITS),
            zero.label("cost"),
            zero.label("unknown"),
        ),
        select(
            holds.key,
            holds.capability,
            holds.vendor,
            holds.model,
            spoken,
            holds.at,
            zero,
            *(zero for _ in _UNITS),
            holds.cost,
            unknown,
        ),
    ).subquery()
    groups = [_group(both.c, one).label(one) for one in by]
    added = ("calls", *_UNITS, "cost", "unknown")
    statement: Select[Any] = (
        select(*groups, *(func.sum(both.c[one]).label(one) for one in added))
        .where(*_between(both.c.at, since, until), *_equal(both.c, filters))
        .group_by(*groups)
    )
    found = [_usage(row._mapping, by) for row in connection.execute(statement)]  # pyright: ignore[reportPrivateUsage]
    found.sort(key=lambda one: (-one.cost, -one.calls, *(getattr(one, name) for name in by)))
    return found


def calls(
    connection: Connection,
    filters: dict[str, str],
    since: int | None,
    until: int | None,
    limit: int,
) -> list[v.Row]:
    """Calls, the newest first."""
    c = schema.calls.c
    rows = connection.execute(
        select(schema.calls)
        .where(*_between(c.at, since, until), *_equal(c, filters))
        .order_by(c.at.desc(), c.id.desc())
        .limit(limit)
    )
    return [_row(row) for row in rows]


def record(connection: Connection, call: str) -> tuple[Any, Any] | None:
    """What was said in a call, where it was kept."""
    r = schema.records.c
    found = connection.execute(select(r.request, r.response).where(r.call == call)).first()
    if found is None:
        return None
    return msgspec.json.decode(found[0]), msgspec.json.decode(found[1])


def keys(connection: Connection) -> list[v.StoredKey]:
    """Every key, the revoked ones too."""
    k = schema.keys
    return [
        v.StoredKey(**dict(row._mapping))  # pyright: ignore[reportPrivateUsage]
        for row in connection.execute(select(k).order_by(k.c.created, k.c.id))
    ]


def keys_mark(connection: Connection) -> tuple[int, ...]:
    """How many keys there are and were revoked, and when those were: rotating adds one too."""
    k = schema.keys.c
    found = connection.execute(
        select(func.count(), func.count(k.revoked), func.sum(k.revoked)).select_from(schema.keys)
    ).one()
    return tuple(int(one or 0) for one in found)


def check(connection: Connection) -> list[v.Difference]:
    """Every sum that does not agree with what it is the sum of; none: the books are right."""
    c, h = schema.calls.c, schema.holds.c
    paid = _int(connection, select(func.sum(h.cost)).where(h.state == "settled"))
    other = _int(connection, select(func.sum(h.cost)).where(h.state != "settled"))
    told = _int(connection, select(func.sum(c.cost)))
    found = [
        v.Difference(what="costs of calls, and of settled holds", expected=paid, found=told),
        v.Difference(what="costs of holds that were not settled", expected=0, found=other),
    ]
    known = {one.id: one for one in _budgets(connection)}
    for row in connection.execute(select(schema.counters)):
        if row.budget not in known:
            continue
        settled, held = sums(connection, known[row.budget], row.period)
        name = f"the budget {row.budget!r} in {row.period}"
        found += [
            v.Difference(what=f"{name}: settled", expected=settled, found=row.settled),
            v.Difference(what=f"{name}: held", expected=held, found=row.held),
        ]
    return [one for one in found if one.expected != one.found]


def budget_of(row: Any) -> v.Budget:
    """The budget that a row says."""
    return v.Budget(id=row.id, scope=row.scope, subject=row.subject, period=row.period, cap=row.cap)


def _under(budget: v.Budget, period: str) -> list[ColumnElement[bool]]:
    h = schema.holds.c
    within = v.span(period)
    found = [] if within is None else [h.at >= within[0], h.at < within[1]]
    if budget.scope != "total":
        found.append(h[budget.scope] == budget.subject)
    return found or [true()]


def _group(columns: Any, one: v.Grouping) -> ColumnElement[Any]:
    if one != "day":
        return columns[one]
    # Not a division: SQLAlchemy would make it a fraction on one of the two databases.
    return cast("ColumnElement[Any]", columns.at - columns.at % _DAY_MS)


def _between(at: ColumnElement[int], since: int | None, until: int | None) -> list[Any]:
    return [
        *([] if since is None else [at >= since]),
        *([] if until is None else [at < until]),
        true(),
    ]


def _equal(columns: Any, filters: dict[str, str]) -> Iterable[ColumnElement[bool]]:
    return [and_(columns[name] == value) for name, value in filters.items()]


def _usage(row: Any, by: Sequence[v.Grouping]) -> v.Usage:
    named: dict[str, Any] = {one: v.day_of(row[one]) if one == "day" else row[one] for one in by}
    units = Units(**{one: int(row[one] or 0) for one in _UNITS})
    for one in ("calls", "cost", "unknown"):
        named[one] = int(row[one] or 0)
    return v.Usage(**named, units=units)


def _budgets(connection: Connection) -> list[v.Budget]:
    b = schema.budgets
    return [budget_of(row) for row in connection.execute(select(b).order_by(b.c.id))]


def _hold(row: Any) -> v.Hold:
    return v.Hold(
        id=row.id,
        call=row.call,
        at=row.at,
        key=row.key,
        capability=row.capability,
        vendor=row.vendor,
        model=row.model,
        bound=row.bound,
        price_version=row.price_version,
        sent=row.state != "held",
    )


def _row(row: Any) -> v.Row:
    values = dict(row._mapping)
    units = Units(**{one: values.pop(one) for one in _UNITS})
    attempts = msgspec.json.decode(values.pop("attempts"), type=tuple[v.Attempt, ...])
    return v.Row(**values, units=units, attempts=attempts)


def _int(connection: Connection, statement: Select[Any]) -> int:
    return int(connection.execute(statement).scalar() or 0)
