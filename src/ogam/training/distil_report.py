"""Teacher and student side by side: size, speed, quality kept; as a table and as a picture.

    RUN/report.json   the figures
    RUN/report.md     the table
    RUN/report.png    the same as bars

Speed is measured on the exported models as they are served, both in this process, in turns, so
that whatever else the machine does meets both. Knows no model and nobody who serves: a model
is opened by the caller's ``Serve``.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from ogam.extras import needs
from ogam.media import files

# Do the work once, and tell how many items it came to.
Work = Callable[[], int]
# The engine of that name, serving the model in that folder.
Serve = Callable[[str, Path], AbstractContextManager[Any]]

ROUNDS = 5
_COLOURS = ("#8c8c8c", "#0072b2")


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: weights in all, bytes of the exported model on disk, items a second."""

    parameters: int
    bytes: int
    speed: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of how good the two are. ``lower`` is whether less of it is better."""

    name: str
    teacher: float
    student: float
    lower: bool = False

    @property
    def kept(self) -> float:
        """The student's share of the teacher's quality; 1 where both have none."""
        above, below = (self.teacher, self.student) if self.lower else (self.student, self.teacher)
        return above / below if below else 1.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``unit`` is what speed counts, ``judged`` on what and how quality was measured.

    ``batch`` is how many texts one round of the measuring of speed had, ``rounds`` how many
    rounds each model had after a first one that does not count.
    """

    kind: str
    unit: str
    judged: str
    teacher: Side
    student: Side
    quality: tuple[Quality, ...]
    batch: int
    rounds: int = ROUNDS

    @property
    def faster(self) -> float:
        """The student's speed over the teacher's."""
        return self.student.speed / self.teacher.speed


def speeds(works: Sequence[Work], *, rounds: int = ROUNDS) -> list[float]:
    """Items a second of each, the median of the rounds; the rounds take turns.

    On one core each, where the system lets a thread be bound to one.
    """
    found: list[list[float]] = [[] for _ in works]
    with one_core():
        for number in range(rounds + 1):
            for work, own in zip(works, found, strict=True):
                start = time.perf_counter()
                items = work()
                own.append(items / (time.perf_counter() - start))
                if not number:
                    own.clear()  # the model was loaded
    return [statistics.median(own) for own in found]


@contextlib.contextmanager
def one_core() -> Generator[None]:
    """Inside, this thread and those it starts run on one core, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parameters(network: Any) -> int:
    """How many weights a network of torch has, shared ones counted once."""
    return sum(one.numel() for one in network.parameters())


def size(folder: Path) -> int:
    """Bytes of the files a served model needs: what lies in its folder, not in folders in it."""
    return sum(one.stat().st_size for one in folder.iterdir() if one.is_file())


def write(folder: Path, report: Report) -> None:
    """Write report.json, report.md and report.png into ``folder``, each whole."""
    told = msgspec.to_builtins(report)
    told["faster"] = report.faster
    told["quality"] = [{**msgspec.to_builtins(one), "kept": one.kept} for one in report.quality]
    files.write(folder / "report.json", msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    files.write(folder / "report.md", markdown(report).encode())
    draw(folder / "report.png", report)


def rows(report: Report) -> list[tuple[str, str, str, str]]:
    """The table: what, the teacher's, the student's, the one over the other."""
    one, other = report.teacher, report.student
    return [
        (
            "parameters",
            f"{one.parameters:,}",
            f"{other.parameters:,}",
            f"{other.parameters / one.parameters:.1%}",
        ),
        (
            "MB on disk",
            f"{one.bytes / 1e6:.2f}",
            f"{other.bytes / 1e6:.2f}",
            f"{other.bytes / one.bytes:.1%}",
        ),
        (
            f"{report.unit} a second",
            f"{one.speed:,.1f}",
            f"{other.speed:,.1f}",
            f"{report.faster:.2f} x",
        ),
        *(
            (each.name, f"{each.teacher:.4f}", f"{each.student:.4f}", f"{each.kept:.1%} kept")
            for each in report.quality
        ),
    ]


def markdown(report: Report) -> str:
    """The table and how it was measured, as Markdown."""
    lines = [
        f"# A {report.kind} and its student",
        "",
        "| | teacher | student | |",
        "|---|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in rows(report)),
        "",
        f"Quality: {report.judged}.",
        "",
        f"Speed: the exported models as they are served, one thread each, in turns in one process: "
        f"the median of {report.rounds} rounds of the same {report.batch} texts.",
        "",
        "![Teacher and student](report.png)",
        "",
    ]
    return "\n".join(lines)


def draw(path: Path, report: Report) -> None:
    """The figures as PNG: a panel for size, one for speed, one for each measure of quality."""
    with needs("plot"):
        from matplotlib.figure import Figure
    panels = [
        ("MB on disk", report.teacher.bytes / 1e6, report.student.bytes / 1e6, "{:,.1f}"),
        (f"{report.unit} a second", report.teacher.speed, report.student.speed, "{:,.0f}"),
        *((one.name, one.teacher, one.student, "{:.3f}") for one in report.quality),
    ]
    notes = [
        f"{report.student.bytes / report.teacher.bytes:.1%}",
        f"{report.faster:.1f} x",
        *(f"{one.kept:.1%} kept" for one in report.quality),
    ]
    figure: Any = Figure(figsize=(2.6 * len(panels), 3.6), layout="constrained")
    for axes, (title, before, after, shape), note in zip(
        figure.subplots(1, len(panels)), panels, notes, strict=True
    ):
        bars = axes.bar(("teacher", "student"), (before, after), color=_COLOURS, width=0.6)
        axes.bar_label(bars, [shape.format(before), shape.format(after)], padding=2)
        axes.set_title(f"{title}\n{note}", fontsize=11)
        axes.margins(y=0.15)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
