"""``ogam usage``: what was asked for, and what it cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ogam.cli import batch, books, output
from ogam.cli.options import Json, new_app
from ogam.config import Config
from ogam.errors import InvalidRequestError, MissingExtraError
from ogam.extras import install_line
from ogam.gateway import periods
from ogam.gateway.money import dollars
from ogam.media import files

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger

app = new_app()
_ENDINGS = (".csv", ".parquet")
_UNITS = (
    *("calls", "input_tokens", "cached_input_tokens", "output_tokens"),
    *("characters", "audio_seconds", "image_features"),
)


@app.command()
def usage(
    *,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="key|capability|vendor|model|day", help="Sum for each; may be given again."
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="So far back (30d, 12h), or from this day (UTC).")
    ] = "30d",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="And before that.", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only of this key, by name or id.")] = None,
    capability: Annotated[str | None, typer.Option(help="Only this capability.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Only this vendor, or engine.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this engine/model.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw it (.png, .svg, .pdf).")
    ] = None,
    export: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write it to .csv or .parquet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Sum up calls, units and money, of this machine's ledger or the one that is shared."""
    from ogam.gateway.ledger.values import Grouping

    groups = books.among(by or ("capability",), get_args(Grouping), "grouping")
    _check(plot, export)
    first = periods.moment(since)
    last = None if until is None else periods.moment(until)
    chosen = {"capability": capability, "vendor": vendor, "model": model}

    async def work(ledger: Ledger, _: Config) -> list[dict[str, Any]]:
        from ogam.gateway import report

        stored = await ledger.keys()
        filters = {name: one for name, one in chosen.items() if one is not None}
        if key is not None:
            named = [one.id for one in stored if one.name == key]
            filters["key"] = books.key_of(stored, key).id if named else key
        found = await ledger.usage(groups, since=first, until=last, **filters)
        return report.usage(found, groups, report.names(stored))

    rows = books.run(work)
    if "day" in groups:
        rows.sort(key=lambda one: one["day"])
    if plot is not None:
        from ogam.cli import plotting_usage

        plotting_usage.draw(plot, rows, groups)
    if export is not None:
        _export(export, rows)
    if as_json:
        for one in rows:
            output.write_json(one)
    elif plot is None and export is None:
        _table(rows, groups)


def _check(plot: str | None, export: str | None) -> None:
    for path in (plot, export):
        batch.check_place(path)
    if export is not None and Path(export).suffix.lower() not in _ENDINGS:
        raise InvalidRequestError(
            f"Usage cannot be written to {export!r}.", hint=f"Endings: {' '.join(_ENDINGS)}."
        )
    if plot is not None:
        from ogam.cli import plotting

        plotting.check(plot)


def _table(rows: Sequence[dict[str, Any]], groups: Sequence[str]) -> None:
    # Only units that came: a table of noughts says nothing.
    units = [one for one in _UNITS if one == "calls" or any(row[one] for row in rows)]
    columns = (*groups, *units, "cost", "unknown")
    shown = [[_name(row) if column == "key" else row[column] for column in columns] for row in rows]
    output.table([one.replace("_", " ") for one in columns], shown)
    calls, cost = sum(one["calls"] for one in rows), sum(one["cost_nano"] for one in rows)
    unknown = sum(one["unknown_nano"] for one in rows)
    more = f", and up to {dollars(unknown)} that nobody has settled" if unknown else ""
    output.note(f"ogam: {calls:,} calls, {dollars(cost)}{more}.")


def _name(row: dict[str, Any]) -> str:
    return f"{row['key_name']} ({row['key']})" if row["key_name"] else row["key"] or "(none)"


def _export(path: str, rows: list[dict[str, Any]]) -> None:
    # Sums in words are for eyes: a program reads the exact ones.
    plain = [
        {name: one for name, one in row.items() if name not in ("cost", "unknown")} for row in rows
    ]
    if Path(path).suffix.lower() == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(plain[0]) if plain else [])
        writer.writeheader()
        writer.writerows(plain)
        files.write(path, text.getvalue().encode())
        return
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(
            "The package 'pyarrow' is not installed.", hint=f"Run: {install_line('parquet')}"
        ) from None
    arrow: Any = pyarrow
    with files.replacing(path) as temporary:
        parquet.write_table(arrow.Table.from_pylist(plain), temporary)  # pyright: ignore
