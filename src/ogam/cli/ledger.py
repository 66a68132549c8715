"""``ogam ledger``: whether the books are right, and what nobody has settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ogam.cli import books, output
from ogam.cli.options import Json, WrongUseError, new_app
from ogam.config import Config
from ogam.gateway import money, periods
from ogam.gateway.money import dollars

if TYPE_CHECKING:
    from ogam.gateway.ledger import Difference, Ledger

app = new_app()


@app.callback()
def ledger() -> None:
    """Check the books, and settle what was left open."""


@app.command()
def check(as_json: Json = False) -> None:
    """Add everything up anew. Exit code 1 where two sums that should be equal are not."""

    async def work(ledger: Ledger, _: Config) -> tuple[list[Difference], int, int]:
        found = await ledger.check()
        calls = sum(one.calls for one in await ledger.usage())
        return found, await ledger.unknown_total(), calls

    found, unknown, calls = books.run(work)
    if as_json:
        output.write_json(
            {
                "right": not found,
                "calls": calls,
                "unknown": dollars(unknown),
                "unknown_nano": unknown,
                "differences": found,
            }
        )
    else:
        output.table(
            ("sum", "should be", "is"),
            [(one.what, dollars(one.expected), dollars(one.found)) for one in found],
        )
        said = "These sums are wrong." if found else f"The books are right: {calls:,} calls."
        output.note(f"ogam: {said} {_open(unknown)}")
    if found:
        raise typer.Exit(1)


@app.command()
def holds(
    state: Annotated[
        str | None,
        typer.Option(metavar="held|sent|unknown", help="Only those.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the money that is set aside: for calls under way, and for those nobody could settle."""
    from ogam.gateway.ledger.values import State

    wanted: Any = None
    if state is not None:
        (wanted,) = books.among((state,), get_args(State)[:3], "state")

    async def work(ledger: Ledger, _: Config) -> list[dict[str, Any]]:
        from ogam.gateway import report

        return report.holds(await ledger.holds(wanted), report.names(await ledger.keys()))

    found = books.run(work)
    if as_json:
        for one in found:
            output.write_json(one)
        return
    columns = ("id", "at", "state", "key", "capability", "model", "held")
    output.table(columns, [[one[name] for name in columns] for one in found])


@app.command()
def reconcile(
    hold: Annotated[
        str | None, typer.Argument(help="As ogam ledger holds names it.", show_default=False)
    ] = None,
    cost: Annotated[
        str | None,
        typer.Argument(metavar="DOLLARS", help="What it cost; 0: nothing.", show_default=False),
    ] = None,
    vendor: Annotated[
        str | None, typer.Option(help="Compare with what this vendor counts.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what an unknown hold cost, or compare this month with what a vendor says it billed."""
    if vendor is not None and hold is None:
        _compare(vendor, as_json)
        return
    if hold is None or cost is None or vendor is not None:
        raise WrongUseError("Give a hold and its cost, or --vendor.", "ogam ledger reconcile")
    nano = money.parse(cost)

    async def work(ledger: Ledger, _: Config) -> int:
        await ledger.reconcile(hold, nano)
        return await ledger.unknown_total()

    unknown = books.run(work)
    output.write(f"{hold}\tsettled\t{dollars(nano)}")
    output.note(f"ogam: {_open(unknown)}")


def _compare(vendor: str, as_json: bool) -> None:
    from ogam.gateway import reconciling

    async def work(ledger: Ledger, config: Config) -> reconciling.Comparison:
        return await reconciling.compare(ledger, config, vendor, periods.now())

    found = books.run(work)
    if as_json:
        output.write_json(found)
    else:
        for line in reconciling.words(found):
            output.write(line)


def _open(unknown: int) -> str:
    if not unknown:
        return "Nothing waits to be settled."
    return f"{dollars(unknown)} is set aside for attempts nobody could settle: ogam ledger holds."
