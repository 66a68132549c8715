"""What was spent, what may be, who may call, what it costs: as plain data for people to read.

Pure: values of the ledger in, dictionaries out, for the command line, the console and JSON alike.
Money stands there twice: ``cost`` in words ("$0.25") and ``cost_nano``, exactly, in nano-dollars.
No secret and no hash of one is ever among it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ogam.gateway.keys import BEFORE
from ogam.gateway.ledger import BudgetState, OpenHold, StoredKey, Usage
from ogam.gateway.money import dollars
from ogam.gateway.prices import Book

Names = Mapping[str, str]


def usage(found: Iterable[Usage], by: Sequence[str] = (), names: Names | None = None) -> list[Any]:
    """Sums of calls, in the groups they were asked for; ``names`` are those of keys by id."""
    rows: list[dict[str, Any]] = []
    for one in found:
        row: dict[str, Any] = {name: getattr(one, name) for name in by}
        if "key" in row:
            row["key_name"] = (names or {}).get(one.key, "")
        units = one.units
        row |= {
            "calls": one.calls,
            "input_tokens": units.input_tokens,
            "cached_input_tokens": units.cached_input_tokens,
            "output_tokens": units.output_tokens,
            "characters": units.characters,
            "audio_seconds": units.audio_ms / 1000,
            "image_features": units.image_features,
            **_money("cost", one.cost),
            **_money("unknown", one.unknown),
        }
        rows.append(row)
    return rows


def budgets(states: Iterable[BudgetState], names: Names | None = None) -> list[dict[str, Any]]:
    """Each budget in its present period: its cap, what is spent, set aside and left."""
    return [
        {
            "id": one.budget.id,
            "for": scope(one, names or {}),
            "scope": one.budget.scope,
            "subject": one.budget.subject,
            "period": one.budget.period,
            "now": one.period,
            **_money("cap", one.budget.cap),
            **_money("spent", one.settled),
            **_money("held", one.held),
            **_money("left", one.left),
        }
        for one in states
    ]


def scope(state: BudgetState, names: Names) -> str:
    """What a budget stands over, in words."""
    own = state.budget
    if own.scope == "total":
        return "everything"
    named = names.get(own.subject, "") if own.scope == "key" else ""
    return f"{own.scope} {own.subject}" + (f" ({named})" if named else "")


def keys(stored: Iterable[StoredKey], now: int) -> list[dict[str, Any]]:
    """Every key, what it may do and whether it is in force. ``now`` is in milliseconds.

    ``replaced_until``: a secret that it had before is good until then.
    """
    found: dict[str, dict[str, Any]] = {}
    before: list[StoredKey] = []
    for one in stored:
        if BEFORE in one.id:
            before.append(one)
            continue
        state = "active"
        if one.revoked is not None and one.revoked <= now:
            state = "revoked"
        elif one.expires is not None and one.expires <= now:
            state = "expired"
        found[one.id] = {
            "id": one.id,
            "name": one.name,
            "state": state,
            "created": moment(one.created),
            "expires": moment(one.expires),
            "revoked": moment(one.revoked),
            "replaced_until": None,
            "allowed": one.allowed,
            "limits": one.limits,
        }
    for one in before:
        row = found.get(one.id.partition(BEFORE)[0])
        good = one.revoked is None and one.expires is not None and one.expires > now
        if row is not None and good:
            row["replaced_until"] = max(row["replaced_until"] or "", moment(one.expires) or "")
    return list(found.values())


def names(stored: Iterable[StoredKey]) -> dict[str, str]:
    """The keys' names by their ids."""
    return {one.id: one.name for one in stored if BEFORE not in one.id}


def holds(found: Iterable[OpenHold], key_names: Names | None = None) -> list[dict[str, Any]]:
    """Money that is set aside, the oldest first."""
    return [
        {
            "id": one.hold.id,
            "at": moment(one.hold.at),
            "state": one.state,
            "key": one.hold.key,
            "key_name": (key_names or {}).get(one.hold.key, ""),
            "capability": one.hold.capability,
            "model": one.hold.model,
            **_money("held", one.hold.bound or 0),
        }
        for one in found
    ]


def prices(book: Book, vendor: str = "") -> list[dict[str, Any]]:
    """The rows of the book, the configuration's first; of one vendor, or of all."""
    return [
        {
            "vendor": one.vendor,
            "models": list(one.models),
            "capabilities": list(one.capabilities),
            "price": one.price.words,
            "note": one.price.note,
            "version": one.price.version,
            "sources": list(one.price.sources),
        }
        for one in (*book.own, *book.shipped)
        if not vendor or one.vendor == vendor
    ]


def moment(at: int | None) -> str | None:
    """A time in milliseconds as ISO 8601, in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")[:19] + "Z"


def _money(name: str, nano: int) -> dict[str, Any]:
    return {name: dollars(nano), f"{name}_nano": nano}
