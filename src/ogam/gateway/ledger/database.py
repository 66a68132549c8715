"""One connection to SQLite or PostgreSQL: transactions, and which of its errors mean what.

Knows nothing of what is kept there. Transactions are begun and ended in SQL, because the two
drivers differ in when they do so by themselves.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ogam.errors import ConfigurationError, LedgerError
from ogam.extras import needs

Durable = Literal["process", "power"]
# How long one attempt waits for SQLite's lock. Who waits longer asks again.
_BUSY = 0.25
# Beyond this PostgreSQL gives up on its own: a statement here takes milliseconds.
_STATEMENT_MS, _REPORT_MS = 5_000, 60_000
_MAGIC = b"SQLite format 3\0"
_ELSEWHERE = "Choose another place in ogam.toml: [ledger] url."


class DownError(Exception):
    """The database does not answer for now; the same may be tried again."""


class Database:
    """A ledger's database. One thread uses it; ``reading`` may be called from any.

    ``durable``: SQLite by default writes its log without waiting for the disk, which survives
    the death of the process at any instant. "power" waits for the disk at each group, and so
    survives the loss of power and a crash of the system too. PostgreSQL does what its server
    is set to, which is the latter.
    """

    def __init__(self, place: str | os.PathLike[str], *, durable: Durable = "process") -> None:
        self._url = _url(place)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self.name = self._url.render_as_string(hide_password=True)
        self._full = durable == "power"
        self._file = Path(self._url.database or "") if self.sqlite else None
        self._inode: tuple[int, int] | None = None
        self._writer: Connection | None = None
        self._cursor: Any = None

    def create(self) -> None:
        """Make SQLite's file where there is none, readable by its owner alone."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600), "rb") as file:
                begins = file.read(len(_MAGIC))
        except OSError as error:
            raise LedgerError(
                f"The ledger {self._file} cannot be written: {error.strerror}.",
                hint=_ELSEWHERE,
            ) from None
        if begins not in (b"", _MAGIC):
            raise LedgerError(f"{self._file} is another kind of file.", hint=_ELSEWHERE)

    def connect(self) -> None:
        """Connect anew. DownError where that fails; never makes a file that was there before."""
        self.close()
        try:
            self._inode = self._found()
            self._writer = self._engine(_STATEMENT_MS, _BUSY).connect()
            self._cursor = self._driver().cursor()
            if self.sqlite:
                self._use_log(time.monotonic() + 10)
        except Exception as error:
            self.close()
            raise self.told(error) from error

    @property
    def connected(self) -> bool:
        """Whether there is a connection that was not lost."""
        return self._writer is not None

    @property
    def connection(self) -> Connection:
        """The connection, for statements of SQLAlchemy's."""
        assert self._writer is not None
        return self._writer

    @property
    def cursor(self) -> Any:
        """The driver's own cursor on the same connection, for what happens at every call.

        With a compiled statement in its cache SQLAlchemy took 62 µs to insert a row here and
        sqlite3 itself 11.
        """
        return self._cursor

    def close(self) -> None:
        """Drop the connection."""
        connection, self._writer, self._cursor = self._writer, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()
            connection.engine.dispose()

    def begin(self) -> None:
        """Begin to write; SQLite lets one in at a time."""
        self.cursor.execute(
            "BEGIN IMMEDIATE" if self.sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED"
        )

    def commit(self) -> None:
        """Make it last. DownError where SQLite's file is no longer the one at its place."""
        self.cursor.execute("COMMIT")
        if self._file is not None and self._found() != self._inode:
            self.close()
            raise DownError(f"{self._file} is another file than it was.")

    def rollback(self) -> None:
        """Undo what was begun; a connection that cannot is dropped."""
        try:
            if self._cursor is not None and not (self.sqlite and not self._driver().in_transaction):
                self._cursor.execute("ROLLBACK")
        except Exception:
            self.close()

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """All of the block or none of it. DownError where the database does not answer."""
        try:
            self.begin()
            yield self.connection
            self.commit()
        except BaseException as error:
            self.rollback()
            raise self.told(error) from error

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection of its own that sees one moment of the books. LedgerError if it cannot."""
        connection: Connection | None = None
        try:
            self._found()
            connection = self._engine(_REPORT_MS, 10.0).connect()
            connection.exec_driver_sql(
                "BEGIN" if self.sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            )
            yield connection
        except Exception as error:
            told = self.told(error)
            if isinstance(told, DownError):
                raise LedgerError(f"The ledger cannot be read: {told}") from error
            raise
        finally:
            if connection is not None:
                with suppress(Exception):
                    connection.exec_driver_sql("ROLLBACK")
                connection.close()
                connection.engine.dispose()

    def told(self, error: BaseException) -> BaseException:
        """``error``, or a DownError in its place where it says that the database is not there.

        An error over a value alone (too large, twice the same, not to be written as text) stays
        as it is: that operation is at fault, and others go on.
        """
        driver: Any = error.orig if isinstance(error, DBAPIError) and error.orig else error
        if isinstance(driver, sqlite3.Error):
            down = not isinstance(
                driver, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.ProgrammingError
            )
        elif hasattr(driver, "sqlstate"):  # psycopg's
            kinds = {one.__name__ for one in type(driver).__mro__}
            value = "DataError" in kinds or "IntegrityError" in kinds
            mine = "ProgrammingError" in kinds and driver.sqlstate is None
            down = not value and not mine
            if self._writer is not None and getattr(self._driver(), "closed", False):
                self.close()
        else:
            down = isinstance(driver, OSError)
        if not down:
            return error
        return DownError(f"{self.name}: {' '.join(str(driver).split())[:200]}")

    def _engine(self, statement_ms: int, busy: float) -> Engine:
        if self._file is not None:
            place = f"file:{quote(str(self._file))}?mode=rw"
            return create_engine(
                "sqlite://",
                creator=lambda: sqlite3.connect(place, uri=True, timeout=busy),
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
            )
        arguments = {
            "connect_timeout": 2,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 5_000,
            "application_name": "ogam",
            "options": f"-c statement_timeout={statement_ms} -c lock_timeout=2000",
        }
        with needs("scale"):
            return create_engine(
                self._url,
                connect_args=arguments,
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
            )

    def _driver(self) -> Any:
        return self.connection.connection.dbapi_connection

    def _use_log(self, until: float) -> None:
        """SQLite's write-ahead log: readers and the writer do not stop each other.

        To switch to it takes a lock that waits for nobody, so that several processes which
        start at once ask again.
        """
        while True:
            try:
                self.cursor.execute("PRAGMA journal_mode=WAL").fetchone()
                break
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        self.cursor.execute(f"PRAGMA synchronous={'FULL' if self._full else 'NORMAL'}")
        # After a burst the log is cut to this again.
        self.cursor.execute("PRAGMA journal_size_limit=67108864").fetchone()

    def _found(self) -> tuple[int, int] | None:
        """Which file is at SQLite's place. A deleted one could be written on unseen."""
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            self.close()
            raise DownError(
                f"{self._file} was deleted. Put it back, or start Ogam anew with an empty one."
            ) from None
        return found.st_dev, found.st_ino


def _url(place: str | os.PathLike[str]) -> URL:
    text = os.fspath(place)
    if "://" not in text:
        return URL.create("sqlite", database=os.path.abspath(os.path.expanduser(text)))
    try:
        url = make_url(text)
        if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
            return url.set(drivername="postgresql+psycopg")
    except (ArgumentError, NoSuchModuleError, ValueError):
        url = None
    if url is None or url.drivername != "sqlite" or url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "The ledger's url names neither a file of SQLite nor a database of PostgreSQL.",
            hint="Write sqlite:////path/ledger.sqlite or postgresql://user@host/database.",
        )
    return url.set(database=os.path.abspath(url.database or ""))
