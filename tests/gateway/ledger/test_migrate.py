"""The migrations, and the tables that the code is written for, are the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from ogam.capabilities.base import Units
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


def test_a_ledger_of_the_first_form_is_brought_up_with_all_that_is_in_it(
    books, place: str, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as earlier:
        earlier.setattr(migrate, "HEAD", "0001")
        engine = create_engine(place.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            migrate.upgrade(connection)
        engine.dispose()
    names = "id, at, key, capability, protocol, route, attempts, engine, model, price_version"
    texts = "'one', 5, 'k', 'generate', '', '', '[]', 'openai', 'openai/m', ''"
    units = "input_tokens, output_tokens, characters, audio_ms, image_features"
    books.sql(
        place,
        f"INSERT INTO calls ({names}, {units}, cost, total_ms, cache, status) "
        f"VALUES ({texts}, 3, 0, 0, 0, 0, 9, 1, '', 'ok')",
    )

    async def work() -> None:
        async with books.opened(place) as ledger:
            (found,) = await ledger.calls()
            assert found == books.row("one", at=5, cost=9, total_ms=1)
            new = books.row("two", units=Units(input_tokens=4, cached_input_tokens=3))
            ledger.settle(new)
            await ledger.flush()
            assert await ledger.calls(id="two") == [new]
            (total,) = await ledger.usage()
            assert total.units == Units(input_tokens=7, cached_input_tokens=3)

    asyncio.run(work())


def test_the_last_migration_is_the_one_the_code_knows():
    folder = Path(migrate.__file__).parent / "migrations" / "versions"
    assert max(one.stem.split("_")[0] for one in folder.glob("*.py")) == migrate.HEAD
