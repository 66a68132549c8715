"""Carries out operations on the database, each group in one transaction.

A group reads what it needs at once (the budgets' revision, its holds, its counters), decides by
:mod:`accounting`, and writes back what changed: a number of statements that does not grow with
the group. Several processes may do so at the same time. On SQLite one at a time gets to write.
On PostgreSQL a group locks its holds and then its counters, each in order, so that two groups
wait for each other and never both; it shares the lock on the budgets' revision, which whoever
changes a budget takes alone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import delete, select

from ogam.errors import BudgetError, InvalidRequestError, LedgerError, NotFoundError, OgamError
from ogam.gateway.ledger import queries, schema
from ogam.gateway.ledger.accounting import (
    OPEN,
    Accounts,
    Budgets,
    Counter,
    Entry,
    Place,
    Settled,
)
from ogam.gateway.ledger.database import Database
from ogam.gateway.ledger.operations import (
    Admit,
    Operation,
    Reconcile,
    Record,
    Send,
    Settle,
)
from ogam.gateway.ledger.statements import compiled
from ogam.gateway.ledger.values import Hold, Row, State
from ogam.gateway.money import dollars

_log = logging.getLogger("ogam.ledger")
_encode = msgspec.json.Encoder().encode
# A lapse and the like take this many holds in one transaction.
_AT_ONCE = 1000
# So many counters are remembered: those of periods that are over pile up.
_KEPT = 10_000


class Tally:
    """What went wrong over money: how often, and since the last ``tell`` what to say of it."""

    def __init__(self) -> None:
        self.overruns = self.repeated = self.stray = 0
        self._words: list[str] = []

    def overrun(self, hold_id: str, done: Settled) -> None:
        """More was billed than could be."""
        self.overruns += 1
        cost, over = dollars(done.cost), dollars(done.over)
        self._words.append(f"overrun: {hold_id} cost {cost}, which is {over} above its bound")

    def again(self, hold_id: str) -> None:
        """A hold was settled that had ended."""
        self.repeated += 1
        self._words.append(f"a second settlement of {hold_id} was ignored")

    def unmade(self, hold_id: str) -> None:
        """A settlement is for no hold that was ever made."""
        self.stray += 1
        self._words.append(f"{hold_id} was settled, and never set aside")

    def add(self, other: Tally) -> None:
        """Count what a transaction came to, now that it has ended well, and say it."""
        self.overruns += other.overruns
        self.repeated += other.repeated
        self.stray += other.stray
        for one in other._words:
            _log.error("%s", one)


class Store:
    """The ledger in ``database``; ``owner`` is the process that its holds belong to."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database, self._owner = database, owner
        self._sql = compiled("sqlite" if database.sqlite else "postgresql")
        self._known: tuple[int, Budgets] | None = None
        self._counters: dict[Place, Counter] = {}
        self._version = -1
        self.tally = Tally()

    def forget(self) -> None:
        """What was read before may no longer hold."""
        self._known = None
        self._counters.clear()

    # The hot path.

    def carry_out(self, group: Sequence[Operation], *, again: bool = False) -> list[Any]:
        """Do all of the group, in order; what each came to: None, or the error for its caller.

        With ``again`` some of it may be done already: the connection was lost at its end. What
        raises has changed nothing, so far as anybody knows.
        """
        tally = Tally()
        with self._books() as accounts:
            self._load(accounts, group, again)
            new: dict[str, Hold] = {}
            before = _states(accounts)
            rows: list[tuple[Row, int]] = []
            records: list[tuple[str, str, str]] = []
            reconciled: list[tuple[Any, ...]] = []
            answers: list[Any] = []
            for one in group:
                answer: Any = None
                if isinstance(one, Settle):
                    cost = self._settle(accounts, one, new, tally)
                    if one.row is not None:
                        rows.append((one.row, cost))
                elif isinstance(one, Admit):
                    if not one.gone:
                        answer = _admit(accounts, one.hold, new, again)
                elif isinstance(one, Send):
                    if not accounts.sent(one.id):
                        answer = _not_held(one.id)
                elif isinstance(one, Reconcile):
                    answer = _reconcile(accounts, one, tally)
                    if answer is None:
                        reconciled.append((*msgspec.structs.astuple(one.units), one.id))
                elif isinstance(one, Record):
                    records.append((one.call, one.request, one.response))
                answers.append(answer)
            self._write(accounts, new, before, rows)
            if reconciled:
                self._database.cursor.executemany(self._sql.reconciled, reconciled)
            if records:
                self._database.cursor.executemany(self._sql.record, sorted(records))
        self.tally.add(tally)
        return answers

    @contextmanager
    def _books(self) -> Generator[Accounts]:
        """A transaction, and accounts whose counters end with it."""
        try:
            with self._database.transaction():
                yield Accounts(self._budgets(), self._counters)
        except BaseException:
            self.forget()
            raise

    def _budgets(self) -> Budgets:
        """The budgets in force; what was read of them and the counters is kept while it holds.

        SQLite says whether anybody else wrote since, which spares a hold the 20 of 60 µs that
        it took to read both. PostgreSQL's rows are read, and locked, each time.
        """
        cursor = self._database.cursor
        if self._database.sqlite:
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or len(self._counters) > _KEPT:
                self.forget()
                self._version = version
            if self._known is not None:
                return self._known[1]
        else:
            self._counters.clear()
        cursor.execute(self._sql.revision, ("budgets",))
        (revision,) = cursor.fetchone()
        if self._known is None or self._known[0] != revision:
            found = self._database.connection.execute(_ALL_BUDGETS).all()
            self._known = revision, Budgets(queries.budget_of(one) for one in found)
        return self._known[1]

    def _load(self, accounts: Accounts, group: Sequence[Operation], again: bool) -> None:
        """Read, and lock, the holds and counters that the group touches."""
        ids: set[str] = set()
        new: list[Entry] = []
        known: dict[str, Hold] = {}
        for one in group:
            if isinstance(one, Settle):
                ids.update(each.hold for each in one.settlements)
                known.update(one.known)
            elif isinstance(one, Send | Reconcile):
                ids.add(one.id)
            elif isinstance(one, Admit):
                new.append(Entry.of(one.hold))
                if again:
                    ids.add(one.hold.id)
        cursor = self._database.cursor
        if ids:
            cursor.execute(self._sql.holds, (self._list(ids),))
            accounts.holds = {row[0]: Entry(*row) for row in cursor.fetchall()}
        new.extend(
            Entry.of(hold) for hold_id, hold in known.items() if hold_id not in accounts.holds
        )
        self._load_counters(accounts, accounts.places((*accounts.holds.values(), *new)))

    def _load_holds(self, accounts: Accounts, ids: Collection[str]) -> None:
        if ids:
            cursor = self._database.cursor
            cursor.execute(self._sql.holds, (self._list(ids),))
            accounts.holds = {row[0]: Entry(*row) for row in cursor.fetchall()}

    def _load_counters(self, accounts: Accounts, places: set[Place]) -> None:
        places -= accounts.counters.keys()
        if not places:
            return
        self._read_counters(accounts, places)
        missing = sorted(places - accounts.counters.keys())
        if missing:  # the first of its period, or of a new budget
            connection = self._database.connection
            found = connection.execute(_ALL_BUDGETS)
            known = {one.id: queries.budget_of(one) for one in found}
            sums = [
                (*one, *queries.sums(connection, known[one.budget], one.period)) for one in missing
            ]
            self._database.cursor.executemany(self._sql.add_counter, sums)
            self._read_counters(accounts, places)

    def _read_counters(self, accounts: Accounts, places: set[Place]) -> None:
        cursor = self._database.cursor
        budgets, periods = {one.budget for one in places}, {one.period for one in places}
        cursor.execute(self._sql.counters, (self._list(budgets), self._list(periods)))
        for budget, period, settled, held in cursor.fetchall():
            accounts.counters[Place(budget, period)] = Counter(settled, held)

    def _settle(self, accounts: Accounts, one: Settle, new: dict[str, Hold], tally: Tally) -> int:
        cost = 0
        for settlement in one.settlements:
            hold_id = settlement.hold
            if hold_id not in accounts.holds:
                hold = one.known.get(hold_id)
                if hold is None:
                    if one.row is not None:
                        tally.unmade(hold_id)
                    continue
                if settlement.outcome == "released":
                    continue
                accounts.adopt(Entry.of(hold))
                new[hold_id] = hold
            done = accounts.settle(settlement)
            cost += done.cost
            if done.repeated and not one.tried:
                tally.again(hold_id)
            if done.over:
                tally.overrun(hold_id, done)
        return cost

    def _write(
        self,
        accounts: Accounts,
        new: dict[str, Hold],
        before: dict[str, tuple[State, int]],
        rows: list[tuple[Row, int]],
    ) -> None:
        run, sql = self._database.cursor.executemany, self._sql
        if new:
            entries = accounts.holds
            run(
                sql.add_hold,
                [
                    (
                        *(hold_id, hold.call, hold.at, hold.key, hold.capability, hold.vendor),
                        *(hold.model, hold.bound, hold.price_version, self._owner),
                        *(entries[hold_id].state, entries[hold_id].cost),
                    )
                    for hold_id, hold in new.items()
                ],
            )
        ended = [
            (one.state, one.cost, hold_id)
            for hold_id, was in before.items()
            if (one := accounts.holds[hold_id]).state != was[0] or one.cost != was[1]
        ]
        if ended:
            run(sql.end_hold, ended)
        if accounts.touched:
            counters = accounts.counters
            run(
                sql.move,
                [(counters[at].settled, counters[at].held, *at) for at in sorted(accounts.touched)],
            )
        if rows:
            rows.sort(key=lambda one: one[0].id)
            run(sql.call, [_call(row, cost) for row, cost in rows])

    def _list(self, values: Iterable[str]) -> Any:
        found = list(values)
        return _encode(found).decode() if self._database.sqlite else found

    def lapse(self, owner: str) -> int:
        """The process ``owner`` is dead: end what it left open. How many holds that were."""
        holds, owners = schema.holds.c, schema.owners
        ended = 0
        while True:
            with self._books() as accounts:
                connection = self._database.connection
                found = connection.execute(
                    select(holds.id)
                    .where(holds.owner == owner, holds.state.in_(OPEN - {"unknown"}))
                    .limit(_AT_ONCE)
                )
                ids = [row.id for row in found]
                self._load_holds(accounts, ids)
                self._load_counters(accounts, accounts.places(accounts.holds.values()))
                before = _states(accounts)
                for hold_id in before:
                    accounts.lapse(hold_id)
                self._write(accounts, {}, before, [])
                if len(ids) < _AT_ONCE:
                    connection.execute(delete(owners).where(owners.c.id == owner))
                    return ended + len(ids)
            ended += len(ids)


