"""Brings a ledger's database to the form that this version of Ogam writes, and never back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from ogam.errors import LedgerError

# The last of migrations/versions; Alembic takes 0.8 s to load, and is only where this differs.
HEAD = "0002"
_FOLDER = Path(__file__).parent / "migrations"
# Any number that other programs in the same PostgreSQL are unlikely to lock.
_LOCK = 0x06A3_1ED6


def upgrade(connection: Connection) -> None:
    """Run in a transaction that was begun: several processes that start at once take turns.

    LedgerError where the database was written by a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    found = _version(connection)
    if found == HEAD:
        return
    # Imported only here, for their time.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    if found is not None and found not in {one.revision for one in scripts.walk_revisions()}:
        raise LedgerError(
            f"The ledger was written by a newer Ogam (its form is {found!r}, this one knows "
            f"{HEAD!r}).",
            hint="Upgrade Ogam: pip install --upgrade ogam",
        )

    def steps(revision: Any, _: Any) -> Any:
        return scripts._upgrade_revs(HEAD, revision)  # pyright: ignore[reportPrivateUsage]

    with EnvironmentContext(config, scripts, fn=steps, destination_rev=HEAD) as context:
        context.configure(connection=connection, target_metadata=None)
        context.run_migrations()


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
