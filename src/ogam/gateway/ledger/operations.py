"""What waits to be written: the operations of the hot path, in the order they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ogam.capabilities.base import Units
from ogam.gateway.ledger.values import Hold, Row, Settlement


class Operation:
    """One thing to do. ``future`` is told the outcome, where someone waits for it.

    ``gone``: whoever waited has left, or was told that it failed. ``tried``: it was in a
    transaction whose end nobody knows.
    """

    __slots__ = ("future", "gone", "tried")

    def __init__(self, future: asyncio.Future[Any] | None = None) -> None:
        self.future, self.gone, self.tried = future, False, False


class Admit(Operation):
    """Set money aside."""

    __slots__ = ("hold",)

    def __init__(self, hold: Hold, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.hold = hold


class Send(Operation):
    """A held call goes out."""

    __slots__ = ("id",)

    def __init__(self, hold_id: str, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.id = hold_id


class Settle(Operation):
    """End holds, and keep the call's row. ``known`` are the holds as this process made them,
    for a database that lost them or never had them.
    """

    __slots__ = ("known", "row", "settlements")

    def __init__(
        self, row: Row | None, settlements: Sequence[Settlement], known: Mapping[str, Hold]
    ) -> None:
        super().__init__()
        self.row, self.settlements, self.known = row, settlements, known


class Reconcile(Operation):
    """Say what an unknown hold cost, and which units that was for."""

    __slots__ = ("cost", "id", "units")

    def __init__(self, hold_id: str, cost: int, units: Units, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.id, self.cost, self.units = hold_id, cost, units


class Record(Operation):
    """Keep what was said in a call; both are JSON, redacted."""

    __slots__ = ("call", "request", "response")

    def __init__(self, call: str, request: str, response: str) -> None:
        super().__init__()
        self.call, self.request, self.response = call, request, response


class Task(Operation):
    """Anything rare; ``work`` runs by itself, in a transaction of its own."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[], Any], future: asyncio.Future[Any] | None = None) -> None:
        super().__init__(future)
        self.work = work
