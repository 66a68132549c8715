"""``/v1/usage``, ``/v1/budgets`` and ``/v1/keys``: the books over HTTP, as JSON. Knows no vendor.

A key of the configuration sees everything and sets budgets, as does everyone where no key is
asked for, which is on this machine alone. A key of the ledger sees what is its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, get_args

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ogam.capabilities.base import CAPABILITIES
from ogam.errors import (
    AuthenticationError,
    ForbiddenError,
    InvalidRequestError,
    LedgerError,
    NotFoundError,
    OgamError,
    OverloadedError,
    TooLargeError,
)
from ogam.gateway import money, periods, report
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import ANYONE, Keys
from ogam.gateway.ledger.values import Budget, Grouping, Period, Scope
from ogam.server.app import Plain

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
# A budget is five short fields.
_MOST_BYTES = 16_384
_SINCE = "30d"
_FILTERS = ("key", "capability", "vendor", "model")
_STATUS: tuple[tuple[type[OgamError], int], ...] = (
    (AuthenticationError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (TooLargeError, 413),
    (InvalidRequestError, 400),
    (OverloadedError, 503),
    (LedgerError, 503),
)


class NewBudget(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``cap`` in dollars, as ``"12.50"``; ``subject`` names the key's id, capability or vendor."""

    cap: str
    period: Period
    scope: Scope = "total"
    subject: str = ""

    @property
    def id(self) -> str:
        """As ``ogam budget`` names it: a scope has one budget a period."""
        of = f"{self.scope}:{self.subject}" if self.subject else self.scope
        return f"{of}/{self.period}"


class _Asked:
    """One request: what it may see and do. AuthenticationError for a key that is none."""

    def __init__(self, request: Request, keys: Keys) -> None:
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        self.request, self.keys = request, keys
        self.key = keys.check(shown.strip() if kind.lower() == "bearer" else None)
        self.whole = self.key is ANYONE or keys.configured(self.key)

    def check_may_change(self) -> None:
        """ForbiddenError for a key of the ledger: it could lift its own limits."""
        if not self.whole:
            raise ForbiddenError(
                "This key sets no budgets.", hint="A key of server.keys does, or ogam budget set."
            )

    async def body(self) -> bytes:
        """What was sent, where it is not too long."""
        data = bytearray()
        async for piece in self.request.stream():
            data += piece
            if len(data) > _MOST_BYTES:
                raise TooLargeError(f"A budget has {_MOST_BYTES:,} bytes at most.")
        return bytes(data)


_Handler = Callable[[Gateway, _Asked], Awaitable[dict[str, Any]]]


def pages(gateway: Gateway, keys: Keys) -> list[Plain]:
    """The pages, each of which wants the server's key where there is one."""
    handlers: tuple[tuple[str, str, _Handler], ...] = (
        ("GET", "/v1/usage", _usage),
        ("GET", "/v1/budgets", _budgets),
        ("PUT", "/v1/budgets", _set_budget),
        ("DELETE", "/v1/budgets", _remove_budget),
        ("GET", "/v1/keys", _keys),
    )
    return [
        Plain(path, partial(_answer, gateway, keys, handler), method)
        for method, path, handler in handlers
    ]


async def _answer(gateway: Gateway, keys: Keys, handler: _Handler, request: Request) -> Response:
    try:
        value, status = await handler(gateway, _Asked(request, keys)), 200
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except OgamError as error:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        value = {"error": {"message": str(error), "type": type(error).__name__}}
    return Response(msgspec.json.encode(value), status, _HEADERS, "application/json")


async def _usage(gateway: Gateway, asked: _Asked) -> dict[str, Any]:
    """Sums of calls, units and money."""
    query = asked.request.query_params
    by = [one for part in query.getlist("by") for one in part.split(",") if one]
    by = list(dict.fromkeys(by)) or ["capability"]
    for one in by:
        if one not in get_args(Grouping):
            raise InvalidRequestError(
                f"There is no grouping {one[:40]!r}.",
                hint=f"There is {', '.join(get_args(Grouping))}.",
                param="by",
            )
    since = periods.moment(query.get("since") or _SINCE)
    until = periods.moment(query["until"]) if query.get("until") else None
    filters = {name: query[name] for name in _FILTERS if query.get(name)}
    if not asked.whole:
        filters["key"] = asked.key.id
    ledger = await gateway.spending.open()
    await ledger.flush()  # rows are written behind the calls
    found = await ledger.usage(by, since=since, until=until, **filters)  # pyright: ignore[reportArgumentType]
    rows = report.usage(found, by, report.names(await ledger.keys()))
    if "day" in by:
        rows.sort(key=lambda one: str(one["day"]))
    return {
        "by": by,
        "since": report.moment(since),
        "until": report.moment(until),
        "usage": rows,
    }


