"""The ledger's tables, the same on SQLite and PostgreSQL.

The migrations make them; a test holds that both say the same.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

# One row, `budgets`: a number that grows with every change of a budget, so that each process
# knows when to read them again. Who changes them locks it, who counts shares it.
revisions = Table(
    "revisions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("cap", BigInteger, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("budget", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("settled", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("capability", Text, nullable=False),
    Column("vendor", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("bound", BigInteger),
    Column("price_version", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cost", BigInteger, nullable=False),
)
# Few holds are open at a time, and they are what a crash leaves.
_OPEN = text("state IN ('held', 'sent', 'unknown')")
Index("holds_open", holds.c.owner, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("holds_at", holds.c.at)

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("capability", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("attempts", Text, nullable=False),  # JSON; written at every call, read seldom
    Column("engine", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("audio_ms", BigInteger, nullable=False),
    Column("image_features", BigInteger, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("first_ms", BigInteger),
    Column("total_ms", BigInteger, nullable=False),
    Column("cache", Text, nullable=False),
    Column("status", Text, nullable=False),
    # Of the tokens read. What wrote before there was this column knows none.
    Column("cached_input_tokens", BigInteger, nullable=False, server_default="0"),
)
Index("calls_at", calls.c.at)

records = Table(
    "records",
    metadata,
    Column("call", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("response", Text, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("limits", JSON, nullable=False),
    Column("allowed", JSON, nullable=False),
)

# The processes that write here. `beats` grows while one lives.
owners = Table(
    "owners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
