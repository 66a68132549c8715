"""``ogam models pull``: its options, and the bar that shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from ogam.capabilities.base import CAPABILITIES
from ogam.cli import output
from ogam.cli.options import WrongUseError
from ogam.models.sources import Watch


def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="OWNER/NAME on the Hugging Face hub, torchhub:OWNER/REPO:ENTRY, or a folder "
            "(./FOLDER).",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Call it local/NAME (default: the source's).")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="A branch, tag or commit.")
    ] = None,
    capability: Annotated[
        str | None,
        typer.Option("--for", metavar="CAPABILITY", help="What it shall do, such as classify."),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option("--quantize", metavar="TYPE", help="Make its weights smaller: int8."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="PATTERN", help="Take these files too: 'onnx/*'."),
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Convert nothing: a model to train further.")
    ] = False,
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Take a model whose head was never trained; its answers are noise, and marked.",
        ),
    ] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the repository's own code (torchhub).")
    ] = False,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Take weights stored as a Python pickle, a format that can run code when loaded.",
        ),
    ] = False,
) -> None:
    """Bring a model here, once; from then on it works without a network.

    An interrupted pull goes on where it was. The model is called local/NAME.
    """
    if capability is not None and capability not in CAPABILITIES:
        raise WrongUseError(
            f"There is no capability {capability!r}: {', '.join(CAPABILITIES)}.",
            "ogam models pull",
        )
    from ogam.models.pull import Request
    from ogam.models.pull import pull as bring

    request = Request(
        source=source,
        name=name,
        revision=revision,
        capability=capability,
        quantize=quantize,
        include=tuple(include or ()),
        as_is=as_is,
        allow_untrained=allow_untrained,
        trust_code=trust_code,
        trust_pickle=trust_pickle,
    )
    try:
        with _shown() as watch:
            brought = bring(request, watch)
    except KeyboardInterrupt:
        output.note("ogam: what was fetched is kept; the same command goes on with it.")
        raise
    output.write(brought)


class _Lines(Watch):
    """Without a terminal only what one must know: that it waits, or keeps what is there."""

    def stage(self, text: str) -> None:
        if " " in text:
            output.note(f"ogam: {text}")


@contextmanager
def _shown() -> Generator[Watch]:
    """A bar on standard error where that is a terminal."""
    if not output.on_terminal(sys.stderr):
        yield _Lines()
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    progress = Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    )
    with progress as drawn:
        task = drawn.add_task("asking", total=None)

        class Bar(Watch):
            def total(self, size: int) -> None:
                drawn.update(task, total=size)

            def progress(self, size: int) -> None:
                drawn.advance(task, size)

            def stage(self, text: str) -> None:
                drawn.update(task, description=escape(text))

        yield Bar()
