"""The thread that owns the ledger's connection and works off what waits, in groups.

Whoever waits is told through its event loop, once for all of a group. While the database does
not answer, what waits stays in its order and is tried again, with new connections.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice, takewhile
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from ogam.capabilities.base import Units
from ogam.errors import LedgerError, OgamError
from ogam.gateway.ledger.database import Database, DownError
from ogam.gateway.ledger.migrate import upgrade
from ogam.gateway.ledger.operations import Admit, Operation, Settle, Task
from ogam.gateway.ledger.owners import BEAT, Owners
from ogam.gateway.ledger.store import Store
from ogam.gateway.ledger.values import Attempt, Row

_log = logging.getLogger("ogam.ledger")
# More operations in one transaction gain nothing, and let the first wait longer.
_GROUP = 512
# Seconds that processes which start at once wait for one that makes the tables.
_PATIENCE = 10.0
_SHORTEST, _LONGEST = 0.02, 0.5
# Seconds that rows and settlements wait for company. One caller alone pays for one transaction a
# call, and not two; who dies meanwhile leaves a hold that is still there, as ever.
_LINGER = 0.005
# Seconds that the last rows are tried for when the ledger is closed.
_LAST = 5.0

Told = list[tuple[Operation, Any]]


class Writer:
    """Works off operations on ``database`` until it is stopped.

    ``tell`` is called in ``loop`` with what a group came to. A failure that lasts longer than
    ``wait`` seconds counts as an outage.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[Told], None],
        wait: float,
    ) -> None:
        self._database, self._owner, self._loop, self._tell = database, owner, loop, tell
        self._wait = wait
        self.store = Store(database, owner)
        self.owners = Owners(database, owner)
        self.error = ""
        self.spoilt = 0
        self._incoming: deque[Operation] = deque()
        self._pending: deque[Operation] = deque()
        self._signal: SimpleQueue[None] = SimpleQueue()  # something came in while nothing waited
        self._signalled = False
        self._later: asyncio.TimerHandle | None = None
        self._ended = False
        self._since: float | None = None  # when it began to fail
        self._logged = False
        self._pause = 0.0
        self._due = 0.0
        self._stopping: float | None = None  # until when the last rows are tried
        self._opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="ogam-ledger", daemon=True)

    async def start(self) -> None:
        """Connect, and make or upgrade the tables. LedgerError where they cannot be used.

        A database that does not answer is none: it is tried again for as long as it takes.
        """
        self._thread.start()
        await self._opened

    def put(self, operation: Operation) -> None:
        """Have it done after all that was put before. Returns at once. In the loop only."""
        self._incoming.append(operation)
        if self._signalled:
            return
        if operation.future is not None:
            # Once for all that one turn of the loop brings.
            self._signalled = True
            self._loop.call_soon(self._wake)
        elif self._later is None:
            # Nobody waits for it, so it may go with the next that somebody waits for.
            self._later = self._loop.call_later(_LINGER, self._wake)

    def put_from_thread(self, operation: Operation) -> None:
        """The same, from any thread."""
        self._incoming.append(operation)
        self._signal.put(None)

    def _wake(self) -> None:
        self._signalled = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._signal.put(None)

    @property
    def waiting(self) -> int:
        """How many operations are not yet done."""
        return len(self._incoming) + len(self._pending)

    @property
    def down(self) -> bool:
        """Whether the database has not answered for longer than anybody waits for it."""
        since = self._since
        return since is not None and time.monotonic() - since >= self._wait

    def stop(self) -> None:
        """Do what waits, and end. Blocks until then, in an outage for a few seconds."""
        self._ended = True
        self._signal.put(None)
        self._thread.join()

    # In the thread.

    def _run(self) -> None:
        try:
            self._first()
        except Exception as error:  # told to whoever opens the ledger
            self._database.close()
            self._in_loop(self._opened.set_exception, error)
            return
        self._in_loop(self._opened.set_result, None)
        while self._collect():
            try:
                self._once()
            except DownError as error:
                self._failed(str(error))
            except Exception as error:
                _log.exception("the ledger's thread goes on after an error of its own")
                self._failed(f"{type(error).__name__}: {error}")
        self._end()

    def _first(self) -> None:
        self._database.create()
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._connect()
                break
            except DownError as error:
                # Locked by another that starts too: its turn ends. Else serving starts without.
                if not self._database.connected or time.monotonic() > until:
                    self._failed(str(error))
                    break
                time.sleep(_SHORTEST)

    def _connect(self) -> None:
        if not self._database.connected:
            self._database.connect()
        with self._database.transaction() as connection:
            upgrade(connection)
            self.owners.register(connection)
            dead = self.owners.dead(connection)
        self.store.forget()
        self._due = time.monotonic() + BEAT
        self._ready = True
        self._lapse(dead)

    _ready = False

    def _collect(self) -> bool:
        """Take what waits, or wait for it. False once all is done and the end was asked for."""
        pending, incoming, signal = self._pending, self._incoming, self._signal
        if self._since is not None:
            time.sleep(self._pause)
        elif not (pending or incoming or self._ended):
            with suppress(Empty):
                signal.get(timeout=max(0.0, self._due - time.monotonic()))
        for _ in range(signal.qsize()):
            signal.get_nowait()
        for _ in range(min(len(incoming), _GROUP)):
            pending.append(incoming.popleft())
        if not self._ended:
            return True
        self._stopping = self._stopping or time.monotonic() + _LAST
        return bool(pending or incoming) and time.monotonic() < self._stopping

    def _once(self) -> None:
        if not (self._ready and self._database.connected):
            self._ready = False
            self._connect()
        if time.monotonic() >= self._due or self._since is not None:
            self._due = time.monotonic() + BEAT
            self._lapse(self.owners.beat())
        pending = self._pending
        while pending:
            group = list(
                takewhile(lambda one: not isinstance(one, Task), islice(pending, _GROUP))
            ) or [pending[0]]
            answers = self._done(group)
            for _ in group:
                pending.popleft()
            told = [each for each in zip(group, answers, strict=True) if each[0].future]
            if told:
                self._in_loop(self._tell, told)
        self._recovered()

    def _done(self, group: list[Operation]) -> list[Any]:
        first = group[0]
        if isinstance(first, Task):
            return [self._task(first)]
        try:
            return self.store.carry_out(group, again=any(one.tried for one in group))
        except DownError:
            for one in group:
                one.tried = True
            raise
        except Exception:  # one of them is at fault: the others go on without it
            return [self._alone(one) for one in group]

    def _task(self, task: Task) -> Any:
        if task.gone:
            return None
        try:
            return task.work()
        except DownError:
            raise
        except Exception as error:  # its caller's to know
            return error

    def _alone(self, one: Operation) -> Any:
        try:
            return self.store.carry_out([one], again=one.tried)[0]
        except DownError:
            one.tried = True
            raise
        except Exception as error:
            told = LedgerError(f"The ledger does not take this: {type(error).__name__}: {error}")
        if isinstance(one, Settle) and one.row is not None:
            # The money is settled whatever else the row has to say.
            clean = Settle(_clean(one.row), one.settlements, one.known)
            with suppress(OgamError, ValueError, TypeError, OverflowError):
                self.store.carry_out([clean], again=one.tried)
                return None
        if not isinstance(one, Admit):
            self.spoilt += 1
            _log.error("%s", told.message)
        return told

    def _lapse(self, dead: list[str]) -> None:
        for owner in dead:
            ended = self.store.lapse(owner)
            if ended:
                _log.warning("%d holds of a process that died have ended", ended)

    def _failed(self, error: str) -> None:
        now = time.monotonic()
        self._since = self._since or now
        self.error = error
        self._pause = min(_LONGEST, max(_SHORTEST, self._pause * 2))
        if self.down and not self._logged:
            self._logged = True
            _log.error("the ledger does not answer: %s", error)

    def _recovered(self) -> None:
        if self._since is not None:
            if self._logged:
                _log.warning("the ledger answers again")
            self._since, self._logged, self._pause, self.error = None, False, 0.0, ""

    def _end(self) -> None:
        left = self.waiting
        if left:
            _log.error("%d operations were not written to the ledger: %s", left, self.error)
        try:
            if self._database.connected:
                self.store.lapse(self._owner)
        except Exception as error:  # another process finds out
            _log.warning("the ledger was left open: %s", error)
        self._database.close()

    def _in_loop(self, function: Callable[[Any], Any], value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(function, value)


def _clean(row: Row) -> Row:
    """The row without what a database does not take: NUL, half a letter, numbers past 64 bits."""

    def text(value: Any) -> str:
        return str(value).encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:10_000]

    def number(value: Any) -> int:
        return max(0, min(int(value or 0), 2**63 - 1))

    units = {name: number(getattr(row.units, name)) for name in Units.__struct_fields__}
    attempts = tuple(
        Attempt(
            model=text(one.model),
            outcome=text(one.outcome),
            ms=number(one.ms),
            cost=number(one.cost),
            error=text(one.error),
        )
        for one in row.attempts
    )
    names = ("id", "key", "capability", "protocol", "route", "engine", "model", "price_version")
    texts: dict[str, Any] = {name: text(getattr(row, name)) for name in (*names, "status", "cache")}
    return msgspec.structs.replace(
        row,
        **texts,
        at=number(row.at),
        units=Units(**units),
        attempts=attempts,
        first_ms=None if row.first_ms is None else number(row.first_ms),
        total_ms=number(row.total_ms),
    )
