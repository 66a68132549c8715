"""``ogam train classifier``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from ogam.cli import output
from ogam.cli.options import Bf16, Device, Json, Start, WrongUseError, new_app, taken_over

app = new_app()
_COMMAND = "ogam train classifier"


@app.command()
def classifier(
    ctx: typer.Context,
    *,
    data: Annotated[
        Path,
        typer.Argument(help="The examples: .tsv, .csv, .jsonl or .parquet.", show_default=False),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="FOLDER",
            help="The encoder to start from: config.json, *.safetensors, tokenizer.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="RUN", help="The run's folder, a new one.")
    ],
    start: Start = "",
    text_column: Annotated[str, typer.Option(help="The column with the text.")] = "text",
    second_column: Annotated[
        str | None, typer.Option(help="The column with a second text, to label pairs.")
    ] = None,
    label_column: Annotated[str, typer.Option(help="The column with the label.")] = "label",
    valid: Annotated[
        Path | None,
        typer.Option(help="Examples to validate on; without it a tenth of the texts of DATA."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="How often every example is seen.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 32,
    lr: Annotated[float, typer.Option(help="The highest learning rate.")] = 5e-5,
    max_tokens: Annotated[int, typer.Option(help="A text is cut after so many.")] = 256,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 1,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Let rare labels count as much as others.")
    ] = False,
    label_smoothing: Annotated[float, typer.Option(help="From 0 to 0.9.")] = 0.0,
    evaluations: Annotated[int, typer.Option(help="Validations an epoch.")] = 1,
    patience: Annotated[
        int,
        typer.Option(help="Stop after so many validations without a better accuracy; 0: never."),
    ] = 0,
    average: Annotated[
        float, typer.Option(help="Validate and export a running mean of weights: 0.999; 0: none.")
    ] = 0.0,
    eight_bits: Annotated[
        bool, typer.Option("--eight-bits", help="Validate the model as it ships, in 8 bits.")
    ] = False,
    pooling: Annotated[
        Literal["own", "mean"],
        typer.Option(help="What the head reads: as the architecture has it, or all tokens' mean."),
    ] = "own",
    r_drop: Annotated[
        float, typer.Option(help="R-Drop's alpha, such as 6: twice the time; 0: none.")
    ] = 0.0,
    freeze_embeddings: Annotated[
        bool, typer.Option("--freeze-embeddings", help="Leave the encoder's embeddings alone.")
    ] = False,
    bf16: Bf16 = False,
    save_every: Annotated[int, typer.Option(help="Steps from one checkpoint to the next.")] = 500,
    label_name: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM=TO", help="Rename a label of the data. Repeat it."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; without it all cores.")] = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder to label texts.

    The classifier in RUN/model answers at once: ogam classify -m onnx_classifier/./RUN/model.
    """
    names: dict[str, str] = {}
    for one in label_name or ():
        old, mark, new = one.partition("=")
        if not (old and mark and new):
            raise WrongUseError(f"--label-name takes FROM=TO, not {one!r}.", _COMMAND)
        names[old] = new
    if threads is not None and threads < 1:
        raise WrongUseError("--threads must be 1 or more.", _COMMAND)

    from ogam.training import classifier as trainer
    from ogam.training.classifier_start import SAME
    from ogam.training.runs import settings_of

    if threads is not None:
        trainer.use_threads(threads)
    settings = trainer.Settings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        max_tokens=max_tokens,
        seed=seed,
        class_weights=class_weights,
        label_smoothing=label_smoothing,
        evaluations=evaluations,
        patience=patience,
        average=average,
        eight_bits=eight_bits,
        pooling=pooling,
        r_drop=r_drop,
        freeze_embeddings=freeze_embeddings,
        bf16=bf16,
        save_every=save_every,
        names=names,
        device=device,
        start=start,
    )
    if start:
        before = settings_of(Path(start), trainer.Settings)
        settings = msgspec.structs.replace(settings, **taken_over(ctx, before, SAME))
    outcome = trainer.train(
        trainer.Source(data, text_column, label_column, second_column),
        model,
        out,
        valid=None
        if valid is None
        else trainer.Source(valid, text_column, label_column, second_column),
        settings=settings,
        resume=resume,
    )
    if outcome.scores is None:
        output.note(
            f"ogam: stopped after {outcome.steps} steps, and saved. Give the same command with "
            "--resume to go on."
        )
        raise typer.Exit(130)
    if as_json:
        output.write_json(outcome)
        return
    rows = [
        (one.label, f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", one.count)
        for one in outcome.scores.labels
    ]
    output.table(("label", "precision", "recall", "F1", "texts"), rows)
    output.note(
        f"ogam: accuracy {outcome.scores.accuracy:.2%}, macro F1 {outcome.scores.macro_f1:.4f} in "
        f"8 bits (float32: {outcome.scores.accuracy + (outcome.drop or 0):.2%}). "
        f"Use it: ogam classify -m onnx_classifier/{_place(outcome.folder / 'model')}"
    )


def _place(folder: Path) -> str:
    """The folder as a model's name has it: a path that starts with . or /."""
    return str(folder) if folder.is_absolute() else f"./{folder}"
