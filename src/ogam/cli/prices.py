"""``ogam prices``."""

from __future__ import annotations

from typing import Annotated

import typer

from ogam import config as configuration
from ogam.cli import output
from ogam.cli.options import Json, new_app
from ogam.errors import NotFoundError

app = new_app()


@app.command()
def prices(
    vendor: Annotated[str, typer.Argument(help="Only of this vendor.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """List what vendors charge: your own rows first, then those that came with Ogam."""
    from ogam.gateway import report
    from ogam.gateway.prices import Book

    book = Book.load(configuration.load().prices)
    found = report.prices(book, vendor)
    if not found:
        known = dict.fromkeys(one.vendor for one in (*book.own, *book.shipped))
        raise NotFoundError(
            f"No price of {vendor!r} is known.", hint=f"There are those of {', '.join(known)}."
        )
    if as_json:
        for one in found:
            output.write_json(one)
        return
    rows = [
        (
            one["vendor"],
            ", ".join(name or "(none named)" for name in one["models"]),
            ", ".join(one["capabilities"]),
            one["price"],
            one["note"],
            one["version"],
        )
        for one in found
    ]
    output.table(("vendor", "models", "for", "price", "note", "from"), rows)
