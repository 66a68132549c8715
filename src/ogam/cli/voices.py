"""``ogam voices``."""

from __future__ import annotations

from typing import Annotated

import typer

from ogam.capabilities.speech_synthesis import Voice
from ogam.cli import output
from ogam.cli.options import Json, Model, new_app
from ogam.client import Ogam
from ogam.errors import UnknownLanguageError

app = new_app()


@app.command()
def voices(
    language: Annotated[
        str | None, typer.Option(help="Only voices of this language: ko, en-gb, …")
    ] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """List the voices that "ogam speak" has."""
    with Ogam() as ogam:
        found = ogam.voices(model=model)
    chosen = [voice for voice in found if language is None or _speaks(voice, language)]
    if not chosen:
        raise UnknownLanguageError(
            f"No voice speaks {language!r}.", hint="ogam voices lists them all."
        )
    if as_json:
        for voice in chosen:
            output.write_json(voice)
        return
    rows = [(voice.id, voice.name, voice.language, voice.gender) for voice in chosen]
    output.table(("voice", "name", "language", "gender"), rows)


def _speaks(voice: Voice, language: str) -> bool:
    """Whether it has the language or, of a bare language, one of its regions."""
    wanted = language.lower().replace("_", "-")
    own = [one.lower() for one in (voice.language, *voice.languages)]
    return any(one == wanted or one.startswith(f"{wanted}-") for one in own)
