"""The folder of a training run: settings, log, checkpoints, loss curve; stopping and resuming.

    run/
      settings.json    everything the run depends on, seed and versions too
      log.jsonl        one line a report: step, loss, learning rate, seconds, scores
      loss.png         the loss curve
      checkpoints/     step-000500/  state.safetensors + state.json, the newest few
      best/            the checkpoint with the best score so far
      snapshots/       the newest weights, where a run ends in their average
      model/           what an engine serves; there once the run has ended

A checkpoint is written beside its place and renamed into it, so a run that is killed at any
moment finds a whole one. Tensors are in safetensors, all else in JSON: nothing here is a
pickle. Knows no model.
"""

# safetensors leaves the type parameter of paths open.
# pyright: reportUnknownVariableType=false
from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import time
from collections.abc import Generator, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ogam.errors import ConfigurationError, InvalidRequestError, OutputError
from ogam.extras import needs
from ogam.media import files

if TYPE_CHECKING:
    from torch import Tensor

S = TypeVar("S")
_KEPT = 3
_PACKAGES = ("torch", "transformers", "tokenizers", "sentencepiece", "gensim", "ctranslate2")


class Run:
    """One run's folder. ``settings`` must be the same when it is resumed.

    Raises InvalidRequestError where the folder holds another run (``resume`` False and it is
    not empty, or ``resume`` True and the settings differ), OutputError where it cannot be
    written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        self._settings = dict(settings)
        self._started = time.monotonic()
        self._before = 0.0
        self.stop_asked = False
        place = folder / "settings.json"
        if place.exists():
            self._check_same(place, resume)
        elif folder.exists() and any(folder.iterdir()):
            raise InvalidRequestError(
                f"{folder} is not empty and holds no run.", hint="Name a new folder."
            )
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}.") from None
        if not place.exists():
            versions = {name: _version(name) for name in _PACKAGES}
            about = {
                "settings": self._settings,
                "versions": {name: one for name, one in versions.items() if one},
                "python": platform.python_version(),
                "platform": platform.platform(),
            }
            files.write(place, _json(about))

    def _check_same(self, place: Path, resume: bool) -> None:
        if not resume:
            raise InvalidRequestError(
                f"{self.folder} holds a run already.",
                hint="Go on with it by --resume, or name another folder.",
            )
        try:
            old = json.loads(place.read_bytes())["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{place} is damaged.", hint="Start a new run.") from None
        new = json.loads(_json(self._settings))
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        if changed:
            name = changed[0]
            raise InvalidRequestError(
                f"The run was started with {name}={old.get(name)!r}, not {new.get(name)!r}.",
                hint="Resume with the same settings, or start a new run.",
                param=name,
            )

    # Checkpoints

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write a checkpoint of ``tensors`` (each name once, any shape) and JSON ``state``.

        Keeps the newest three, and is whole or not there at all.
        """
        target = self.folder / "checkpoints" / f"step-{step:08d}"
        self._write(target, tensors, {**state, "step": step, "seconds": self.seconds})
        for old in self.checkpoints()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def save_best(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the best checkpoint so far, in place of the last best."""
        self._write(self.folder / "best", tensors, {**state, "step": step})

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted((self.folder / "checkpoints").glob("step-*[0-9]"))

    def load_last(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint's tensors and state; None where there is none."""
        found = self.checkpoints()
        if not found:
            return None
        tensors, state = load_checkpoint(found[-1])
        self._before = float(state.get("seconds", 0.0))
        return tensors, state

    def load_best(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The best checkpoint's tensors and state; None where there is none."""
        best = self.folder / "best"
        return load_checkpoint(best) if best.exists() else None

    # Weights to average

    def save_snapshot(self, step: int, tensors: Mapping[str, Tensor], *, kept: int) -> None:
        """Write the weights alone, for an average later, and keep the newest ``kept``."""
        self._write(self.folder / "snapshots" / f"step-{step:08d}", tensors, {"step": step})
        for old in self.snapshots()[:-kept]:
            shutil.rmtree(old, ignore_errors=True)

    def snapshots(self, *, until: int | None = None) -> list[Path]:
        """The snapshots, oldest first; those after the step ``until`` are deleted first."""
        found = sorted((self.folder / "snapshots").glob("step-*[0-9]"))
        if until is not None:
            for late in [one for one in found if int(one.name[5:]) > until]:
                shutil.rmtree(late, ignore_errors=True)
                found.remove(late)
        return found

    def _write(self, target: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        with needs("train"):
            from safetensors.torch import save_file
        temporary = target.with_name(f".{target.name}.new")
        old = target.with_name(f".{target.name}.old")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(whole, temporary / "state.safetensors")
            (temporary / "state.json").write_bytes(_json(state))
            for path in temporary.iterdir():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            temporary.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(
                f"The checkpoint {target} cannot be written: {error.strerror or error}.",
                hint="Free some space, then go on with --resume: the last checkpoint is whole.",
            ) from None

    # The log

    @property
    def seconds(self) -> float:
        """Time spent training, over all resumptions."""
        return self._before + time.monotonic() - self._started

    def log(self, **values: Any) -> None:
        """Append one line to log.jsonl."""
        line = json.dumps({**values, "seconds": round(self.seconds, 2)}, ensure_ascii=False)
        try:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"The log cannot be written: {error.strerror}.",
                hint="Free some space, then go on with --resume.",
            ) from None

    def history(self) -> list[dict[str, Any]]:
        """The log; of steps that were done twice, after a crash, only the second time.

        A last line that was cut short is passed over.
        """
        path = self.folder / "log.jsonl"
        entries: list[dict[str, Any]] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    entries.append(json.loads(line))
        kept: list[dict[str, Any]] = []
        for entry in entries:
            step = entry.get("step", 0)
            # Done again: the step is past, or has told the same before.
            again = len(kept)
            for at in range(len(kept) - 1, -1, -1):
                before = kept[at].get("step", 0)
                if before < step:
                    break
                if before > step or kept[at].keys() == entry.keys():
                    again = at
            del kept[again:]
            kept.append(entry)
        return kept

    def draw_loss(self) -> None:
        """Write loss.png from the log: the training loss, and the validation loss if it has any."""
        with needs("plot"):
            from matplotlib.figure import Figure
        history = self.history()
        figure: Any = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for name, label in (("loss", "training"), ("valid_loss", "validation")):
            points = [(one["step"], one[name]) for one in history if name in one and "step" in one]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, linewidth=1.2)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        with files.replacing(self.folder / "loss.png") as path:
            figure.savefig(path, dpi=120, format="png")

    # Stopping

    @contextlib.contextmanager
    def stoppable(self) -> Generator[None]:
        """Inside, the first Ctrl-C or SIGTERM sets ``stop_asked`` instead of ending the process.

        A training loop looks at it after each step, saves a checkpoint and leaves. A second
        Ctrl-C ends at once.
        """

        def ask(number: int, _: object) -> None:
            self.stop_asked = True
            then = before[number]
            if number == signal.SIGINT and not callable(then):
                # Ignored, as in the background of a shell: who asks twice means it.
                then = signal.default_int_handler
            signal.signal(number, then)

        before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.getsignal(number)
                signal.signal(number, ask)
        except ValueError:  # not the main thread: its owner stops the run in its own way
            before.clear()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class WatchedRun(Run):
    """A run's folder for who reads it and writes nothing: all processes of it but the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop_asked = False
        self._started, self._before = time.monotonic(), 0.0

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:  # noqa: ARG002
        """Nothing."""
        return self.folder

    def save_best(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Nothing."""

    def save_snapshot(self, step: int, tensors: Mapping[str, Tensor], *, kept: int) -> None:
        """Nothing."""

    def snapshots(self, *, until: int | None = None) -> list[Path]:  # noqa: ARG002
        """The snapshots, oldest first; none is deleted."""
        return super().snapshots()

    def log(self, **values: Any) -> None:
        """Nothing."""

    def draw_loss(self) -> None:
        """Nothing."""


def settings_of(folder: Path, kind: type[S]) -> S:
    """The settings that the run in ``folder`` was started with, as a ``kind``."""
    try:
        about = json.loads((folder / "settings.json").read_bytes())
        return msgspec.convert(about["settings"], kind)
    except FileNotFoundError:
        raise InvalidRequestError(
            f"{folder} holds no run.",
            hint="Is it the right folder? Without --resume a new run begins.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{folder} holds no run of this kind: {error}.") from None


def check_same(names: Iterable[str], settings: Any, start: Any) -> None:
    """Refuse settings that differ in ``names`` from those of the run to begin from."""
    for name in names:
        ours, theirs = getattr(settings, name), getattr(start, name)
        if ours != theirs:
            raise InvalidRequestError(
                f"{name} is {ours}, and {theirs} in the run to begin from.",
                hint=f"It cannot change: give {theirs}.",
                param=name,
            )


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint's folder; ConfigurationError where it is damaged."""
    with needs("train"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        return load_file(folder / "state.safetensors"), json.loads(
            (folder / "state.json").read_bytes()
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigurationError(
            f"The checkpoint {folder} is damaged: {error}.",
            hint="Delete it; --resume takes the one before it.",
        ) from None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1) + b"\n"
