"""One file or many through the same engine: at the same time, results in the order given.

A file that fails is said in a line of its own and stops no other.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import typer

from ogam.cli import output
from ogam.cli.options import WrongUseError
from ogam.client import AsyncOgam
from ogam.errors import OgamError, OutputError

T = TypeVar("T")


def run(
    inputs: Sequence[str],
    work: Callable[[AsyncOgam, str], Awaitable[T]],
    done: Callable[[int, T], None],
    *,
    prints: bool,
) -> None:
    """Do ``work`` on each input and hand each result, with the input's index, to ``done``.

    As many at once as ``threads`` in the settings says. Of several inputs a summary line goes
    to standard error, and a progress bar where that is a terminal on which ``done`` does not
    print the answers. Exit code 1 if any failed.
    """
    shown = output.on_terminal(sys.stderr) and not (prints and output.on_terminal(sys.stdout))
    asyncio.run(_run(inputs, work, done, _progress(len(inputs)) if shown else nullcontext(_still)))


async def _run(
    inputs: Sequence[str],
    work: Callable[[AsyncOgam, str], Awaitable[T]],
    done: Callable[[int, T], None],
    progress: AbstractContextManager[Callable[[], None]],
) -> None:
    started, failed = time.perf_counter(), 0
    async with AsyncOgam() as ogam:
        free = asyncio.Semaphore(ogam.config.threads)

        async def one(path: str) -> T:
            async with free:
                return await work(ogam, path)

        if len(inputs) == 1:
            done(0, await one(inputs[0]))
            return
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_caught(one(path))) for path in inputs]
            with progress as advance:
                for index, task in enumerate(tasks):
                    result, error = await task
                    try:
                        if error is not None:
                            raise error
                        done(index, result)  # pyright: ignore[reportArgumentType]
                    except OgamError as problem:
                        failed += 1
                        text, name = str(problem), inputs[index]
                        output.error(text if name in text else f"{name}: {text}")
                    advance()
    output.note(
        f"ogam: {len(inputs)} files, {f'{failed} failed, ' if failed else ''}"
        f"{time.perf_counter() - started:.1f} s"
    )
    if failed:
        raise typer.Exit(1)


async def _caught(work: Awaitable[T]) -> tuple[T | None, OgamError | None]:
    try:
        return await work, None
    except OgamError as error:
        return None, error


def _still() -> None:
    """No bar to move."""


@contextmanager
def _progress(total: int) -> Generator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # answers are bytes written past rich
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def targets(
    place: str | None, inputs: Sequence[str], ending: str, command: str
) -> list[str | None]:
    """Where each input's answer goes; None is standard output.

    Of several inputs, ``place`` is a folder (made if it is not there), and each file in it
    has its input's name with ``ending``.
    """
    if place is None or (place == "-" and len(inputs) == 1):
        return [place] * len(inputs)
    is_folder = place.endswith(("/", os.sep)) or os.path.isdir(place)
    if len(inputs) == 1 and not is_folder:
        found = [place]
    else:
        if place == "-" or (os.path.exists(place) and not os.path.isdir(place)):
            raise WrongUseError(
                f"Of several files the output must be a folder, not {place}.", command
            )
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{place!r} cannot be made: {error.strerror}.") from None
        stems = [Path(one).stem if one != "-" else "stdin" for one in inputs]
        found = [str(Path(place) / f"{stem}{ending}") for stem in stems]
    if len(set(found)) < len(found):
        twice = next(path for path in found if found.count(path) > 1)
        raise WrongUseError(f"Two of the files would be written to {twice}.", command)
    for path in found:
        if any(_same(one, path) for one in inputs):
            raise WrongUseError(f"{path} is an input and would be overwritten.", command)
    return list(found)


def check_place(path: str | None) -> None:
    """Fail now, not after the work, where ``path`` cannot be written."""
    if path is None or path == "-":
        return
    # os.path, because Path.is_dir raises where a folder above may not be read.
    if os.path.isdir(path):
        raise OutputError(f"{path!r} is a folder.", hint="Name a file in it.")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(
            f"There is no folder {folder!r} that you may use.",
            hint=f"Make it first: mkdir -p {folder}",
        )


def _same(left: str, right: str) -> bool:
    return os.path.exists(left) and os.path.exists(right) and os.path.samefile(left, right)