_ALL_BUDGETS = select(schema.budgets)


def _admit(accounts: Accounts, hold: Hold, new: dict[str, Hold], again: bool) -> OgamError | None:
    if hold.id in accounts.holds:
        if again and hold.id not in new:
            return None  # it was admitted by the transaction whose end was not heard of
        return InvalidRequestError(f"There is a hold {hold.id!r} already.")
    try:
        accounts.admit(Entry.of(hold))
    except BudgetError as error:
        return error
    new[hold.id] = hold
    return None


def _reconcile(accounts: Accounts, one: Reconcile, tally: Tally) -> OgamError | None:
    entry = accounts.holds.get(one.id)
    if entry is None:
        return NotFoundError(f"There is no hold {one.id!r}.")
    done = accounts.reconcile(one.id, one.cost)
    if done.repeated:
        return InvalidRequestError(
            f"The hold {one.id!r} is {entry.state}.", hint="Only an unknown hold is reconciled."
        )
    if done.over:
        tally.overrun(one.id, done)
    return None


def _states(accounts: Accounts) -> dict[str, tuple[State, int]]:
    return {hold_id: (one.state, one.cost) for hold_id, one in accounts.holds.items()}


def _not_held(hold_id: str) -> LedgerError:
    return LedgerError(
        f"The money for {hold_id} is no longer set aside: this process was taken for dead.",
        hint="Try again.",
    )


def _call(row: Row, cost: int) -> tuple[Any, ...]:
    units = row.units
    return (
        *(row.id, row.at, row.key, row.capability, row.protocol, row.route),
        _encode(row.attempts).decode() if row.attempts else "[]",
        *(row.engine, row.model, units.input_tokens, units.output_tokens, units.characters),
        *(units.audio_ms, units.image_features, row.price_version, cost, row.first_ms),
        *(row.total_ms, row.cache, row.status, units.cached_input_tokens),
    )
