"""Training a Transformer to translate: from files of pairs to a folder an engine serves.

One update is ``accumulate`` batches of about ``batch_tokens`` tokens. Everything random is a
pure function of the seed and of where the run stands: the batches of (seed, epoch), dropout of
(seed, update, batch). So a checkpoint needs weights, Adam's state and four counters, and a run
that was stopped goes on to the same losses bit for bit on the same machine.

Several processes (:mod:`ogam.training.processes`) share out the batches of an update. A batch
is the same whichever process takes it, so a run has the same losses, but for rounding, whatever
their number, and goes on with another.
"""

# torch is called without types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from ogam.errors import EngineError, InvalidRequestError
from ogam.media import files
from ogam.training import (
    _attention,
    _progress,
    translation_corpus,
    translation_result,
    translation_start,
)
from ogam.training.export_translator import Scores
from ogam.training.processes import Processes, joined
from ogam.training.runs import Run, WatchedRun, load_checkpoint
from ogam.training.transformer import END, START, Transformer, padded
from ogam.training.translation_corpus import Corpus
from ogam.training.translation_data import Example, batches
from ogam.training.translation_settings import FREE, Settings, check, cores, rate


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. ``model`` is None where it was stopped and can go on.

    Of several processes only the first has a model to name.
    """

    update: int
    loss: float | None
    valid_loss: float | None
    model: Path | None
    valid: dict[str, Scores] = {}
    test: dict[str, Scores] = {}


def train(settings: Settings, folder: Path, *, resume: bool = False) -> Outcome:
    """Run to the end, or until stopped by Ctrl-C. The model is at ``folder``/model.

    Raises InvalidRequestError for data or settings that cannot be used, EngineError where the
    loss is no longer a number, OutputError where the folder cannot be written.
    """
    check(settings)
    if settings.start and not resume:
        translation_start.check(settings)
    fixed = {
        name: value for name, value in msgspec.to_builtins(settings).items() if name not in FREE
    }
    fixed["files"] = {path: _sha256(Path(path)) for path in (*settings.train, *settings.valid)}
    with joined(settings.device) as processes:
        # The first makes the folder and the tokens, which the others find there.
        with processes.first_first():
            if processes.rank:
                run: Run = WatchedRun(folder)
            else:
                run = Run(folder, fixed, resume=resume)
                free = {name: getattr(settings, name) for name in FREE}
                files.write(folder / "free.json", msgspec.json.encode(free) + b"\n")
            corpus = translation_corpus.load(settings, folder)
        initial = None
        if settings.start and not run.checkpoints():
            initial = translation_start.weights(settings, corpus.tokens.vocabulary)
        return fit(run, settings, corpus, initial, processes=processes)


def fit(
    run: Run,
    settings: Settings,
    corpus: Corpus,
    initial: Mapping[str, Tensor] | None = None,
    *,
    processes: Processes | None = None,
) -> Outcome:
    """Train on ``corpus`` in ``run``, from its last checkpoint on, and export.

    ``initial`` are the weights to begin with, instead of ones drawn at random; ``processes``
    those that share the work, where this one is not alone.
    """
    processes = processes or Processes.alone(settings.device)
    with _threads(settings.threads or max(1, cores() // processes.beside)):
        trainer = _Trainer(settings, run, corpus, processes, initial)
        finished = trainer.run_to_end()
        processes.leave()
        if not finished or processes.rank:
            return trainer.outcome(None)
        weights, chosen = _choose(run, trainer)
        if settings.start and settings.keep:
            weights = translation_result.mixed(settings, weights)
            chosen += f", {settings.keep:g} of it the weights it began with"
        summary = f"{trainer.outcome(None).update} updates, {chosen}"
        model = translation_result.export(settings, run.folder, corpus, weights, summary)
        scores = translation_result.scores(settings, run.folder, corpus)
        run.draw_loss()
        return trainer.outcome(model, **scores)


def backward(
    model: Transformer,
    group: Sequence[Sequence[Example]],
    settings: Settings,
    processes: Processes | None = None,
    seed: int | None = None,
) -> tuple[float, int]:
    """Make the gradients those of the mean loss over all tokens of a group of batches.

    Returns the summed loss and the number of target tokens, end marks counted. How the
    examples are dealt out to batches and to ``processes``, which all return the same, changes
    nothing but rounding. Each batch draws its dropout from ``seed`` and its own number.
    """
    device = model.embedding.weight.device
    processes = processes or Processes(device)
    count = sum(len(one.target) + 1 for batch in group for one in batch)
    whole = 0.0
    # Where there are fewer batches than processes, each takes a piece of every batch.
    for number, batch in processes.share(group, cut=settings.accumulate < processes.count):
        if seed is not None:
            torch.manual_seed(seed + number)
        with _precision(settings, device), _attention.for_short_rows(device.type):
            loss = _loss(model, batch, settings.smoothing)
        (loss / count).backward()
        whole += loss.item()
    processes.add_gradients(model.parameters())
    return processes.total(whole)[0], count


def _loss(model: Transformer, batch: Sequence[Example], smoothing: float) -> Tensor:
    device = model.embedding.weight.device
    source = padded([one.source for one in batch], device)
    before = padded([[START, *one.target] for one in batch], device)
    wanted = padded([[*one.target, END] for one in batch], device)
    return model.loss(source, before, wanted, smoothing)


def _precision(settings: Settings, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if settings.amp == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class _Trainer:
    """The model, Adam, and where the run stands."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        corpus: Corpus,
        processes: Processes,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._processes = processes
        self._settings = settings
        self._run = run
        self._corpus = corpus
        torch.manual_seed(settings.seed)
        # Drawn on the CPU, so that all processes draw the same.
        shape = settings.shape(len(corpus.tokens.vocabulary))
        self.model = Transformer(shape).to(processes.device)
        if initial is not None:
            self.model.load_state_dict(initial)
        self._parameters = list(self.model.parameters())
        self._adam = torch.optim.Adam(
            self._parameters, lr=settings.lr, betas=settings.betas, fused=True
        )
        self._groups: list[list[list[int]]] = []
        self._epoch = self._place = self._update = 0
        # The losses and tokens since the last line of the log.
        self._window: list[float] = [0.0, 0.0]
        self._loss: float | None = None
        self._best: float | None = None
        self._without_better = 0
        found = run.load_last()
        if found is not None:
            self._restore(*found)
        run.snapshots(until=self._update)
        self._deal()

    def run_to_end(self) -> bool:
        """Train; False where someone asked to stop."""
        settings = self._settings
        if self._update:
            self._run.log(step=self._update, resumed=True)
        shown = not self._processes.rank
        bar = _progress.bar(settings.updates, self._update, shown=shown)
        with self._run.stoppable(), bar as tell:
            while self._update < settings.updates and not self._tired():
                self._step()
                now = self._update
                last = now >= settings.updates
                if now % settings.log_every == 0 or last:
                    self._log()
                    tell(now, self._told())
                if now % settings.valid_every == 0 or last:
                    self._validate()
                stop = self._processes.anyone(self._run.stop_asked)
                if now % settings.save_every == 0 or last or stop or self._tired():
                    self._save()
                if stop and not last:
                    # The launcher ends all when one of them has, the first in its saving too.
                    self._processes.wait()
                    return False
        return True

    def outcome(self, model: Path | None, **scores: dict[str, Scores]) -> Outcome:
        """What there is to say now."""
        return Outcome(
            update=self._update, loss=self._loss, valid_loss=self._best, model=model, **scores
        )

    def valid_loss(self) -> float:
        """The mean loss a token on the validation pairs, smoothed as in training."""
        settings, examples = self._settings, self._corpus.valid
        total = count = 0.0
        self.model.eval()
        with torch.no_grad(), _precision(settings, self.model.embedding.weight.device):
            dealt = batches(examples, settings.batch_tokens, seed=0, epoch=None)
            for _, batch in self._processes.share(dealt):
                chosen = [examples[index] for index in batch]
                total += _loss(self.model, chosen, settings.smoothing).item()
                count += sum(len(one.target) + 1 for one in chosen)
        self.model.train()
        total, count = self._processes.total(total, count)
        return total / count

    def _told(self) -> str:
        best = "" if self._best is None else f", best on validation {self._best:.3f}"
        return f"loss {self._loss or math.nan:.3f}{best}"

    def _tired(self) -> bool:
        return 0 < self._settings.patience <= self._without_better

    def _deal(self) -> None:
        """The groups of batches of the epoch the run stands in."""
        settings = self._settings
        dealt = batches(
            self._corpus.train, settings.batch_tokens, seed=settings.seed, epoch=self._epoch
        )
        size = settings.accumulate
        self._groups = [dealt[start : start + size] for start in range(0, len(dealt), size)]

    def _step(self) -> None:
        settings, examples = self._settings, self._corpus.train
        if self._place >= len(self._groups):
            self._epoch, self._place = self._epoch + 1, 0
            self._deal()
        update = self._update + 1
        self.model.train()
        self._adam.zero_grad(set_to_none=True)
        group = [[examples[index] for index in batch] for batch in self._groups[self._place]]
        seed = _mixed(settings.seed, update)
        loss, count = backward(self.model, group, settings, self._processes, seed)
        limit = settings.clip or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, limit))
        if not math.isfinite(loss) or not math.isfinite(norm):
            kept = self._run.checkpoints()
            raise EngineError(
                f"The loss of update {update} is no longer a number.",
                hint="Start again with a lower --lr or a longer --warmup."
                + (f" The last good checkpoint is {kept[-1]}." if kept else ""),
            )
        for parameters in self._adam.param_groups:
            parameters["lr"] = rate(settings, update)
        self._adam.step()
        self._update, self._place = update, self._place + 1
        self._window = [self._window[0] + loss, self._window[1] + count]

    def _log(self) -> None:
        loss, count = self._window
        if not count:
            return
        self._loss, self._window = loss / count, [0.0, 0.0]
        self._run.log(
            step=self._update,
            epoch=self._epoch,
            loss=self._loss,
            lr=rate(self._settings, self._update),
            tokens=int(count),
        )

    def _validate(self) -> None:
        loss = self.valid_loss()
        self._run.log(step=self._update, valid_loss=loss)
        weights = self.model.state_dict()
        if self._best is None or loss < self._best:
            self._best, self._without_better = loss, 0
            self._run.save_best(self._update, weights, {"valid_loss": loss})
        else:
            self._without_better += 1
        if self._settings.average > 1:
            self._run.save_snapshot(self._update, weights, kept=self._settings.average)

    def _save(self) -> None:
        tensors = {f"model.{name}": one for name, one in self.model.state_dict().items()}
        for number, state in self._adam.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": one for name, one in state.items()}
        state = {
            "epoch": self._epoch,
            "place": self._place,
            "window": self._window,
            "loss": self._loss,
            "best": self._best,
            "without_better": self._without_better,
        }
        self._run.save(self._update, tensors, state)

    def _restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        model = {name[6:]: one for name, one in tensors.items() if name.startswith("model.")}
        self.model.load_state_dict(model)
        adam: dict[int, dict[str, Tensor]] = {}
        for name, one in tensors.items():
            if name.startswith("adam."):
                _, number, part = name.split(".")
                adam.setdefault(int(number), {})[part] = one
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": adam, "param_groups": groups})
        self._update, self._epoch, self._place = state["step"], state["epoch"], state["place"]
        self._window, self._loss = state["window"], state["loss"]
        self._best, self._without_better = state["best"], state["without_better"]


@contextlib.contextmanager
def _threads(wanted: int) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _mixed(seed: int, update: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{update}".encode()).digest()[:7], "big")


def _choose(run: Run, trainer: _Trainer) -> tuple[dict[str, Tensor], str]:
    """The better on validation: the best checkpoint, or the average of the last ones."""
    best = run.load_best()
    if best is None:
        return dict(trainer.model.state_dict()), "last weights"
    weights, state = best
    snapshots = run.snapshots()
    if len(snapshots) < 2:
        return weights, f"weights of update {state['step']}"
    mean = translation_result.average([load_checkpoint(one)[0] for one in snapshots])
    trainer.model.load_state_dict(mean)
    loss = trainer.valid_loss()
    run.log(step=trainer.outcome(None).update, average_of=len(snapshots), average_loss=loss)
    if loss < state["valid_loss"]:
        return mean, f"mean of the last {len(snapshots)} weights"
    return weights, f"weights of update {state['step']}"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise InvalidRequestError(
            f"There is no file {str(path)!r}.", hint="Is the path right?"
        ) from None
