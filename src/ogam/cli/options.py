"""What the verbs share: options that mean the same everywhere; texts from arguments and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any, BinaryIO

import typer

from ogam.errors import InvalidRequestError
from ogam.media import source

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="ENGINE/MODEL", help="Use this model, not the configured one."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the whole result as JSON, one line a result.")
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to FILE, whole or not at all."),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="Compute on auto, cpu, cuda, cuda:1 or mps.")
]
Bf16 = Annotated[
    bool,
    typer.Option(
        "--bf16", help="Compute in bfloat16: fast on GPUs and on CPUs with AMX or AVX512_BF16."
    ),
]
Start = Annotated[
    str,
    typer.Option(
        metavar="RUN", help="Begin from this run, which ended: its weights, tokens and shape."
    ),
]
TextFiles = Annotated[
    bool, typer.Option("--file", "-f", help="The arguments are text files (UTF-8).")
]
Texts = Annotated[
    list[str] | None,
    typer.Argument(help='The text; left out or "-": standard input.', show_default=False),
]


class WrongUseError(Exception):
    """The command line asks for something impossible; ``command`` tells whose help to read."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


def new_app() -> typer.Typer:
    """A Typer app as all verbs have it: -h and --help, and errors left to ``main``."""
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def whole(arguments: list[str] | None, files: bool, command: str) -> str:
    """One text: the arguments with spaces between them, or the files one after the other."""
    return ("\n" if files else " ").join(_parts(arguments, files, command))


def lines(
    arguments: list[str] | None, files: bool, command: str, *, paths: bool = False
) -> list[str]:
    """Texts: each argument is one; of a file and of standard input each line that is not blank.

    With ``paths``, an argument that is the path of a file stands for the file.
    """
    found = all_lines(arguments, files, command, paths=paths)
    return [line for line in found if line.strip()]


def all_lines(
    arguments: list[str] | None, files: bool, command: str, *, paths: bool = False
) -> list[str]:
    """As ``lines``, with the blank ones."""
    if not arguments:
        return _piped(command).splitlines()
    found: list[str] = []
    for one in arguments:
        if files or one == "-" or (paths and os.path.isfile(one)):
            found += read_text(one).splitlines()
        else:
            found.append(one)
    return found


def read_text(path: str) -> str:
    """A text file, or standard input for "-": UTF-8, without the line end at its end."""
    data, name = source.read(standard_input() if path == "-" else path, "text")
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"{name} is not UTF-8 text (byte {error.start}).",
            hint="Convert it first: iconv -f ENCODING -t UTF-8.",
        ) from None


def standard_input() -> BinaryIO:
    """Standard input, in bytes."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InvalidRequestError("Standard input is closed.", hint="Give a file instead.")
    return sys.stdin.buffer


def _parts(arguments: list[str] | None, files: bool, command: str) -> list[str]:
    if not arguments:
        return [_piped(command)]
    return [read_text(one) if files or one == "-" else one for one in arguments]


def _piped(command: str) -> str:
    if sys.stdin is None or sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        raise WrongUseError("There is no text: give one, or pipe it in.", command)
    return read_text("-")


def named(ctx: typer.Context) -> dict[str, str]:
    """The options that were given, by the names of their parameters, as they are spelled."""
    return {
        one.name: max(one.opts, key=len)
        for one in ctx.command.params
        # The enumeration is click's own, which typer does not show.
        if one.name and getattr(ctx.get_parameter_source(one.name), "name", "") != "DEFAULT"
    }


def resume_alone(ctx: typer.Context, command: str, *beside: str) -> None:
    """WrongUseError where something but ``beside`` was given with --resume: nothing would obey."""
    for name, spelled in named(ctx).items():
        if name not in ("resume", "out", "as_json", *beside):
            raise WrongUseError(
                f"--resume takes the run's own files and settings: leave out {spelled}.", command
            )


def taken_over(ctx: typer.Context, start: Any, names: Iterable[str]) -> dict[str, Any]:
    """The options of ``names`` that were not given, as the settings ``start`` have them."""
    given = named(ctx)
    return {name: getattr(start, name) for name in names if name not in given}
