"""The migrations, and the tables that the code is written for, are the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from ogam.gateway.ledger import migrate, schema


def test_the_migrations_make_the_tables_of_the_code(books, place: str):
    async def work() -> None:
        async with books.opened(place):
            pass

    asyncio.run(work())
    engine = create_engine(place.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert found == []


def test_the_last_migration_is_the_one_the_code_knows():
    folder = Path(migrate.__file__).parent / "migrations" / "versions"
    assert max(one.stem.split("_")[0] for one in folder.glob("*.py")) == migrate.HEAD
