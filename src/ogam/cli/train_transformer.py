"""``ogam train transformer``."""

# The options that are the run's settings are read by name, from the context.
# ruff: noqa: ARG001
from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ogam.cli import output
from ogam.cli.options import Bf16, Device, Json, Start, WrongUseError, named, new_app, taken_over
from ogam.errors import InvalidRequestError

app = new_app()
_COMMAND = "ogam train transformer"
_COLUMNS = ("source_column", "target_column", "source_language_column", "language_column")


class Cut(StrEnum):
    """How text becomes tokens."""

    sentencepiece = "sentencepiece"
    space = "space"


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    constant = "constant"
    inverse_sqrt = "inverse-sqrt"


class Activation(StrEnum):
    """Inside the feed-forward layers."""

    relu = "relu"
    gelu = "gelu"


class Precision(StrEnum):
    """The weights of the model that is served."""

    int8 = "int8"
    float32 = "float32"


Files = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="One table or, given twice, two files of lines."),
]


@app.command()
def transformer(
    *,
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A table (.tsv .csv .jsonl .parquet), or two files of lines: source, target.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run's folder.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run; without DATA, as it was begun.")
    ] = False,
    start: Start = "",
    keep: Annotated[
        float, typer.Option(help="With --start: the share of its weights in what is exported.")
    ] = 0.0,
    valid: Files = None,
    test: Files = None,
    source_column: Annotated[str, typer.Option(help="The column of the source.")] = "source",
    target_column: Annotated[str, typer.Option(help="The column of the target.")] = "target",
    language_column: Annotated[
        str, typer.Option(help="The column of the target's language.")
    ] = "language",
    source_language_column: Annotated[
        str, typer.Option(help="The column of the source's language.")
    ] = "source_language",
    source_language: Annotated[
        str, typer.Option(help="The source's language, where neither column nor file tells.")
    ] = "",
    target_language: Annotated[
        str, typer.Option(help="The target's; asked for by a token such as <2de>.")
    ] = "",
    target_token: Annotated[
        bool | None,
        typer.Option(help="Put <2de> before the source.", show_default="with several languages"),
    ] = None,
    tokens: Annotated[Cut, typer.Option(help="space: cut already, BPE's @@ too.")] = (
        Cut.sentencepiece
    ),
    vocabulary: Annotated[
        int, typer.Option(help="Tokens in all; with --tokens space 0 takes every word.")
    ] = 8000,
    max_tokens: Annotated[int, typer.Option(help="Longer pairs are left out.")] = 256,
    d_model: Annotated[int, typer.Option("--d-model", help="Width.")] = 512,
    nhead: Annotated[int, typer.Option("--nhead", help="Heads of attention.")] = 8,
    encoder_layers: Annotated[int, typer.Option(help="Layers that read.")] = 6,
    decoder_layers: Annotated[int, typer.Option(help="Layers that write.")] = 6,
    feed_forward: Annotated[int, typer.Option(help="Inner width.")] = 2048,
    dropout: Annotated[float, typer.Option(help="0 to below 1.")] = 0.1,
    attention_dropout: Annotated[
        float | None, typer.Option(help="On attention's weights.", show_default="--dropout")
    ] = None,
    activation_dropout: Annotated[
        float | None, typer.Option(help="In the feed-forward layers.", show_default="--dropout")
    ] = None,
    activation: Annotated[Activation, typer.Option(help="In the feed-forward layers.")] = (
        Activation.relu
    ),
    pre_norm: Annotated[
        bool, typer.Option("--pre-norm", help="Norms before each part, not after.")
    ] = False,
    lr: Annotated[float, typer.Option("--lr", help="Adam's learning rate, the highest.")] = 1e-4,
    schedule: Annotated[Schedule, typer.Option(help="After the warm-up.")] = Schedule.constant,
    warmup: Annotated[int, typer.Option(help="Updates until the highest rate.")] = 0,
    betas: Annotated[tuple[float, float], typer.Option(help="Adam's.")] = (0.9, 0.999),
    smoothing: Annotated[float, typer.Option(help="Label smoothing.")] = 0.1,
    batch_tokens: Annotated[int, typer.Option(help="Tokens a batch, padding included.")] = 4096,
    accumulate: Annotated[int, typer.Option(help="Batches an update, of all processes.")] = 1,
    clip: Annotated[float, typer.Option(help="The gradients' highest norm; 0: any.")] = 1.0,
    bf16: Bf16 = False,
    updates: Annotated[
        int | None, typer.Option(help="How many, at most.", show_default="50000")
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Validations without a better loss before the end; 0: any.")
    ] = 10,
    valid_every: Annotated[int, typer.Option(help="Updates between validations.")] = 500,
    save_every: Annotated[int, typer.Option(help="Updates between checkpoints.")] = 500,
    log_every: Annotated[int, typer.Option(help="Updates between lines of the log.")] = 50,
    average: Annotated[int, typer.Option(help="Average the last so many validated.")] = 5,
    beam: Annotated[int, typer.Option(help="Of the last scores.")] = 5,
    precision: Annotated[Precision, typer.Option(help="Of the model served.")] = Precision.int8,
    seed: Annotated[int, typer.Option(help="Makes a run repeatable.")] = 1,
    threads: Annotated[int, typer.Option(help="0: one for each core.")] = 0,
    device: Device = "auto",
    name: Annotated[str, typer.Option(help="The model's; else the folder's.")] = "",
    licence: Annotated[str, typer.Option(help="Of the model, for its manifest.")] = "unknown",
    as_json: Json = False,
) -> None:
    """Train a Transformer to translate, from pairs of texts.

    It ends in RUN/model, which "ogam translate -m ctranslate2_translator/./RUN/model" uses.
    Ctrl-C saves first. Under "accelerate launch" or "torchrun" the processes share each update.
    """
    from ogam.extras import needs

    if not data and not resume:
        raise WrongUseError("There is no data: name a table, or two files of lines.", _COMMAND)
    with needs("train"):
        import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from ogam.training import processes, translation

    settings = _settings(ctx, data or [], out)
    done = translation.train(settings, out, resume=resume)
    if not processes.first():
        return
    if done.model is None:
        output.note(
            f"ogam: stopped and saved after update {done.update}. "
            f"Go on with: {_COMMAND} --out {out} --resume"
        )
        raise typer.Exit(130)
    if as_json:
        output.write_json(done)
        return
    for part, scores in (("validation", done.valid), ("test", done.test)):
        for pair, one in scores.items():
            output.write(
                f"{part}\t{pair}\tBLEU {one.bleu:.2f}\tchrF {one.chrf:.2f}\t{one.signature}"
            )
    output.write(f"model\t{done.model}")


def _settings(ctx: typer.Context, data: list[Path], out: Path) -> Any:
    """Those of a run on ``data``; without, of the run in ``out``, which keeps what is not said."""
    import msgspec

    from ogam.training import translation_settings
    from ogam.training.translation_start import SAME

    options = ctx.params
    said = options if data else named(ctx)
    given: dict[str, Any] = {
        one: options[one]
        for one in translation_settings.Settings.__struct_fields__
        if one in said and options[one] is not None
    }
    for part in ("valid", "test"):
        if part in said:
            given[part] = list(map(str, options[part] or ()))
    if "bf16" in said:
        given["amp"] = "bf16" if options["bf16"] else "fp32"
    if any(one in said for one in _COLUMNS):
        given["columns"] = tuple(options[one] for one in _COLUMNS)
    if not data:
        return translation_settings.settings_of(out, **given)
    if options["start"]:
        begun = translation_settings.settings_of(Path(options["start"]))
        given |= taken_over(ctx, begun, SAME)
    given["train"] = [str(one) for one in data]
    try:
        return msgspec.convert(given, translation_settings.Settings)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"A setting is wrong: {error}.") from None
