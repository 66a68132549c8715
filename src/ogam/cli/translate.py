"""``ogam translate``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ogam.cli import batch, output
from ogam.cli.options import (
    Json,
    Model,
    Output,
    TextFiles,
    Texts,
    all_lines,
    new_app,
    read_text,
)
from ogam.client import Ogam
from ogam.errors import InvalidRequestError

app = new_app()


class Form(StrEnum):
    """How polite."""

    default = "default"
    more = "more"
    less = "less"
    prefer_more = "prefer_more"
    prefer_less = "prefer_less"


@app.command()
def translate(
    *,
    to: Annotated[str, typer.Option("--to", help="The language wanted: de, ko, pt-br, …")],
    texts: Texts = None,
    files: TextFiles = False,
    source: Annotated[
        str | None, typer.Option("--from", help="The text's language; found out if left out.")
    ] = None,
    glossary: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Terms and their translations, tab-separated."),
    ] = None,
    formality: Annotated[Form, typer.Option(help="How polite.")] = Form.default,
    context: Annotated[
        str, typer.Option(help="Helps to understand the text; not translated itself.")
    ] = "",
    alternatives: Annotated[
        int, typer.Option(help="So many translations of each text, with tabs between them.")
    ] = 1,
    out: Output = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Translate texts.

    Of a file and of standard input each line is a text of its own; blank lines stay.
    """
    batch.check_place(out)
    terms = {} if glossary is None else _glossary(glossary)
    every = all_lines(texts, files, "ogam translate")
    wanted = [line for line in every if line.strip()]
    with Ogam() as ogam:
        result = ogam.translate(
            wanted,
            to,
            source=source,
            model=model,
            formality=formality.value,
            context=context,
            glossary=terms,
            alternatives=alternatives,
        )
    if as_json:
        output.write_json(result, out)
        return
    translated = ("\t".join((one.text, *one.alternatives)) for one in result.translations)
    output.write("".join(f"{next(translated) if one.strip() else ''}\n" for one in every), out)


def _glossary(path: str) -> dict[str, str]:
    terms: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        term, tab, replacement = line.partition("\t")
        if not tab or not term.strip() or not replacement.strip() or "\t" in replacement:
            raise InvalidRequestError(
                f"{path}, line {number}, is no glossary entry.",
                hint="Write the term, a tab, and its translation.",
            )
        terms[term.strip()] = replacement.strip()
    return terms
