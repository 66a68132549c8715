"""What an ended classifier's run left, for who exports it once more or begins another from it."""

# torch leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ogam.errors import InvalidRequestError
from ogam.training import _pretrained, runs
from ogam.training.classifier_settings import Settings
from ogam.training.runs import WatchedRun, settings_of

if TYPE_CHECKING:
    from torch import Tensor

# What a run takes over from the one it begins from.
SAME = ("pooling",)


class Began(msgspec.Struct, frozen=True):
    """What a run's settings tell beside :class:`Settings`."""

    labels: list[str]
    model_sha256: str


def ended(run: Path, encoder: Path) -> tuple[dict[str, Tensor], Began]:
    """The best weights of the run in ``run``, which began with ``encoder``.

    Raises InvalidRequestError where it has not ended, or began with another encoder.
    """
    about = settings_of(run, Began)
    best = WatchedRun(run).load_best()
    if best is None or not (run / "model").exists():
        raise InvalidRequestError(
            f"The run {run} has not ended.", hint="Go on with it by --resume first."
        )
    if _pretrained.sha256(_pretrained.weights(encoder)) != about.model_sha256:
        raise InvalidRequestError(f"The run {run} did not begin with {encoder}.", param="model")
    return best[0], about


def weights(settings: Settings, encoder: Path, labels: Sequence[str]) -> dict[str, Tensor]:
    """The weights that the run ``settings.start`` ended with.

    Raises InvalidRequestError where it has another head or other labels, and as :func:`ended`.
    """
    start = Path(settings.start)
    runs.check_same(SAME, settings, settings_of(start, Settings))
    found, about = ended(start, encoder)
    if about.labels != list(labels):
        raise InvalidRequestError(
            f"The run {start} has the labels {', '.join(about.labels[:8])}; these data have "
            f"{', '.join(labels[:8])}.",
            hint="A run can only begin from one with the same labels.",
            param="start",
        )
    return found
