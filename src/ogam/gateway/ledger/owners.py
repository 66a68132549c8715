"""The processes that write to one ledger, and how a dead one is told from a slow one.

A wrong verdict costs no money: what a live process had set aside and not sent lapses, and it is
told so before it sends; what it had sent counts in full until it settles it.
"""

from __future__ import annotations

import os
import platform
import time

from sqlalchemy import Connection, insert, select, update

from ogam.gateway.ledger.database import Database
from ogam.gateway.ledger.schema import holds, owners

# Seconds between two signs of life. Without any for DEAD seconds of the observer's own clock,
# in which it could read the ledger, a process is dead: no two clocks are compared, and nobody
# dies of a database that was away.
BEAT, DEAD = 5.0, 30.0


class Owners:
    """This process, ``owner``, among the others."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database, self._owner = database, owner
        self._seen: dict[str, tuple[int, float]] = {}
        self.clock = time.monotonic

    def register(self, connection: Connection) -> None:
        """Be known, in a transaction that was begun; from here on the others are watched anew."""
        self._seen.clear()
        if not self._beat(connection):
            connection.execute(
                insert(owners).values(id=self._owner, host=_host(), pid=os.getpid(), beats=0)
            )

    def beat(self) -> list[str]:
        """Show that this one lives; who has died."""
        with self._database.transaction() as connection:
            if not self._beat(connection):
                connection.execute(
                    insert(owners).values(id=self._owner, host=_host(), pid=os.getpid(), beats=0)
                )
            return self.dead(connection)

    def dead(self, connection: Connection) -> list[str]:
        """Those that gave no sign of life, or whose process on this machine is gone."""
        now, host = self.clock(), _host()
        dead: list[str] = []
        seen: dict[str, tuple[int, float]] = {}
        for one in connection.execute(select(owners).where(owners.c.id != self._owner)):
            beats, since = self._seen.get(one.id, (-1, now))
            seen[one.id] = (one.beats, since if beats == one.beats else now)
            if one.host == host and not _runs(one.pid):
                dead.append(one.id)
        # Holds whose process is not even written down: the ledger came from a backup.
        stray = (
            select(holds.c.owner)
            .where(holds.c.state.in_(("held", "sent")), holds.c.owner != self._owner)
            .where(holds.c.owner.not_in(select(owners.c.id)))
            .distinct()
        )
        for one in connection.execute(stray):
            seen[one.owner] = self._seen.get(one.owner, (-1, now))
        self._seen = seen
        return dead + [one for one, (_, since) in seen.items() if now - since > DEAD]

    def _beat(self, connection: Connection) -> bool:
        mine = update(owners).where(owners.c.id == self._owner)
        return connection.execute(mine.values(beats=owners.c.beats + 1)).rowcount > 0


def _host() -> str:
    """This machine, or this container: where a process number means this process."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is another user's
        return True
    return True
