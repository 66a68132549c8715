"""``ogam transcribe``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from ogam.capabilities import subtitles
from ogam.capabilities.speech_recognition import Keyword, TranscribeResult
from ogam.cli import batch, output
from ogam.cli.options import Json, Model, WrongUseError, new_app, read_text, standard_input
from ogam.client import AsyncOgam, Ogam
from ogam.media import Audio

app = new_app()
_COMMAND = "ogam transcribe"
# PocketSphinx's own notation for a keyword list: the phrase, then its threshold in slashes.
_KEYWORD = re.compile(r"(.+?)\s*/([0-9.eE+-]+)/\s*")


class Format(StrEnum):
    """What a transcript is written as."""

    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"


@app.command()
def transcribe(
    *,
    recordings: Annotated[
        list[str], typer.Argument(help='Sound files; "-": standard input.', show_default=False)
    ],
    form: Annotated[
        Format, typer.Option("--format", help="Plain text, JSON, or subtitles.")
    ] = Format.text,
    language: Annotated[str | None, typer.Option(help="The language spoken: en, ko, …")] = None,
    alternatives: Annotated[
        int, typer.Option(help="So many readings of each utterance (shown in JSON).")
    ] = 1,
    phrase: Annotated[list[str] | None, typer.Option(help="Words to expect. Repeatable.")] = None,
    keyword: Annotated[
        list[str] | None,
        typer.Option(help='Listen for this only; "PHRASE /1e-20/" sets its threshold. Repeatable.'),
    ] = None,
    grammar: Annotated[
        str | None, typer.Option(metavar="FILE", help="Understand only this JSGF grammar.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print each utterance as soon as it ends.")
    ] = False,
    pcm: Annotated[
        bool,
        typer.Option("--pcm", help="The input is headerless: 16 kHz, one channel, 16-bit PCM."),
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE; of several recordings: a folder.",
        ),
    ] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Write down what recordings say.

    With --stream, the words so far show on a terminal while they are said;
    with --stream --json each piece of news is a line, the whole result the last.
    From a microphone:
    arecord -t raw -f S16_LE -r 16000 | ogam transcribe --stream --pcm -
    """
    form = Format.json if as_json else form
    options: dict[str, Any] = {
        "model": model,
        "language": language,
        "alternatives": alternatives,
        "phrases": phrase or (),
        "keywords": [_keyword(one) for one in keyword or ()],
        "grammar": None if grammar is None else read_text(grammar),
    }
    if stream:
        if len(recordings) > 1 or out not in (None, "-") or form in (Format.srt, Format.vtt):
            raise WrongUseError(
                "--stream prints one recording, as text or JSON, without -o.", _COMMAND
            )
        _stream(recordings[0], pcm, form is Format.json, options)
        return
    ending = ".txt" if form is Format.text else f".{form.value}"
    places = batch.targets(out, recordings, ending, _COMMAND)
    for path in places:
        batch.check_place(path)

    async def work(ogam: AsyncOgam, path: str) -> TranscribeResult:
        source: Any = standard_input() if path == "-" else path
        return await ogam.transcribe(_headerless(source) if pcm else source, **options)

    def done(index: int, result: TranscribeResult) -> None:
        if form is Format.json:
            output.write_json(result, places[index], file=recordings[index])
            return
        if len(recordings) > 1 and out is None:
            output.write(f"==> {recordings[index]} <==")
        output.write(_text(result, form), places[index])

    batch.run(recordings, work, done, prints=out is None)


def _text(result: TranscribeResult, form: Format) -> str:
    if form is Format.srt:
        return subtitles.srt(result)
    if form is Format.vtt:
        return subtitles.vtt(result)
    return f"{result.text}\n"


def _stream(path: str, pcm: bool, as_json: bool, options: dict[str, Any]) -> None:
    live = output.on_terminal(sys.stderr) and not as_json
    with Ogam() as ogam, ogam.transcribe_stream(_blocks(path, pcm), **options) as news:
        for piece in news:
            if as_json:
                output.write_json(piece)
                continue
            if live:
                # Cut to one line: a wrapped one could not be taken back.
                shown = "" if piece.is_final else piece.text[-78:]
                sys.stderr.write(f"\r\x1b[K{shown}")
                sys.stderr.flush()
            if piece.is_final:
                output.write(piece.text)
        if as_json:
            output.write_json(news.result, file=path)


def _blocks(path: str, pcm: bool) -> Iterable[bytes]:
    if path == "-" and pcm:
        return _read_live()
    source: Any = standard_input() if path == "-" else path
    return (_headerless(source) if pcm else Audio(source)).blocks(16_000)


def _read_live() -> Iterator[bytes]:
    """What standard input has, as it comes."""
    stream: Any = standard_input()
    while block := stream.read1(3200):  # a tenth of a second
        yield block


def _headerless(source: Any) -> Audio:
    return Audio(source, encoding="pcm", sample_rate=16_000)


def _keyword(text: str) -> Keyword:
    match = _KEYWORD.fullmatch(text)
    if match is None:
        return Keyword(phrase=text)
    try:
        return Keyword(phrase=match[1], threshold=float(match[2]))
    except ValueError:
        raise WrongUseError(f"{match[2]!r} is no threshold; write 1e-20.", _COMMAND) from None
