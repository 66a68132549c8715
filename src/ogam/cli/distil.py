"""``ogam distil``: a small student from a large teacher, and the two side by side."""

# The options whose default is the teacher's are read by name, from the context.
# ruff: noqa: ARG001
from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogam.cli import output
from ogam.cli.options import Bf16, Device, Json, WrongUseError, new_app

if TYPE_CHECKING:
    from ogam.training.distil_report import Report

app = new_app()
_COMMAND = "ogam distil"

Teacher = Annotated[
    Path,
    typer.Option(
        "--teacher", metavar="RUN", help="The run that made the teacher.", show_default=False
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="RUN", help="The student's folder, a new one.", show_default=False
    ),
]
Layers = Annotated[
    int, typer.Option(min=0, help="The student's layers; 0: as many as its teacher.")
]
Temperature = Annotated[float, typer.Option(help="Softens the teacher's probabilities.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same student.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; without it all cores.")]
SaveEvery = Annotated[int, typer.Option(help="Steps from one checkpoint to the next.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run: the same command, and this.")
]
Files = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="One table or, given twice, two files of lines."),
]
_AS = "the teacher's"
TeachersDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Compute on auto, cpu, cuda, cuda:1 or mps.",
        show_default=_AS,
    ),
]


@app.callback()
def distil() -> None:
    """Make a small student from a classifier, a translator or a language model.

    It ends in RUN/model, which an engine serves at once, and in RUN/report.md, report.json and
    report.png: size, speed and the quality kept, teacher and student side by side. Every run
    can be stopped by Ctrl-C and gone on with by --resume.
    """


