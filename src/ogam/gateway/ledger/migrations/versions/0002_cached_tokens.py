"""Of the tokens that a call read: those from the vendor's cache."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column. Neither database writes the table anew for it."""
    op.add_column(
        "calls",
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False, server_default="0"),
    )
