"""Usage as bars: dollars, or calls where nothing was spent. Drawn by matplotlib, no window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogam.extras import needs
from ogam.media import files

# Okabe and Ito's colours, which people who see few colours tell apart; the last is for the rest.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
_MOST_BARS = 60


def draw(path: str, rows: Sequence[dict[str, Any]], groups: Sequence[str]) -> None:
    """A bar for each of the first group (days in their order), stacked by the second."""
    with needs("plot"):
        from matplotlib.figure import Figure
    spent = any(one["cost_nano"] for one in rows)
    bars, parts = _sums(rows, groups, spent)
    figure: Any = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    below = [0.0] * len(bars)
    for (name, heights), colour in zip(parts.items(), _COLOURS, strict=False):
        axes.bar(bars, heights, bottom=below, color=colour, label=name)
        below = [low + more for low, more in zip(below, heights, strict=True)]
    axes.set_ylabel("dollars" if spent else "calls")
    axes.set_xlabel(groups[0])
    axes.tick_params(axis="x", rotation=45 if len(bars) > 6 else 0)
    if len(parts) > 1:
        axes.legend(title=groups[1])
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=Path(path).suffix[1:].lower())


def _sums(
    rows: Sequence[dict[str, Any]], groups: Sequence[str], spent: bool
) -> tuple[list[str], dict[str, list[float]]]:
    """The bars' names, and for each part of them its heights; the small parts are joined."""
    heights: dict[tuple[str, str], float] = {}
    for row in rows:
        bar = str(_named(row, groups[0]))
        part = str(_named(row, groups[1])) if len(groups) > 1 else ""
        amount = row["cost_nano"] / 1e9 if spent else float(row["calls"])
        heights[bar, part] = heights.get((bar, part), 0.0) + amount
    bars = list(dict.fromkeys(bar for bar, _ in heights))
    bars = bars[-_MOST_BARS:] if groups[0] == "day" else bars[:_MOST_BARS]
    totals: dict[str, float] = {}
    for (_, part), amount in heights.items():
        totals[part] = totals.get(part, 0.0) + amount
    ranked = sorted(totals, key=lambda one: -totals[one])
    alone = ranked if len(ranked) <= len(_COLOURS) else ranked[: len(_COLOURS) - 1]
    parts = {one: [heights.get((bar, one), 0.0) for bar in bars] for one in alone}
    if rest := ranked[len(alone) :]:
        parts["others"] = [sum(heights.get((bar, one), 0.0) for one in rest) for bar in bars]
    return bars, parts


def _named(row: dict[str, Any], group: str) -> str:
    if group == "key":
        return row["key_name"] or row["key"] or "(none)"
    return row[group] or "(none)"
