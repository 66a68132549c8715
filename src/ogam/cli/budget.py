"""``ogam budget``: how much may be spent, by whom, on what, in which time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogam import vendors
from ogam.capabilities.base import CAPABILITIES
from ogam.cli import books, output
from ogam.cli.options import Json, WrongUseError, new_app
from ogam.config import Config
from ogam.errors import NotFoundError
from ogam.gateway.keys import Keys
from ogam.gateway.money import dollars

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger, StoredKey

app = new_app()


@app.callback()
def budget() -> None:
    """Set and show budgets: a call goes out only if the most it can cost fits under all of them."""


@app.command("set")
def set_(
    amount: Annotated[
        str,
        typer.Argument(
            metavar="AMOUNT/PERIOD", help="Dollars a day, a month or ever.", show_default=False
        ),
    ],
    key: Annotated[str | None, typer.Option(help="For this key, by name or id.")] = None,
    capability: Annotated[str | None, typer.Option(help="For this capability.")] = None,
    vendor: Annotated[str | None, typer.Option(help="For this vendor.")] = None,
) -> None:
    """Set a budget, or change it; of everything, unless one thing is named.

    Days and months are the UTC calendar's. What its period already saw counts.
    """
    cap, period = books.per_period(amount)
    given = {"key": key, "capability": capability, "vendor": vendor}
    named = {scope: value for scope, value in given.items() if value is not None}
    if len(named) > 1:
        raise WrongUseError("A budget is for one of key, capability and vendor.", "ogam budget set")

    async def work(ledger: Ledger, config: Config) -> str:
        from ogam.gateway.ledger import Budget

        scope, subject = next(iter(named.items()), ("total", ""))
        if scope == "key":
            subject = _key(await ledger.keys(), config, subject)
        elif scope == "capability":
            books.among((subject,), CAPABILITIES, "capability")
        elif scope == "vendor":
            books.among((subject,), tuple(vendors.found(config.vendors)), "vendor")
        identity = f"{scope}:{subject}/{period}" if subject else f"{scope}/{period}"
        made: Any = {"scope": scope, "subject": subject, "period": period}
        await ledger.set_budget(Budget(id=identity, cap=cap, **made))
        return identity

    output.write(f"{books.run(work)}\t{dollars(cap)}")


@app.command()
def show(as_json: Json = False) -> None:
    """Show every budget: its cap, and what is spent, set aside and left of it now."""

    async def work(ledger: Ledger, _: Config) -> list[dict[str, Any]]:
        from ogam.gateway import report

        return report.budgets(await ledger.budgets(), report.names(await ledger.keys()))

    found = books.run(work)
    if as_json:
        for one in found:
            output.write_json(one)
        return
    columns = ("id", "for", "now", "cap", "spent", "held", "left")
    output.table(columns, [[one[name] for name in columns] for one in found])
    if not found:
        output.note("ogam: there is no budget. Set one: ogam budget set 10/month")


@app.command()
def rm(
    budget: Annotated[
        str, typer.Argument(metavar="ID", help="As ogam budget show names it.", show_default=False)
    ],
) -> None:
    """Remove a budget."""

    async def work(ledger: Ledger, _: Config) -> None:
        await ledger.remove_budget(budget)

    books.run(work)
    output.write(f"{budget}\tremoved")


def _key(stored: list[StoredKey], config: Config, named: str) -> str:
    """The id of a key of the ledger, or of the configuration, which has no name."""
    try:
        return books.key_of(stored, named).id
    except NotFoundError:
        if Keys(config.server.keys).has(named):
            return named
        raise
