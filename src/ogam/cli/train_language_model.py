"""``ogam train language-model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ogam.cli import output
from ogam.cli.options import Device, Json, Start, WrongUseError, new_app, resume_alone, taken_over

app = new_app()
_COMMAND = "ogam train language-model"


@app.command()
def language_model(
    *,
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Text files (UTF-8).")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="The run's folder.")
    ] = Path("language-model"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run, under its own settings.")
    ] = False,
    start: Start = "",
    valid: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Validate on this. Repeatable.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Without --valid: this share of the text is put aside.")
    ] = 0.02,
    lines: Annotated[
        bool, typer.Option("--lines", help="Each line is a document, not each file.")
    ] = False,
    tokenizer: Annotated[
        str, typer.Option(metavar="FOLDER", help="GPT-2's tokenizer, instead of one of its own.")
    ] = "",
    vocabulary: Annotated[int, typer.Option(help="Tokens of its own tokenizer, at most.")] = 8192,
    d_model: Annotated[int, typer.Option("--d-model", help="Width.")] = 256,
    layers: Annotated[int, typer.Option(help="Blocks.")] = 4,
    heads: Annotated[int, typer.Option(help="Attention heads of a block.")] = 4,
    context: Annotated[int, typer.Option(help="Tokens it can read at once.")] = 256,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Of all kinds.")] = 0.1,
    batch: Annotated[int, typer.Option(help="Blocks of context tokens read at once.")] = 16,
    accumulate: Annotated[int, typer.Option(help="Batches to one step.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps.")] = 2000,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", help="At most.")
    ] = 1e-3,
    warmup: Annotated[int, typer.Option(min=0, help="Steps until the rate is there.")] = 100,
    weight_decay: Annotated[float, typer.Option(min=0, help="AdamW's.")] = 0.1,
    clip: Annotated[float, typer.Option(min=1e-6, help="Longest gradient.")] = 1.0,
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="bf16 is faster where the machine has it.")
    ] = "fp32",
    quantization: Annotated[
        Literal["int8", "float32"], typer.Option(help="Of the model that is served.")
    ] = "int8",
    seed: Annotated[int, typer.Option(help="The same seed, the same model.")] = 0,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch decides.")] = 0,
    valid_every: Annotated[int, typer.Option(help="Validate after so many steps.")] = 200,
    save_every: Annotated[int, typer.Option(help="Save after so many steps.")] = 200,
    as_json: Json = False,
) -> None:
    """Train a language model of GPT-2's architecture on text files.

    Ctrl-C saves; --resume goes on. A line <|endoftext|> in a file divides documents.
    Ends in FOLDER/model: ogam generate -m ctranslate2_generator/./FOLDER/model "Once"
    """
    from ogam.training import language_model as trainer
    from ogam.training.runs import settings_of

    if not files and not resume:
        raise WrongUseError("Give text files to train on.", _COMMAND)
    if resume:
        resume_alone(ctx, _COMMAND)
    options: dict[str, Any] = {
        "start": start,
        "held_out": held_out,
        "lines": lines,
        "tokenizer": tokenizer,
        "vocabulary": vocabulary,
        "d_model": d_model,
        "layers": layers,
        "heads": heads,
        "context": context,
        "dropout": dropout,
        "batch": batch,
        "accumulate": accumulate,
        "steps": steps,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "clip": clip,
        "precision": precision,
        "quantization": quantization,
        "seed": seed,
        "device": device,
        "threads": threads,
        "valid_every": valid_every,
        "save_every": save_every,
    }
    if start:
        options |= taken_over(ctx, settings_of(Path(start), trainer.Settings), trainer.SAME)
    if resume:
        score = trainer.resume(out)
    else:
        settings = trainer.Settings(files=tuple(files or ()), valid=tuple(valid or ()), **options)
        score = trainer.train(out, settings)
    if score is None:
        output.note(f"ogam: stopped and saved; go on with: {_COMMAND} --resume -o {out}")
        raise typer.Exit(130)
    if as_json:
        found = {
            "model": str(out / "model"),
            "perplexity": score.perplexity,
            "bits_per_byte": score.bits_per_byte,
            "tokens": score.tokens,
            "bytes": score.bytes,
        }
        output.write_json(found)
    else:
        output.write(f"perplexity {score.perplexity:.2f}, {score.bits_per_byte:.4f} bits a byte")
        output.note(f'ogam: try: ogam generate -m ctranslate2_generator/{_shown(out)} "Once"')


def _shown(out: Path) -> str:
    path = str(out / "model")
    return path if path.startswith((".", "/", "~")) else f"./{path}"
