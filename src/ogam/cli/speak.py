"""``ogam speak``."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from ogam.capabilities.speech_synthesis import SpeakResult
from ogam.cli import batch, output
from ogam.cli.options import (
    Json,
    Model,
    TextFiles,
    Texts,
    WrongUseError,
    new_app,
    read_text,
    whole,
)
from ogam.client import AsyncOgam, Ogam
from ogam.errors import NotConfiguredError

app = new_app()
_COMMAND = "ogam speak"


@app.command()
def speak(
    *,
    text: Texts = None,
    files: TextFiles = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write sound in the format of FILE's ending (.wav .mp3 .flac .opus …); "
            '"-": WAV to standard output; of several files (-f): a folder.',
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play it.")] = False,
    voice: Annotated[str | None, typer.Option(help='A voice of "ogam voices".')] = None,
    language: Annotated[str | None, typer.Option(help="A language tag: en-gb, ko, …")] = None,
    rate: Annotated[float, typer.Option(help="Speed: 2 is twice as fast.")] = 1.0,
    pitch: Annotated[float, typer.Option(help="Height: 2 is an octave up.")] = 1.0,
    ssml: Annotated[bool, typer.Option("--ssml", help="The text is SSML.")] = False,
    timings: Annotated[
        bool, typer.Option("--timings", help="Print each word's start and end, in seconds.")
    ] = False,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Say a text.

    On a terminal it is played, where a player is installed; else give -o FILE.
    """
    options: dict[str, Any] = {
        "model": model,
        "voice": voice,
        "language": language,
        "rate": rate,
        "pitch": pitch,
        "ssml": ssml,
    }
    if out == "-" and (timings or as_json):
        raise WrongUseError("Standard output holds either sound or text.", _COMMAND)
    if out == "-" and output.on_terminal(sys.stdout):
        raise WrongUseError("Sound is no text for a terminal: use -o FILE or a pipe.", _COMMAND)
    if files and text and (len(text) > 1 or _is_folder(out)):
        _many(text, out, play=play, timings=timings, as_json=as_json, options=options)
        return
    unheard = out is None and not play
    if unheard and not (timings or as_json or output.on_terminal(sys.stdout)):
        raise WrongUseError(
            "Where should the sound go? Give -o FILE, -o - for standard output, or --play.",
            _COMMAND,
        )
    batch.check_place(out)
    said = whole(text, files, _COMMAND)
    with Ogam() as ogam:
        result = ogam.speak(said, **options)
    _save(result, out)
    _tell(result, timings, as_json)
    if play or (unheard and not (timings or as_json)):
        try:
            result.audio.play()
        except NotConfiguredError as error:
            raise NotConfiguredError(
                error.message, hint=f"Give -o speech.wav to save it. {error.hint}"
            ) from None


def _many(
    paths: list[str],
    out: str | None,
    *,
    play: bool,
    timings: bool,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    if out is None or out == "-" or play:
        raise WrongUseError("Of several files the output is a folder: -o FOLDER.", _COMMAND)
    places = batch.targets(out, paths, ".wav", _COMMAND)

    async def work(ogam: AsyncOgam, path: str) -> SpeakResult:
        return await ogam.speak(read_text(path), **options)

    def done(index: int, result: SpeakResult) -> None:
        _save(result, places[index])
        _tell(result, timings, as_json, file=paths[index])

    batch.run(paths, work, done, prints=timings or as_json)


def _save(result: SpeakResult, out: str | None) -> None:
    if out == "-":
        output.write(result.audio.encode("wav").data)
    elif out is not None:
        result.audio.save(out)


def _tell(result: SpeakResult, timings: bool, as_json: bool, **first: Any) -> None:
    if as_json:
        output.write_json(result, **first)
    elif timings:
        rows = [(f"{word.start:.3f}", f"{word.end:.3f}", word.text) for word in result.words]
        output.table(("start", "end", "word"), rows)


def _is_folder(out: str | None) -> bool:
    return out is not None and (out.endswith(("/", os.sep)) or os.path.isdir(out))
