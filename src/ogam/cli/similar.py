"""``ogam similar``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ogam import config as configuration
from ogam.capabilities.embedding import cosine
from ogam.cli import batch, output
from ogam.cli.options import Json, Model, Output, WrongUseError, lines, new_app
from ogam.client import Ogam
from ogam.errors import UnsupportedOptionError
from ogam.gateway.dispatch import Gateway

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
        int | None,
        typer.Option(min=1, help="With --among, --nearest, --analogy: only the best so many."),
    ] = None,
    nearest: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="The words nearest to WORD, of a model of words."),
    ] = None,
    analogy: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="A B C", help="What is to C as B is to A: man king woman."),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option("--map", metavar="FILE", help="Draw the texts as a map (.png, .svg, .pdf)."),
    ] = None,
    out: Output = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Tell how near texts are in meaning: the cosine, from -1 to 1.

    Of two texts the number is printed; of more, a table of all with all;
    with --among, a table of the file's lines, the nearest to the first text on top.
    Word vectors (-m word2vec/./FOLDER) know words too: --nearest queen,
    --analogy man king woman. --map words.png king queen man draws where texts or words lie.
    """
    for path in (out, plot):
        batch.check_place(path)
    ways = [one for one in (among, nearest, analogy, plot) if one is not None]
    if len(ways) > 1 or (texts and (nearest or analogy)) or (plot and (out or as_json)):
        raise WrongUseError(
            "--among, --nearest, --analogy and --map do not go together; --map takes no -o and "
            "no --json, --nearest and --analogy no texts.",
            _COMMAND,
        )
    if nearest is not None or analogy is not None:
        words = (nearest,) if nearest is not None else analogy or ()
        _words(words, top or 10, model, out, as_json)
        return
    if plot is not None:
        _map(plot, lines(texts, False, _COMMAND), model)
        return
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


def _words(
    words: tuple[str, ...], top: int, model: str | None, out: str | None, as_json: bool
) -> None:
    """The words nearest to one, or the answers to an analogy of three."""
    gateway = Gateway(configuration.load())
    try:
        name = gateway.models("embed", model)[0]
        engine = gateway.engine("embed", name)
        if not hasattr(engine, "nearest"):
            raise UnsupportedOptionError(
                f"{name} makes vectors of whole texts and has no list of words.",
                hint="Name word vectors: -m word2vec/./FOLDER. Texts of yours: --among FILE.",
                param="model",
            )
        found = engine.nearest(*words, top) if len(words) == 1 else engine.analogy(*words, top)
    finally:
        gateway.close()
    if as_json:
        value = {"words": words, "nearest": [one._asdict() for one in found]}
        output.write_json(value, out)
    else:
        output.table(("word", "cosine"), [(one.word, f"{one.cosine:.4f}") for one in found], out)


def _map(path: str, texts: list[str], model: str | None) -> None:
    """Draw where the texts lie."""
    from ogam.cli import plotting

    plotting.check(path)
    with Ogam() as ogam:
        vectors = ogam.embed(texts, model=model).vectors
    missing = plotting.draw_map(path, texts, vectors)
    if missing:
        output.note(
            f"ogam: no font here has {' '.join(missing[:10])}; "
            "install one that does, such as fonts-noto-cjk or fonts-nanum."
        )
