"""The ledger as the gateway uses it: asynchronous, and never in the way of what costs nothing.

It answers in the event loop that opened it. What must be known before a call goes out is
awaited (:meth:`Ledger.hold`, :meth:`Ledger.sent`); what is written down after it is not.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from ogam.capabilities.base import Units
from ogam.errors import InvalidRequestError, LedgerError
from ogam.gateway.ledger.operations import Admit, Operation, Reconcile, Record, Send, Settle, Task
from ogam.gateway.ledger.seldom import MOST, Seldom
from ogam.gateway.ledger.values import Hold, Row, Settlement, Status
from ogam.net import loops

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ogam.gateway.ledger.changes import Changes
    from ogam.gateway.ledger.database import Database
    from ogam.gateway.ledger.redaction import Redaction
    from ogam.gateway.ledger.writer import Told, Writer

T = TypeVar("T")
_log = logging.getLogger("ogam.ledger")
# Seconds that somebody waits who changes a budget or asks that all be written.
_PATIENCE = 10.0
_NO_UNITS = Units()


class Ledger(Seldom):
    """The books at ``place``: a file of SQLite, or the URL of a PostgreSQL database.

    While the database does not answer, :meth:`hold` waits ``wait`` seconds and then refuses
    (``when_down="closed"``) or lets the call through, to be counted once it is back
    ("open"); rows wait, up to ``queue`` of them, and further ones are lost and counted.
    ``durable="power"`` makes SQLite wait for the disk, so that the loss of power loses nothing;
    "process" survives the death of the process at any instant. ``record`` are the patterns
    (regular expressions) that are taken out of the texts of calls before those are kept;
    without it no text is ever kept.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        when_down: Literal["closed", "open"] = "closed",
        record: Sequence[str] | None = None,
        durable: Literal["process", "power"] = "process",
        wait: float = 2.0,
        queue: int = 100_000,
    ) -> None:
        self._place = place
        self._durable: Literal["process", "power"] = durable
        self._open_when_down = when_down == "open"
        self._patterns = record
        self._wait, self._capacity = wait, queue
        self._redaction: Redaction | None = None
        self._database: Database | None = None
        self._at_work: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        # What this process set aside and has not settled, should the database lose it.
        self._holds: dict[str, Hold] = {}
        self._uncounted = self._lost = 0
        self._told_lost = False

    async def open(self) -> None:
        """Connect, and make or upgrade the tables.

        LedgerError where the place cannot be a ledger: not writable, another kind of file, made
        by a newer Ogam. A database that does not answer is waited for while others work.
        """
        # SQLAlchemy takes half a second, which the loop has better uses for.
        await asyncio.get_running_loop().run_in_executor(None, self._import)
        from ogam.gateway.ledger.database import Database
        from ogam.gateway.ledger.redaction import Redaction
        from ogam.gateway.ledger.writer import Writer

        self._redaction = None if self._patterns is None else Redaction(self._patterns)
        self._database = Database(self._place, durable=self._durable)
        loop = asyncio.get_running_loop()
        writer = Writer(self._database, secrets.token_hex(8), loop, self._tell, self._wait)
        await writer.start()
        self._at_work = writer
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="ogam-ledger-read")

    async def close(self) -> None:
        """Write what waits, release what was set aside and not sent, and disconnect."""
        writer, self._at_work = self._at_work, None
        readers, self._readers = self._readers, None
        loop = asyncio.get_running_loop()
        if readers is not None:
            await loop.run_in_executor(None, readers.shutdown)
        if writer is not None:
            await loop.run_in_executor(None, writer.stop)

    # One call.

    async def hold(self, hold: Hold) -> None:
        """Set aside the most that an attempt can cost, before it is sent.

        BudgetError where that does not fit under every budget it falls under; LedgerError where
        nothing can be set aside, after ``wait`` seconds at most, in an outage at once.
        """
        if hold.bound is not None and not 0 <= hold.bound <= MOST:
            raise InvalidRequestError(f"A bound is 0 to {MOST} nano-dollars, not {hold.bound}.")
        writer = self._writer
        future: asyncio.Future[Any] = loops.running().create_future()
        operation = Admit(hold, future)
        if writer.down or writer.waiting >= self._capacity:
            self._fail(operation)
        else:
            writer.put(operation)
        await self._answer(operation, future)
        self._holds[hold.id] = hold

    async def sent(self, hold: str) -> None:
        """The attempt goes out now: from here on it may be billed.

        LedgerError where that cannot be written down, or its money is no longer set aside: then
        it must not go out.
        """
        future: asyncio.Future[Any] = loops.running().create_future()
        operation = Send(hold, future)
        if self._writer.down:
            self._fail(operation)
        else:
            self._writer.put(operation)
        await self._answer(operation, future)

    def settle(self, row: Row, settlements: Sequence[Settlement] = ()) -> None:
        """Write down a call, and how its holds end. Returns at once; it is done after them.

        A hold is settled once: what comes after is ignored, counted and logged. A bill above the
        bound is charged in full all the same, and is an overrun.
        """
        writer = self._writer
        known = {
            one.hold: found for one in settlements if (found := self._holds.pop(one.hold, None))
        }
        # What settles money may wait in twice the room: it is never lost to rows of free calls.
        if writer.waiting >= (2 * self._capacity if settlements else self._capacity):
            self._lose()
        else:
            writer.put(Settle(row, settlements, known))

    async def reconcile(self, hold: str, cost: int, units: Units = _NO_UNITS) -> None:
        """Say what an unknown hold cost, from the vendor's bill; 0 where nothing.

        ``units`` are what the vendor billed that for, and are added to those of its call.
        NotFoundError for no such hold, InvalidRequestError for one that is not unknown.
        """
        if not 0 <= cost <= MOST:
            raise InvalidRequestError(f"A cost is 0 to {MOST} nano-dollars, not {cost}.")
        if not all(0 <= one <= MOST for one in msgspec.structs.astuple(units)):
            raise InvalidRequestError(f"Units are 0 to {MOST}, not {units}.")
        future: asyncio.Future[Any] = loops.running().create_future()
        await self._patiently(Reconcile(hold, cost, units, future), future)

    def record(self, call: str, request: bytes | str, response: bytes | str) -> None:
        """Keep what was said in a call, both JSON, redacted. Nothing without ``record``."""
        redaction, readers, writer = self._redaction, self._readers, self._writer
        if redaction is None or readers is None:
            return
        if writer.waiting >= self._capacity:
            self._lose()
            return

        def work() -> None:
            writer.put_from_thread(Record(call, redaction.json(request), redaction.json(response)))

        readers.submit(work)

    async def flush(self) -> None:
        """Until all that was put in before is written. LedgerError after 10 s in an outage."""
        if self._redaction is not None and self._readers is not None:
            await asyncio.get_running_loop().run_in_executor(self._readers, _nothing)
        await self._task(_nothing)

    def status(self) -> Status:
        """How the ledger is, in this process."""
        writer = self._writer
        tally = writer.store.tally
        return Status(
            database=self._known_database.name,
            up=not writer.down,
            error=writer.error if writer.down else "",
            waiting=writer.waiting,
            lost=self._lost,
            spoilt=writer.spoilt,
            uncounted=self._uncounted,
            overruns=tally.overruns,
            repeated=tally.repeated,
            stray=tally.stray,
        )

    # How it is done.

    @property
    def _writer(self) -> Writer:
        if self._at_work is None:
            raise LedgerError("The ledger is not open.")
        return self._at_work

    @property
    def _changes(self) -> Changes:
        from ogam.gateway.ledger.changes import Changes

        return Changes(self._known_database, self._writer.store.forget)

    @property
    def _known_database(self) -> Database:
        if self._database is None:
            raise LedgerError("The ledger is not open.")
        return self._database

    @staticmethod
    def _import() -> None:
        for name in ("changes", "queries", "writer"):
            importlib.import_module(f"ogam.gateway.ledger.{name}")

    async def _answer(self, operation: Operation, future: asyncio.Future[Any]) -> Any:
        # A handle of the loop's, at 0.8 µs: asyncio.timeout takes 3.4.
        timer = loops.running().call_later(self._wait, self._fail, operation)
        try:
            return await future
        except asyncio.CancelledError:
            operation.gone = True
            raise
        finally:
            timer.cancel()

    async def _task(self, work: Callable[[], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return await self._patiently(Task(work, future), future)

    async def _patiently(self, operation: Operation, future: asyncio.Future[T]) -> T:
        writer = self._writer
        writer.put(operation)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await future
        except TimeoutError:
            raise LedgerError(
                f"The ledger does not answer: {writer.error or 'it is busy'}.",
                hint=f"{writer.waiting} operations wait for it.",
            ) from None
        finally:
            operation.gone = True

    async def _read(self, query: Callable[[Connection], T]) -> T:
        if self._readers is None:
            raise LedgerError("The ledger is not open.")
        database = self._known_database

        def work() -> T:
            with database.reading() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _fail(self, operation: Operation) -> None:
        """Nobody waits any longer for the database."""
        future = operation.future
        if future is None or future.done():
            return
        operation.gone = True
        if self._open_when_down and isinstance(operation, Admit):
            self._uncounted += 1
            future.set_result(None)
        elif self._open_when_down and isinstance(operation, Send):
            future.set_result(None)
        else:
            error = self._writer.error
            future.set_exception(
                LedgerError(
                    f"The ledger does not answer, so that nothing that costs money is sent"
                    f"{': ' + error if error else ''}.",
                    hint="Local models go on. To let calls through uncounted: [ledger] "
                    'when_down = "open".',
                )
            )

    def _tell(self, told: Told) -> None:
        for operation, answer in told:
            future = operation.future
            assert future is not None
            if not future.done():
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            elif isinstance(operation, Admit) and (future.cancelled() or future.exception()):
                # It may be set aside by now, and nobody will use it.
                released = Settlement(hold=operation.hold.id, outcome="released")
                if self._at_work is not None:
                    self._at_work.put(Settle(None, (released,), {}))
        writer = self._at_work
        if self._told_lost and writer is not None and not writer.down:
            self._told_lost = False

    def _lose(self) -> None:
        self._lost += 1
        if not self._told_lost:
            self._told_lost = True
            _log.error("rows for the ledger are lost: %d wait already", self._capacity)


def _nothing() -> None:
    return None
