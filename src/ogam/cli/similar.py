"""``ogam similar``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ogam.capabilities.embedding import cosine
from ogam.cli import batch, output
from ogam.cli.options import Json, Model, Output, WrongUseError, lines, new_app
from ogam.client import Ogam

app = new_app()
_COMMAND = "ogam similar"


@app.command()
def similar(
    *,
    texts: Annotated[
        list[str] | None, typer.Argument(help="Two texts, or more.", show_default=False)
    ] = None,
    among: Annotated[
        str | None,
        typer.Option(metavar="FILE", help='Compare with each line of FILE ("-": standard input).'),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="With --among: only the nearest so many.")
    ] = None,
    out: Output = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Tell how near texts are in meaning: the cosine, from -1 to 1.

    Of two texts the number is printed; of more, a table of all with all;
    with --among, a table of the file's lines, the nearest to the first text on top.
    """
    batch.check_place(out)
    left = [text for text in texts or () if text != "-"]
    if (texts and "-" in texts) or (not texts and among is None):
        left += lines(None, False, _COMMAND)
    if not left or (among is None and len(left) < 2):
        raise WrongUseError("Give two texts, or one and --among FILE.", _COMMAND)
    right = left if among is None else lines([among], True, _COMMAND)
    everything = left if among is None else [*left, *right]
    with Ogam() as ogam:
        vectors = ogam.embed(everything, model=model).vectors.tolist()
    others = vectors if among is None else vectors[len(left) :]
    rows = [[cosine(one, other) for one in vectors[: len(left)]] for other in others]
    named = list(zip(right, rows, strict=True))
    if among is not None:
        named = sorted(named, key=lambda row: -row[1][0])[:top]
    if as_json:
        value: dict[str, Any] = {
            "texts": left,
            "among": [text for text, _ in named],
            "cosines": [scores for _, scores in named],
        }
        output.write_json(value, out)
    elif among is None and len(left) == 2:
        output.write(f"{rows[0][1]:.4f}", out)
    else:
        columns = ("text", *left)
        output.table(columns, [(text, *(f"{one:.4f}" for one in row)) for text, row in named], out)
