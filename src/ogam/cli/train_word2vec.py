"""``ogam train word2vec``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from ogam.cli import output
from ogam.cli.options import Json, WrongUseError, new_app, resume_alone

app = new_app()
_COMMAND = "ogam train word2vec"


@app.command()
def word2vec(
    *,
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Text files (UTF-8).")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="The run's folder.")
    ] = Path("word2vec"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run, under its own settings.")
    ] = False,
    text: Annotated[
        Literal["lines", "paragraphs", "words"],
        typer.Option(help="A sentence is a line, a paragraph, or a line cut into words already."),
    ] = "lines",
    vector_size: Annotated[int, typer.Option("--vector-size", help="Numbers a word.")] = 100,
    window: Annotated[int, typer.Option(help="Words to each side that count.")] = 5,
    min_count: Annotated[int, typer.Option("--min-count", help="Leave out rarer words.")] = 5,
    sg: Annotated[bool, typer.Option("--sg/--cbow", help="Skip-gram or CBOW.")] = False,
    negative: Annotated[int, typer.Option(help="Wrong words drawn to each right one.")] = 5,
    sample: Annotated[float, typer.Option(min=0, help="Pass over words this frequent.")] = 1e-3,
    alpha: Annotated[float, typer.Option(min=1e-9, help="Learning rate at first.")] = 0.025,
    epochs: Annotated[int, typer.Option(help="Walks through the text.")] = 5,
    workers: Annotated[
        int, typer.Option(help="Threads; with one, the same seed gives the same vectors.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="The same seed, the same vectors.")] = 1,
    evaluate: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Score on word pairs or analogies. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train word vectors on text files.

    Ctrl-C stops after the last whole epoch; --resume goes on.
    Ends in FOLDER/model: ogam similar -m word2vec/./FOLDER/model he team
    """
    from ogam.training import word2vec as trainer
    from ogam.training.runs import settings_of

    if not files and not resume:
        raise WrongUseError("Give text files to train on.", _COMMAND)
    if resume:
        resume_alone(ctx, _COMMAND, "evaluate")
    options: dict[str, Any] = {
        "text": text,
        "vector_size": vector_size,
        "window": window,
        "min_count": min_count,
        "sg": 1 if sg else 0,
        "negative": negative,
        "sample": sample,
        "alpha": alpha,
        "epochs": epochs,
        "workers": workers,
        "seed": seed,
    }
    if resume:
        settings = settings_of(out, trainer.Settings)
    else:
        settings = trainer.Settings(files=tuple(files or ()), **options)
    outcome = trainer.train(out, settings, evaluate=evaluate or (), resume=resume)
    if outcome is None:
        output.note(f"ogam: stopped and saved; go on with: {_COMMAND} --resume -o {out}")
        raise typer.Exit(130)
    if as_json:
        output.write_json({"model": str(out / "model"), **msgspec.to_builtins(outcome)})
        return
    output.write(f"{outcome.words:,} words")
    columns = ("test", "kind", "score", "used", "of")
    rows = [(one.name, one.kind, f"{one.value:.4f}", one.used, one.total) for one in outcome.scores]
    if rows:
        output.table(columns, rows)
