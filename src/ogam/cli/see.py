"""``ogam see``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ogam.capabilities.vision import FEATURES, Polygon, SeeResult
from ogam.cli import batch, output
from ogam.cli.options import Json, Model, new_app, standard_input
from ogam.client import AsyncOgam

app = new_app()
_COMMAND = "ogam see"


@app.command()
def see(
    *,
    pictures: Annotated[
        list[str], typer.Argument(help='Picture files; "-": standard input.', show_default=False)
    ],
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            help=f"What to look for, with commas between or repeated: {', '.join(FEATURES)}. "
            "Without it, all there is.",
        ),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="A language of the text, as a hint. Repeatable.")
    ] = None,
    max_results: Annotated[int, typer.Option(help="At most so many findings of a kind.")] = 100,
    aspect_ratio: Annotated[
        list[float] | None, typer.Option(help="Width / height for crop_hints. Repeatable.")
    ] = None,
    draw: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw what was found; of several pictures: a folder."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the answer to FILE; of several pictures: a folder.",
        ),
    ] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Read the text in pictures, and find faces, objects, bar codes and colours.

    Prints the text first, then a line for each other finding:
    kind, what, score, and left, top, right and bottom in pixels.
    """
    options: dict[str, Any] = {
        "model": model,
        "features": [one.strip() for each in features or () for one in each.split(",")],
        "languages": language or (),
        "max_results": max_results,
        "aspect_ratios": aspect_ratio or (),
    }
    drawings = batch.targets(draw, pictures, ".png", _COMMAND)
    places = batch.targets(out, pictures, ".json" if as_json else ".txt", _COMMAND)
    for path in (*drawings, *places):
        batch.check_place(path)

    async def work(ogam: AsyncOgam, path: str) -> SeeResult:
        return await ogam.see(standard_input() if path == "-" else path, **options)

    def done(index: int, result: SeeResult) -> None:
        drawing, place = drawings[index], places[index]
        if drawing is not None:
            _draw(result, drawing)
        if as_json:
            output.write_json(result, place, file=pictures[index])
        elif place is not None:
            output.write(_text(result, "\t"), place)
        else:
            if len(pictures) > 1:
                output.write(f"==> {pictures[index]} <==")
            output.write(result.text)
            if rows := list(_findings(result)):
                output.table(("kind", "what", "score", "left", "top", "right", "bottom"), rows)

    batch.run(pictures, work, done, prints=out is None)


def _draw(result: SeeResult, place: str) -> None:
    if place == "-":
        output.write(result.draw().data)
    else:
        result.draw().save(place)


def _text(result: SeeResult, between: str) -> str:
    rows = (between.join(row) for row in _findings(result))
    return "\n".join(part for part in (result.text, *rows) if part)


def _findings(result: SeeResult) -> Iterator[tuple[str, ...]]:
    for label in result.labels:
        yield ("label", label.name, f"{label.score:.2f}")
    for face in result.faces:
        yield ("face", face.smile, f"{face.confidence:.2f}", *_place(face.polygon))
    for item in result.objects:
        yield ("object", item.name, f"{item.score:.2f}", *_place(item.polygon))
    for code in result.barcodes:
        yield ("barcode", f"{code.format} {code.text}", "", *_place(code.polygon))
    for color in result.colors:
        yield ("color", color.hex, f"{color.score:.2f}")
    for hint in result.crop_hints:
        yield ("crop", "", f"{hint.confidence:.2f}", *_place(hint.polygon))


def _place(polygon: Polygon) -> tuple[str, ...]:
    return tuple(f"{value:.0f}" for value in polygon.bounds)
