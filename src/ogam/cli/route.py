"""``ogam route``: what would be tried for a request, without sending it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from ogam import vendors
from ogam.capabilities.base import CAPABILITIES, Capability
from ogam.capabilities.vision import FEATURES
from ogam.cli import books, output
from ogam.cli.options import Json, new_app
from ogam.config import Config
from ogam.gateway.caller import Caller
from ogam.gateway.keys import ANYONE, Key
from ogam.gateway.policy import stored

if TYPE_CHECKING:
    from ogam.gateway.explain import Explanation
    from ogam.gateway.ledger import Ledger

app = new_app()


@app.callback()
def route() -> None:
    """Tell where requests go."""


@app.command()
def explain(
    capability: Annotated[
        str, typer.Argument(metavar="CAPABILITY", help=", ".join(CAPABILITIES), show_default=False)
    ],
    *,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model's name that the client gives.")
    ] = "",
    text: Annotated[str, typer.Option(help="The text of the request.")] = "",
    characters: Annotated[
        int, typer.Option(min=0, metavar="N", help="So long a text instead.")
    ] = 0,
    seconds: Annotated[float, typer.Option(min=0.0, help="A recording so long.")] = 1.0,
    language: Annotated[
        str | None, typer.Option(help="Of the text or the speech; of a translation's target.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="To see in a picture; may be given again.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="As this key, by name or id.")] = None,
    as_json: Json = False,
) -> None:
    """Show what would be tried in order, what it could cost at most, and what is skipped and why.

    Nothing is sent, and no model is loaded.
    """
    (chosen,) = cast("tuple[Capability]", books.among((capability,), CAPABILITIES, "capability"))
    books.among(feature or (), FEATURES, "feature")

    async def work(ledger: Ledger, config: Config) -> Explanation:
        from ogam.gateway import explain as explaining
        from ogam.gateway.prices import Book

        own = ANYONE
        if key is not None:
            found = books.key_of(await ledger.keys(), key)
            own = Key(id=found.id, name=found.name, policy=stored(found.allowed, found.limits))
        caller = Caller(key=own, protocol="")
        caller.asked = model
        own.policy.check_capability(chosen)
        asked = explaining.request(
            chosen,
            config,
            text=text or "x" * characters,
            language=language,
            features=feature or (),
            seconds=seconds,
        )
        return explaining.explain(
            chosen,
            asked,
            config,
            caller,
            vendors=vendors.found(config.vendors),
            book=Book.load(config.prices),
            states=await ledger.budgets(),
        )

    found = books.run(work)
    if as_json:
        output.write_json(found)
    else:
        _print(found)


def _print(found: Explanation) -> None:
    rows: list[tuple[object, ...]] = []
    for place, one in enumerate(found.tried, 1):
        over = "; ".join(
            f"{each.budget}: {each.left} left{'' if each.fits else ', too little'}"
            for each in one.budgets
        )
        share = "" if one.weight is None else f"weight {one.weight:g}"
        remarks = ", ".join(part for part in (share, one.note, one.why) if part)
        rows.append((place, one.model, one.price, one.most or "", over, remarks))
    rows += [("-", one.model, "", "", "", f"skipped: {one.why}") for one in found.skipped]
    output.table(("try", "model", "price", "at most", "budgets", ""), rows)
    if found.over_budget == "next" and any(one.budgets for one in found.tried):
        output.note("ogam: over a budget, the next model that costs nothing is tried.")
