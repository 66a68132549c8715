"""The ledger: what each call cost, and what may still be spent.

Light to import: SQLAlchemy loads when a ledger is opened.
"""

from __future__ import annotations

from ogam.gateway.ledger.ledger import Ledger
from ogam.gateway.ledger.values import (
    Attempt,
    Budget,
    BudgetState,
    Difference,
    Hold,
    OpenHold,
    Row,
    Settlement,
    Status,
    StoredKey,
    Usage,
    period_of,
    span,
)

__all__ = [
    "Attempt",
    "Budget",
    "BudgetState",
    "Difference",
    "Hold",
    "Ledger",
    "OpenHold",
    "Row",
    "Settlement",
    "Status",
    "StoredKey",
    "Usage",
    "period_of",
    "span",
]
