"""The command line ``ogam``: finds the verb, says what went wrong in one line, sets the exit code.

Knows no verb's options: each verb is a module of this package, imported when it is asked for,
so that no verb pays for another's.

Exit codes: 0 done; 1 failed; 2 wrong use of the command line; 130 stopped by Ctrl-C; 141 the
reader of the output went away (as a shell reports SIGPIPE). Answers go to standard output,
all else to standard error.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ogam.cli import output
from ogam.cli.options import WrongUseError
from ogam.errors import OgamError

__all__ = ["main"]

# verb -> the module with its ``app``
_VERBS = {
    "generate": "generate",
    "speak": "speak",
    "see": "see",
    "transcribe": "transcribe",
    "translate": "translate",
    "classify": "classify",
    "embed": "embed",
    "similar": "similar",
    "voices": "voices",
    "serve": "serve",
    "train": "train",
    "distil": "distil",
    "keys": "keys",
    "budget": "budget",
    "usage": "usage",
    "ledger": "ledger",
    "route": "route",
    "prices": "prices",
    "models": "models",
    "lock": "lock",
    "doctor": "doctor",
}


class _Verbs(TyperGroup):
    """A group whose commands are imported one by one, when asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = dict.fromkeys(
            _VERBS
        )  # their names: for the help and for "did you mean"

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"ogam.cli.{_VERBS[cmd_name]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Verbs,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def ogam(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Write, speak, see, hear and translate, on this machine.

    A text that is left out, or "-", is read from standard input.
    "ogam doctor" shows what is ready and which settings are in use.
    """
    if version:
        from ogam import __version__

        output.write(f"ogam {__version__}")
    elif ctx.invoked_subcommand is None:
        output.write(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``ogam`` with ``arguments`` (without the program's name) and return its exit code."""
    output.use_utf8()
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        output.error("stopped.", "ogam")
        if arguments is None:
            # Python would wait here for worker threads; an engine may be far from its next
            # checkpoint, and whoever presses Ctrl-C wants the shell back.
            os._exit(130)
        return 130
    except BrokenPipeError:
        output.abandon()
        return 141
    except Exception as error:
        return _failed(error)
    return 0


def _run(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    if "_OGAM_COMPLETE" in os.environ:
        command.main(args=arguments, prog_name="ogam")
    # Not command.main: it prints errors and handles Ctrl-C and a broken pipe in its own way.
    with command.make_context("ogam", arguments) as context:
        command.invoke(context)


def _failed(error: Exception) -> int:
    """Say what happened, in one line, and return the exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if os.environ.get("OGAM_DEBUG") and not hasattr(error, "format_message"):
        raise error
    if isinstance(error, WrongUseError):
        output.error(f"{error} Try: {error.command} --help", "ogam: error")
        return 2
    if isinstance(error, OgamError):
        output.error(str(error), "ogam: error")
        return 1
    if isinstance(error, typer.Abort):
        output.error("stopped.", "ogam")
        return 1
    if hasattr(error, "format_message"):  # Click's own: it has moved between Typer's versions
        context = getattr(error, "ctx", None)
        verb = context.command_path if context is not None else "ogam"
        output.error(f"{error.format_message()} Try: {verb} --help", "ogam: error")  # pyright: ignore
        return 2
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        output.error(f"{error.filename}: {error.strerror}.")
        return 1
    output.error(
        f"{type(error).__name__}: {error} (run with OGAM_DEBUG=1 for the traceback)", "ogam: error"
    )
    return 1
