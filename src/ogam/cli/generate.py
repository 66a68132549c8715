"""``ogam generate``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ogam.cli import batch, output
from ogam.cli.options import Json, Model, Output, TextFiles, Texts, WrongUseError, new_app, whole
from ogam.client import Ogam

app = new_app()


@app.command()
def generate(
    *,
    prompt: Texts = None,
    files: TextFiles = False,
    model: Model = None,
    max_tokens: Annotated[int | None, typer.Option(help="At most so many new tokens.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="At most so many tokens, the prompt's included.")
    ] = None,
    n: Annotated[int, typer.Option("-n", "--n", help="So many continuations.")] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(help="0: always the likeliest; up to 2.", show_default="the model's own"),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among the k likeliest.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw among the likeliest that sum to p.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: repeat less what is there already.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same text.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print it as it comes.")] = False,
    out: Output = None,
    as_json: Json = False,
) -> None:
    """Continue a text.

    Prints what is new. Several continuations (-n) have a line "---" between them;
    with --stream --json each piece is a line, the whole result the last.
    """
    if stream and (n > 1 and not as_json):
        raise WrongUseError("Several continuations stream only with --json.", "ogam generate")
    if stream and out not in (None, "-"):
        raise WrongUseError("--stream prints; it does not go with -o.", "ogam generate")
    batch.check_place(out)
    text = whole(prompt, files, "ogam generate")
    options: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "max_length": max_length,
        "n": n,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "stop": stop or (),
        "seed": seed,
    }
    with Ogam() as ogam:
        if stream:
            with ogam.generate_stream(text, **options) as pieces:
                for piece in pieces:
                    if as_json:
                        output.write_json(piece)
                    else:
                        output.write(piece.text.encode())
                if as_json:
                    output.write_json(pieces.result)
                else:
                    output.write(b"\n")
            return
        result = ogam.generate(text, **options)
    if as_json:
        output.write_json(result, out)
    else:
        output.write("\n---\n".join(result.texts) + "\n", out)