@app.command()
def classifier(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            help="Texts, some or all with labels: .tsv, .csv, .jsonl or .parquet.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        Path,
        typer.Option(
            "--teacher",
            metavar="FOLDER",
            help="A run of ogam train classifier, or a model of transformers with its head.",
            show_default=False,
        ),
    ],
    out: Out,
    base: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What the run began with, if it kept no config.json."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column with the text.")] = "text",
    second_column: Annotated[
        str | None, typer.Option(help="The column with a second text, for pairs.")
    ] = None,
    label_column: Annotated[
        str, typer.Option(help="The column with the label, which a row may leave empty.")
    ] = "label",
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="DATA has no labels: the teacher's word alone.")
    ] = False,
    valid: Annotated[
        Path | None,
        typer.Option(help="Labelled examples to validate on; without it a tenth of DATA."),
    ] = None,
    valid_text_column: Annotated[
        str | None, typer.Option(help="The text's column there.", show_default="--text-column")
    ] = None,
    layers: Layers = 0,
    hidden: Annotated[int, typer.Option(min=0, help="Width; 0: the teacher's.")] = 0,
    heads: Annotated[int, typer.Option(min=0, help="Heads of attention; 0: the teacher's.")] = 0,
    feed_forward: Annotated[int, typer.Option(min=0, help="Inner width; 0: the teacher's.")] = 0,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="TinyBERT's: 4 layers, 312 wide, 12 heads, 1200 inside.")
    ] = False,
    temperature: Temperature = 2.0,
    alpha: Annotated[float, typer.Option(help="The labels' share beside the soft targets.")] = 0.1,
    beta: Annotated[float, typer.Option(help="Weight of the hidden states; 0: none.")] = 1.0,
    epochs: Annotated[int, typer.Option(help="How often every example is seen.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 32,
    lr: Annotated[float, typer.Option(help="The highest learning rate.")] = 1e-4,
    max_tokens: Annotated[int, typer.Option(help="A text is cut after so many.")] = 256,
    average: Annotated[
        float, typer.Option(help="Decay of a running mean of the weights, as 0.999; 0: none.")
    ] = 0.0,
    evaluations: Annotated[int, typer.Option(help="Validations an epoch.")] = 1,
    patience: Annotated[
        int, typer.Option(help="Validations without a better accuracy before the end; 0: any.")
    ] = 0,
    bf16: Bf16 = False,
    seed: Seed = 1,
    save_every: SaveEvery = 500,
    label_name: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM=TO", help="Rename a label of the data. Repeat it."),
    ] = None,
    threads: Threads = None,
    device: Device = "auto",
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Distil a classifier of texts: from soft targets, labels and hidden states.

    The student begins as every k-th layer of its teacher: --layers 2 of six is about three
    times as fast. It answers at once: ogam classify -m onnx_classifier/./RUN/model.
    """
    command = f"{_COMMAND} classifier"
    if tiny and (layers or hidden or heads or feed_forward):
        raise WrongUseError("--tiny says the whole shape.", command)
    names: dict[str, str] = {}
    for one in label_name or ():
        old, mark, new = one.partition("=")
        if not (old and mark and new):
            raise WrongUseError(f"--label-name takes FROM=TO, not {one!r}.", command)
        names[old] = new
    _use(threads, command)

    from ogam.training import distil_classifier as trainer

    shape: dict[str, Any] = (
        dict(trainer.TINY)
        if tiny
        else {"layers": layers, "hidden": hidden, "heads": heads, "feed_forward": feed_forward}
    )
    label = "" if unlabelled else label_column
    done = trainer.train(
        trainer.Source(data, text_column, label, second_column),
        teacher,
        out,
        serve=_serve,
        base=base,
        valid=None
        if valid is None
        else trainer.Source(valid, valid_text_column or text_column, label_column, second_column),
        settings=trainer.Settings(
            **shape,
            temperature=temperature,
            alpha=alpha,
            beta=beta,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=lr,
            max_tokens=max_tokens,
            average=average,
            evaluations=evaluations,
            patience=patience,
            bf16=bf16,
            seed=seed,
            save_every=save_every,
            names=names,
            device=device,
        ),
        resume=resume,
    )
    _tell(done.report, done.folder, as_json, "classify", "onnx_classifier")


@app.command()
def translator(
    *,
    ctx: typer.Context,
    data: Annotated[
        list[Path],
        typer.Argument(
            help="A table (.tsv .csv .jsonl .parquet), or two files of lines: source, target.",
            show_default=False,
        ),
    ],
    teacher: Teacher,
    out: Out,
    valid: Files = None,
    test: Files = None,
    source_language: Annotated[str | None, typer.Option(show_default=_AS)] = None,
    target_language: Annotated[str | None, typer.Option(show_default=_AS)] = None,
    encoder_layers: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    decoder_layers: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    d_model: Annotated[
        int | None, typer.Option("--d-model", min=2, help="Width.", show_default=_AS)
    ] = None,
    nhead: Annotated[
        int | None, typer.Option("--nhead", min=1, help="Heads.", show_default=_AS)
    ] = None,
    feed_forward: Annotated[
        int | None, typer.Option(min=1, help="Inner width.", show_default=_AS)
    ] = None,
    teacher_beam: Annotated[int, typer.Option(help="Of the teacher's translations.")] = 5,
    lr: Annotated[float | None, typer.Option("--lr", show_default=_AS)] = None,
    warmup: Annotated[int | None, typer.Option(min=0, show_default=_AS)] = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    updates: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    patience: Annotated[int | None, typer.Option(min=0, show_default=_AS)] = None,
    valid_every: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    save_every: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    seed: Annotated[int | None, typer.Option(show_default=_AS)] = None,
    threads: Threads = None,
    device: TeachersDevice = None,
    bf16: Bf16 = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Distil a translator: the student learns its teacher's beam translations.

    It keeps its teacher's tokens and settings but for the options given; at the same width it
    begins with every k-th of its layers. It is scored against DATA's own translations.
    """
    from ogam.extras import needs

    with needs("train"):
        import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from ogam.training import distil_translator as trainer

    names = {
        *("source_language", "target_language", "encoder_layers", "decoder_layers", "d_model"),
        *("nhead", "feed_forward", "lr", "warmup", "batch_tokens", "updates", "patience"),
        *("valid_every", "save_every", "seed", "threads", "device"),
    }
    changes = _given(ctx, names)
    for part, files in (("valid", valid), ("test", test)):
        if files:
            changes[part] = [str(one) for one in files]
    if bf16:
        changes["amp"] = "bf16"
    done = trainer.train(
        data, teacher, out, serve=_serve, changes=changes, beam=teacher_beam, resume=resume
    )
    _tell(done.report, done.folder, as_json, "translate", "ctranslate2_translator")


@app.command("language-model")
def language_model(
    *,
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Text files (UTF-8).", show_default=False),
    ],
    teacher: Teacher,
    out: Out,
    valid: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Validate on this. Repeatable.")
    ] = None,
    layers: Layers = 0,
    d_model: Annotated[
        int | None, typer.Option("--d-model", min=1, help="Width.", show_default=_AS)
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="Attention heads.", show_default=_AS)
    ] = None,
    temperature: Temperature = 1.0,
    alpha: Annotated[float, typer.Option(help="The text's share beside the soft targets.")] = 0.1,
    beta: Annotated[
        float, typer.Option(help="Weight of the hidden states, at the teacher's width; 0: none.")
    ] = 0.0,
    batch: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    steps: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", show_default=_AS)
    ] = None,
    warmup: Annotated[int | None, typer.Option(min=0, show_default=_AS)] = None,
    valid_every: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    save_every: Annotated[int | None, typer.Option(min=1, show_default=_AS)] = None,
    seed: Annotated[int | None, typer.Option(show_default=_AS)] = None,
    threads: Threads = None,
    device: TeachersDevice = None,
    bf16: Bf16 = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Distil a language model: the student learns what its teacher expects after every token.

    It keeps its teacher's tokens and settings but for the options given, and begins with every
    k-th of its layers.
    """
    from ogam.training import distil_language_model as trainer

    names = {
        *("d_model", "heads", "batch", "steps", "learning_rate", "warmup"),
        *("valid_every", "save_every", "seed", "threads", "device"),
    }
    changes = _given(ctx, names)
    if layers:
        changes["layers"] = layers
    if valid:
        changes["valid"] = [str(one) for one in valid]
    if bf16:
        changes["precision"] = "bf16"
    done = trainer.train(
        files,
        teacher,
        out,
        serve=_serve,
        changes=changes,
        teaching=trainer.Teaching(temperature=temperature, alpha=alpha, beta=beta),
        resume=resume,
    )
    _tell(done.report, done.folder, as_json, "generate", "ctranslate2_generator")


def _given(ctx: typer.Context, names: set[str]) -> dict[str, Any]:
    """The options that were given, of those whose default is the teacher's."""
    return {name: ctx.params[name] for name in names if ctx.params[name] is not None}


def _use(threads: int | None, command: str) -> None:
    """Compute with so many threads."""
    if threads is None:
        return
    if threads < 1:
        raise WrongUseError("--threads must be 1 or more.", command)
    from ogam.training.classifier import use_threads

    use_threads(threads)


def _tell(report: Report | None, folder: Path, as_json: bool, verb: str, engine: str) -> None:
    """The report as a table, or that the run was stopped."""
    if report is None:
        output.note("ogam: stopped, and saved. Give the same command with --resume to go on.")
        raise typer.Exit(130)
    if as_json:
        output.write((folder / "report.json").read_bytes())
        return
    from ogam.training import distil_report

    output.table(("", "teacher", "student", ""), distil_report.rows(report))
    place = folder / "model"
    name = str(place) if place.is_absolute() else f"./{place}"
    output.note(f"ogam: {folder / 'report.png'} shows it. Use it: ogam {verb} -m {engine}/{name}")


@contextmanager
def _serve(engine: str, folder: Path) -> Generator[Any]:
    """The model as every request meets it, while its speed is measured."""
    from ogam import registry

    found = registry.Registry()
    try:
        yield found.get(f"{engine}/{folder.resolve()}")
    finally:
        found.close()