async def _budgets(gateway: Gateway, asked: _Asked) -> dict[str, Any]:
    """Each budget in its present period."""
    ledger = await gateway.spending.open()
    await ledger.flush()
    found = await ledger.budgets()
    if not asked.whole:
        own = ("key", asked.key.id)
        found = [one for one in found if (one.budget.scope, one.budget.subject) == own]
    return {"budgets": report.budgets(found, report.names(await ledger.keys()))}


async def _set_budget(gateway: Gateway, asked: _Asked) -> dict[str, Any]:
    """Make a budget, or change the one of its scope, subject and period."""
    asked.check_may_change()
    try:
        new = msgspec.json.decode(await asked.body(), type=NewBudget)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"The budget is wrong: {error}.") from None
    known: Sequence[str] | None = None
    if new.scope == "capability":
        known = CAPABILITIES
    elif new.scope == "vendor":
        known = tuple(gateway.vendors)
    elif new.scope == "key":
        known = asked.keys.ids()
    if known is not None and new.subject not in known:
        raise InvalidRequestError(f"There is no {new.scope} {new.subject[:60]!r}.", param="subject")
    ledger = await gateway.spending.open()
    await ledger.set_budget(
        Budget(
            id=new.id,
            scope=new.scope,
            subject=new.subject,
            period=new.period,
            cap=money.parse(new.cap),
        )
    )
    return await _budgets(gateway, asked)


async def _remove_budget(gateway: Gateway, asked: _Asked) -> dict[str, Any]:
    """Remove the budget of ``id``."""
    asked.check_may_change()
    identity = asked.request.query_params.get("id", "")
    if not identity:
        raise InvalidRequestError(
            "No budget is named.", hint="DELETE /v1/budgets?id=total/month", param="id"
        )
    ledger = await gateway.spending.open()
    await ledger.remove_budget(identity)
    return await _budgets(gateway, asked)


async def _keys(gateway: Gateway, asked: _Asked) -> dict[str, Any]:
    """The ledger's keys, what they may do and whether they are in force."""
    ledger = await gateway.spending.open()
    found = report.keys(await ledger.keys(), periods.now())
    return {"keys": [one for one in found if asked.whole or one["id"] == asked.key.id]}


def _operation(summary: str, name: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    said = {"description": "An error: its message under error."}
    return {
        "operationId": f"ogam_{name}",
        "summary": summary,
        "tags": ["ogam"],
        "security": [{"bearer": []}, {}],
        "parameters": list(parameters),
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "4XX": said,
            "503": said,
        },
    }


def _parameter(name: str, description: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string"},
        **more,
    }


_NEW_BUDGET = msgspec.json.schema(NewBudget)["$defs"]["NewBudget"]
_BY = {"type": "array", "items": {"enum": list(get_args(Grouping))}}
# For /openapi.json.
PATHS: dict[str, dict[str, Any]] = {
    "/v1/usage": {
        "get": _operation(
            "Sums of calls, units and money.",
            "usage",
            _parameter("by", "Sum for each; may be given again.", schema=_BY),
            _parameter("since", f"So far back, or from this day (UTC); {_SINCE} if left out."),
            _parameter("until", "And before that."),
            *(_parameter(name, f"Only of this {name}.") for name in _FILTERS),
        )
    },
    "/v1/budgets": {
        "get": _operation("Every budget: its cap, what is spent, set aside and left.", "budgets"),
        "put": _operation("Set a budget, or change it.", "set_budget")
        | {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _NEW_BUDGET}},
            }
        },
        "delete": _operation(
            "Remove a budget.", "remove_budget", _parameter("id", "Its id.", required=True)
        ),
    },
    "/v1/keys": {"get": _operation("The keys, without their secrets.", "keys")},
}
