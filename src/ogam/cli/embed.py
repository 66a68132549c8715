"""``ogam embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ogam.capabilities.embedding import EmbedResult, Vectors
from ogam.cli import batch, output
from ogam.cli.options import Json, Model, TextFiles, Texts, lines, new_app
from ogam.client import Ogam
from ogam.errors import InvalidRequestError, MissingExtraError
from ogam.extras import install_line, needs
from ogam.media import files as files_

app = new_app()
_ENDINGS = (".npy", ".parquet", ".jsonl")


@app.command()
def embed(
    *,
    texts: Texts = None,
    files: TextFiles = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=".npy (float32, one row a text), .parquet or .jsonl (text, vector).",
        ),
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw the texts as a map (.png, .svg, .pdf).")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option(help="Keep the first so many numbers of each vector.")
    ] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Turn texts into vectors.

    An argument that is the path of a file stands for the file. Of a file and of standard
    input each line that is not blank is a text.
    Without -o, a line of JSON for each text is printed: text and vector.
    """
    for path in (out, plot):
        batch.check_place(path)
    if out not in (None, "-") and not as_json and Path(out).suffix.lower() not in _ENDINGS:
        raise InvalidRequestError(
            f"Vectors cannot be written to {out!r}.", hint=f"Endings: {' '.join(_ENDINGS)}."
        )
    if plot is not None:
        from ogam.cli import plotting

        plotting.check(plot)
    every = lines(texts, files, "ogam embed", paths=True)
    with Ogam() as ogam:
        result = ogam.embed(every, model=model, dimensions=dimensions)
    if plot is not None:
        from ogam.cli import plotting

        missing = plotting.draw_map(plot, every, result.vectors)
        if missing:
            output.note(
                f"ogam: no font here has {' '.join(missing[:10])}; "
                "install one that does, such as fonts-noto-cjk or fonts-nanum."
            )
    if as_json:
        output.write_json(result, out)
    elif out is not None or plot is None:
        _write(every, result, out)


def _write(texts: list[str], result: EmbedResult, out: str | None) -> None:
    ending = "" if out is None else Path(out).suffix.lower()
    if out is not None and ending == ".npy":
        with needs("local"):
            import numpy as np
        with files_.replacing(out) as path, path.open("wb") as file:
            np.save(file, np.asarray(result.vectors))
    elif out is not None and ending == ".parquet":
        _parquet(out, texts, result.vectors)
    else:
        rows = zip(texts, result.vectors.tolist(), strict=True)
        encoded = [msgspec.json.encode({"text": text, "vector": row}) for text, row in rows]
        output.write(b"\n".join(encoded) + b"\n", out)


def _parquet(out: str, texts: list[str], vectors: Vectors) -> None:
    """Columns ``text`` and ``vector``, a list of float32 of fixed size."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(
            "The package 'pyarrow' is not installed.", hint=f"Run: {install_line('parquet')}"
        ) from None
    library: Any = arrow
    flat = library.Array.from_buffers(
        library.float32(),
        len(vectors) * vectors.dimensions,
        [None, library.py_buffer(vectors.data)],
    )
    column = library.FixedSizeListArray.from_arrays(flat, vectors.dimensions)
    with files_.replacing(out) as path:
        parquet.write_table(library.table({"text": texts, "vector": column}), path)  # pyright: ignore
