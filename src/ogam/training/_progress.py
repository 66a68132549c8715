"""A progress bar on standard error, where someone looks at it; nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator


@contextlib.contextmanager
def bar(total: int, done: int = 0, *, shown: bool = True) -> Generator[Callable[[int, str], None]]:
    """Yield ``report(step, text)``, which draws a bar of ``total`` steps on a terminal.

    Without ``shown`` it draws nothing.
    """
    # standard error is None under pythonw
    if not shown or sys.stderr is None or not sys.stderr.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        yield lambda step, text: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield lambda step, text: progress.update(task, completed=step, description=text)
