"""Fine-tune an encoder into a classifier of texts, and export it for ``onnx_classifier``.

Any encoder that transformers has with a head for sequence classification: BERT, MiniLM,
DistilBERT, RoBERTa, XLM-R and their like. The head is the architecture's own (BERT's is
the pooler over the first token and a linear layer), or one over the mean of all tokens. AdamW
with a linear warm-up and decay, clipped gradients, batches of nearly equal length. Knows nothing
of how a model is served.
"""

# torch and transformers leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ogam.errors import EngineError
from ogam.extras import needs
from ogam.media import files
from ogam.training import (
    _attention,
    _batches,
    _labelled,
    _pretrained,
    _progress,
    _scores,
    classifier_start,
    devices,
    processes,
)
from ogam.training._labelled import Example, Source
from ogam.training._r_drop import RDrop
from ogam.training._scores import LabelScores, Scores
from ogam.training.classifier_settings import Settings
from ogam.training.runs import Run, settings_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "LabelScores",
    "Lesson",
    "Outcome",
    "Reader",
    "Scores",
    "Settings",
    "Source",
    "fit",
    "reach",
    "train",
    "use_threads",
]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``finished`` is False where it was stopped and can be resumed.

    ``scores`` are those of the exported 8-bit model on the validation examples, ``drop`` how
    much accuracy it lost against float32. Both are None in an unfinished run.
    """

    folder: Path
    finished: bool
    steps: int
    scores: Scores | None = None
    drop: float | None = None


class Lesson(Protocol):
    """What a network learns beside the labels, such as what a teacher says."""

    def parameters(self) -> dict[str, Tensor]:
        """Weights of its own that learn with the network, by name."""
        ...

    def cost(
        self, network: Any, inputs: Mapping[str, Tensor], right: Tensor, hard: Any
    ) -> tuple[Tensor, Tensor]:
        """The cost of a batch, and the network's logits; ``hard`` is the cross-entropy."""
        ...


