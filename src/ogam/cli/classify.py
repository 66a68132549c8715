"""``ogam classify``."""

from __future__ import annotations

from typing import Annotated

import typer

from ogam.cli import batch, output
from ogam.cli.options import Json, Model, Output, TextFiles, Texts, lines, new_app
from ogam.client import Ogam

app = new_app()


@app.command()
def classify(
    *,
    texts: Texts = None,
    files: TextFiles = False,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="A label to choose among. Repeat it."),
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Score each label by itself.")
    ] = False,
    out: Output = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Label texts: with the model's own labels, or with yours.

    Of one text all labels are printed, best first;
    of several the best label, its score, and the text.
    Of a file and of standard input each line that is not blank is a text.
    """
    batch.check_place(out)
    every = lines(texts, files, "ogam classify")
    with Ogam() as ogam:
        result = ogam.classify(every, label or (), model=model, multi_label=multi_label)
    if as_json:
        output.write_json(result, out)
    elif len(every) == 1:
        scores = [(one.label, f"{one.score:.4f}") for one in result.classifications[0].scores]
        output.table(("label", "score"), scores, out)
    else:
        rows = [
            (found.label, f"{found.score:.4f}", text)
            for found, text in zip(result.classifications, every, strict=True)
        ]
        output.table(("label", "score", "text"), rows, out)