def train(
    data: Source,
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid: Source | None = None,
    settings: Settings | None = None,
    about: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Outcome:
    """Fine-tune ``model`` (a folder) on ``data`` and leave the classifier in ``out/model``.

    ``valid`` is validated on; training examples with one of its texts are left out. Without
    it a part of ``data`` is, chosen by text. The weights with the best validation accuracy
    are kept. ``about`` adds to model.json (``name``, ``licence``, ``source``, ``summary``).

    Ctrl-C saves and returns an unfinished Outcome; ``resume`` goes on to the same losses, bit
    for bit on the same machine with the same number of threads. Raises InvalidRequestError
    for data, model or folder that will not do, EngineError when the loss is no number.
    """
    settings = settings or Settings()
    with needs("train"):
        import torch
    processes.refuse_several()
    devices.find(settings.device)
    folder = _pretrained.find(model)
    training, validation = _examples(data, valid, settings)
    labels = _labelled.labels(training, validation)
    torch.manual_seed(settings.seed)
    network = _pretrained.classifier(folder, labels, settings.pooling)
    if settings.start:
        network.load_state_dict(classifier_start.weights(settings, folder, labels))
    if settings.freeze_embeddings:
        _pretrained.freeze_embeddings(network)
    read = [data.path] if valid is None else [data.path, valid.path]
    started = _pretrained.weights(Path(settings.start, "best")) if settings.start else []
    run = Run(
        Path(out),
        {
            **settings.fixed,
            "data": [path.name for path in read],
            "data_sha256": _pretrained.sha256(read),
            "model_sha256": _pretrained.sha256(_pretrained.weights(folder)),
            "start_sha256": _pretrained.sha256(started),
            "labels": labels,
            "examples": [len(training), len(validation)],
        },
        resume=resume,
    )
    tokenizer, types = _pretrained.tokenizer(folder, reach(network, settings.max_tokens))
    reader = Reader(tokenizer, types, network.config.pad_token_id or 0, labels)
    return fit(
        run,
        network,
        reader,
        (training, validation),
        settings,
        pairs=data.second is not None,
        about=about,
        lesson=RDrop(settings.r_drop) if settings.r_drop else None,
    )


def fit(
    run: Run,
    network: Any,
    reader: Reader,
    examples: tuple[Sequence[Example], Sequence[Example]],
    settings: Settings,
    *,
    pairs: bool,
    about: Mapping[str, Any] | None = None,
    lesson: Lesson | None = None,
) -> Outcome:
    """Train ``network`` in ``run`` on the first of ``examples``, validate on the second, export.

    ``lesson`` is what it learns beside the labels. Goes on from the run's last checkpoint.
    """
    # What the weights in RUN/best belong to, so that they can be loaded again.
    files.write(run.folder / "config.json", network.config.to_json_string().encode())
    training, validation = (reader.tokens(one) for one in examples)
    weights = _labelled.balanced(examples[0], reader.labels) if settings.class_weights else None
    steps, ended = _Fit(run, network, reader, settings, weights, lesson=lesson).run(
        training, validation
    )
    run.draw_loss()
    if not ended:
        return Outcome(folder=run.folder, finished=False, steps=steps)
    best = run.load_best()
    network.cpu()
    if best is not None:
        network.load_state_dict(best[0])
    from ogam.training import export_classifier

    compared = export_classifier.export(
        network,
        reader.tokenizer,
        reader.labels,
        validation,
        run.folder / "model",
        types=reader.types,
        pairs=pairs,
        about=about,
    )
    _scores.draw_confusion(compared.digits, run.folder / "confusion.png")
    drop = compared.plain.accuracy - compared.digits.accuracy
    run.log(step=steps, accuracy=compared.digits.accuracy, drop=drop)
    return Outcome(folder=run.folder, finished=True, steps=steps, scores=compared.digits, drop=drop)


def export_again(run: Path, model: str | os.PathLike[str], folder: Path) -> None:
    """Write the graphs and the tokenizer of the ended run in ``run`` once more.

    Into ``folder``, which exists; ``model`` is the encoder that the run began with. Raises
    InvalidRequestError where the run has not ended, or began with another encoder.
    """
    encoder = _pretrained.find(model)
    weights, about = classifier_start.ended(run, encoder)
    settings = settings_of(run, Settings)
    network = _pretrained.classifier(encoder, about.labels, settings.pooling)
    tokenizer, types = _pretrained.tokenizer(encoder, reach(network, settings.max_tokens))
    network.load_state_dict(weights)
    from ogam.training import export_classifier

    export_classifier.write(folder, network, tokenizer, types=types)


def use_threads(count: int) -> None:
    """Compute with so many threads; a resumed run needs the same number for the same losses."""
    with needs("train"):
        import torch
    torch.set_num_threads(count)


class Reader:
    """Examples to tokens and batches."""

    def __init__(self, tokenizer: Any, types: bool, padding: int, labels: Sequence[str]) -> None:
        self.tokenizer, self.types, self.labels = tokenizer, types, list(labels)
        self.padding = padding
        self._index = {label: index for index, label in enumerate(labels)}
        self._index[""] = _batches.UNLABELLED

    def tokens(self, examples: Sequence[Example]) -> list[_batches.Tokens]:
        """Each example as the network reads it."""
        pairs = [(one.text, one.second) if one.second else one.text for one in examples]
        found = (
            encoding
            for start in range(0, len(pairs), 4096)
            for encoding in self.tokenizer.encode_batch(pairs[start : start + 4096])
        )
        return [
            _batches.Tokens(encoding.ids, encoding.type_ids, self._index[one.label])
            for one, encoding in zip(examples, found, strict=True)
        ]

    def batch(self, batch: Sequence[_batches.Tokens]) -> tuple[dict[str, Tensor], Tensor]:
        """The network's inputs, (batch, tokens) each, and the labels."""
        return _batches.tensors(batch, self.padding, self.types)


class _Fit:
    """The loop, and all of its state that a checkpoint holds."""

    def __init__(
        self,
        run: Run,
        network: Any,
        reader: Reader,
        settings: Settings,
        weights: Sequence[float] | None,
        *,
        lesson: Lesson | None = None,
    ) -> None:
        import torch

        self._run, self._reader, self._settings = run, reader, settings
        self._device = devices.find(settings.device)
        self._network = network.to(self._device)
        self._lesson = lesson
        self._own = lesson.parameters() if lesson else {}
        named = {name: one for name, one in network.named_parameters() if one.requires_grad}
        self._learning = [*named.values(), *self._own.values()]
        matrices = [one for one in self._learning if one.ndim > 1]
        vectors = [one for one in self._learning if one.ndim <= 1]
        # Biases and norms are not decayed, as in BERT's own recipe. fused: 17 ms a step instead
        # of 100 for 22.7 million weights on two cores.
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            fused=True,
        )
        self._cost = torch.nn.CrossEntropyLoss(
            weight=torch.tensor(weights, device=self._device) if weights else None,
            label_smoothing=settings.label_smoothing,
        )
        self._meant = list(named.values()) if settings.average else []
        self._mean = {name: one.detach().clone() for name, one in named.items() if settings.average}
        self._window: list[float] = []
        self._best, self._worse, self._ended = -1.0, 0, False

    def run(
        self, training: Sequence[_batches.Tokens], validation: Sequence[_batches.Tokens]
    ) -> tuple[int, bool]:
        """Train from the last checkpoint on; how many steps are done, and whether it has ended."""
        settings, run = self._settings, self._run
        lengths = [len(one.ids) for one in training]
        per_epoch = math.ceil(len(training) / settings.batch_size)
        total = per_epoch * settings.epochs
        every = math.ceil(per_epoch / settings.evaluations)
        step = self._restore()
        with run.stoppable(), _progress.bar(total, step) as report:
            while step < total and not self._ended:
                epoch, at = divmod(step, per_epoch)
                batches = _batches.order(lengths, settings.batch_size, settings.seed, epoch)
                for batch in itertools.islice(batches, at, None):
                    loss = self._step([training[index] for index in batch], step, total)
                    step += 1
                    self._window.append(loss)
                    report(step, f"loss {loss:.3f}, best accuracy {max(self._best, 0):.1%}")
                    if len(self._window) == 50 or step == total:
                        mean = sum(self._window) / len(self._window)
                        run.log(step=step, loss=mean, learning_rate=self._rate(step - 1, total))
                        self._window = []
                    if step % every == 0 or step == total:
                        self._validate(step, validation)
                    done = step == total or self._ended
                    if done or run.stop_asked or step % settings.save_every == 0:
                        self._save(step)
                    if done or run.stop_asked:
                        return step, done
        return step, True

    def _step(self, batch: Sequence[_batches.Tokens], step: int, total: int) -> float:
        import torch

        self._network.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step, total)
        loss = self._loss(batch)[0]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._learning, self._settings.clip)
        value = loss.item()
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            raise EngineError(
                f"The loss of step {step + 1} is not a number; {self._run.folder} keeps the "
                "checkpoints before it.",
                hint="Start a new run with a lower learning rate.",
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._mean:
            # Early means forget faster: they would be of the untrained weights.
            share = 1 - min(self._settings.average, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self._mean.values()), self._meant, share)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        return value

    @contextlib.contextmanager
    def _averaged(self) -> Generator[None]:
        """The network with the mean weights, where there are any."""
        own = {name: one.clone() for name, one in self._network.state_dict().items()}
        self._network.load_state_dict(self._mean, strict=False)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def _loss(self, batch: Sequence[_batches.Tokens]) -> tuple[Tensor, Tensor, Tensor]:
        """The cost, the scores (batch, labels) and the right labels of a batch."""
        import torch

        device = self._device
        inputs, right = self._reader.batch(batch)
        inputs, right = {name: one.to(device) for name, one in inputs.items()}, right.to(device)
        precision = torch.autocast(device.type, torch.bfloat16, enabled=self._settings.bf16)
        with precision, _attention.for_short_rows(device.type):
            if self._lesson is not None and self._network.training:
                return *self._lesson.cost(self._network, inputs, right, self._cost), right
            logits = self._network(**inputs).logits
        logits = logits.float()
        return self._cost(logits, right), logits, right

    @property
    def _generator(self) -> Any:
        """torch.cuda or torch.mps, from whose generator dropout draws there."""
        import torch

        return getattr(torch, self._device.type)

    def _rate(self, step: int, total: int) -> float:
        """The learning rate of a step, counted from 0: a straight climb, a straight descent."""
        climb = max(1, round(total * self._settings.warm_up))
        share = (step + 1) / climb if step < climb else (total - step) / max(1, total - climb + 1)
        return self._settings.learning_rate * share

    def _validate(self, step: int, validation: Sequence[_batches.Tokens]) -> None:
        with self._averaged():
            self._judge(step, validation)

    def _judge(self, step: int, validation: Sequence[_batches.Tokens]) -> None:
        import torch

        self._network.eval()
        cost, called, right = 0.0, list[int](), list[int]()
        with torch.inference_mode():
            for group in _batches.by_length([len(one.ids) for one in validation], 32):
                loss, logits, labels = self._loss([validation[index] for index in group])
                cost += loss.item() * len(group)
                called += logits.argmax(1).tolist()
                right += labels.tolist()
        found = _scores.score(self._reader.labels, right, called)
        if self._settings.eight_bits:
            from ogam.training import export_classifier

            network, reader = self._network.cpu(), self._reader
            found = export_classifier.judged(
                network, validation, reader.labels, types=reader.types, beside=self._run.folder
            )
            network.to(self._device)
        self._run.log(
            step=step,
            valid_loss=cost / len(validation),
            valid_accuracy=found.accuracy,
            valid_macro_f1=found.macro_f1,
        )
        if found.accuracy > self._best:
            self._best, self._worse = found.accuracy, 0
            self._run.save_best(step, self._network.state_dict(), {"accuracy": found.accuracy})
        else:
            self._worse += 1
            self._ended = 0 < self._settings.patience <= self._worse

    def _save(self, step: int) -> None:
        import torch

        tensors = {f"model.{name}": one for name, one in self._network.state_dict().items()}
        tensors |= {f"mean.{name}": one for name, one in self._mean.items()}
        tensors |= {f"lesson.{name}": one for name, one in self._own.items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{name}": one for name, one in state.items()})
        tensors["random"] = torch.get_rng_state()
        if self._device.type != "cpu":
            tensors[f"random.{self._device.type}"] = self._generator.get_rng_state()
        state = {
            "window": self._window,
            "best": self._best,
            "worse": self._worse,
            "ended": self._ended,
        }
        self._run.save(step, tensors, state)

    def _restore(self) -> int:
        """Take up the newest checkpoint; the number of steps it has done."""
        import torch

        last = self._run.load_last()
        if last is None:
            return 0
        tensors, state = last
        kept: dict[int, dict[str, Tensor]] = {}
        model: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "model":
                model[rest] = tensor
            elif kind == "mean":
                self._mean[rest] = tensor.to(self._device)
            elif kind == "lesson":
                with torch.no_grad():
                    self._own[rest].copy_(tensor)
            elif kind == "optimizer":
                index, _, part = rest.partition(".")
                kept.setdefault(int(index), {})[part] = tensor
        self._network.load_state_dict(model)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": kept, "param_groups": groups})
        torch.set_rng_state(tensors["random"])
        # Not there where the run was on another device before.
        if (state_there := tensors.get(f"random.{self._device.type}")) is not None:
            self._generator.set_rng_state(state_there)
        self._window = state["window"]
        self._best, self._worse, self._ended = state["best"], state["worse"], state["ended"]
        return state["step"]


def _examples(
    data: Source, valid: Source | None, settings: Settings
) -> tuple[list[Example], list[Example]]:
    examples = _labelled.read(data, settings.names)
    if valid is None:
        return _labelled.split(examples, settings.split)
    validation = _labelled.read(valid, settings.names)
    return _labelled.without(examples, validation), validation


def reach(network: Any, wanted: int) -> int:
    """How many tokens the model can read at most, up to ``wanted``."""
    config = network.config
    # RoBERTa counts its positions from the padding's id on.
    first = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return min(wanted, getattr(config, "max_position_embeddings", wanted + first) - first)
