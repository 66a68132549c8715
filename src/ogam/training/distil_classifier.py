"""Distil a classifier of texts: a small student learns what its teacher says of them.

The student is of the teacher's architecture, with fewer layers, narrower, or both. It begins
with the teacher's own weights wherever they fit, and learns three things at once: the teacher's
probabilities (soft targets), the labels where there are any, and the teacher's hidden states.
The loop, its checkpoints and the export are those of :mod:`ogam.training.classifier`.
"""

# torch and transformers leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ogam.capabilities.classification import ClassifyRequest
from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.extras import needs
from ogam.models.store import MANIFEST
from ogam.training import (
    _batches,
    _labelled,
    _pretrained,
    classifier,
    devices,
    distil,
    distil_report,
    export_classifier,
    processes,
    runs,
)
from ogam.training._labelled import Example, Source
from ogam.training._scores import Scores
from ogam.training.distil_report import Quality, Report, Serve, Side
from ogam.training.runs import Run

if TYPE_CHECKING:
    from torch import Tensor

# TinyBERT's small student (Jiao et al. 2020, section 4.1).
TINY = {"layers": 4, "hidden": 312, "heads": 12, "feed_forward": 1200}
# So many validation texts are classified in one round of the measuring of speed.
_MEASURED = 64


class Settings(classifier.Settings, frozen=True, kw_only=True):
    """How to distil; beside the fields below, those of a classifier's training.

    ``layers``, ``hidden`` (width), ``heads`` and ``feed_forward`` (inner width) are the
    student's; 0 takes the teacher's. ``temperature`` softens the teacher's probabilities,
    ``alpha`` is the share of the labels in the cost of an example that has one, the soft
    targets have the rest; ``beta`` is the weight of the hidden states' distance.
    """

    epochs: int = 5
    learning_rate: float = 1e-4
    layers: int = 0
    hidden: int = 0
    heads: int = 0
    feed_forward: int = 0
    temperature: float = 2.0
    alpha: float = 0.1
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("layers", 0, 1000),
            ("hidden", 0, 2**16),
            ("heads", 0, 1000),
            ("feed_forward", 0, 2**20),
            ("temperature", 0.1, 100.0),
            ("alpha", 0.0, 1.0),
            ("beta", 0.0, 1e6),
        ):
            value = getattr(self, name)
            if not low <= value <= high:  # NaN is not
                raise InvalidRequestError(
                    f"{name} must be from {low:g} to {high:g}, not {value}.", param=name
                )
        if self.class_weights:
            raise InvalidRequestError(
                "A teacher's answers are not weighted by their labels.",
                hint="Leave class_weights out.",
                param="class_weights",
            )
        for name, given in (
            ("pooling", self.pooling != "own"),
            ("r_drop", self.r_drop > 0),
            ("freeze_embeddings", self.freeze_embeddings),
            ("start", bool(self.start)),
        ):
            if given:
                raise InvalidRequestError(
                    f"A student takes no {name}: it learns from its teacher, as that reads.",
                    hint=f"Leave {name} out.",
                    param=name,
                )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``report`` is None where it was stopped and can be resumed."""

    folder: Path
    steps: int
    report: Report | None = None


class _Teacher(NamedTuple):
    """A trained classifier. ``served`` is its exported model, None where there is none yet."""

    network: Any
    tokenizer: Any
    types: bool
    labels: tuple[str, ...]
    weights: list[Path]
    served: Path | None

    def reader(self, limit: int) -> classifier.Reader:
        """Reads texts up to ``limit`` tokens, or as far as the teacher itself does."""
        tokenizer = type(self.tokenizer).from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(min(limit, self.tokenizer.truncation["max_length"]))
        padding = self.network.config.pad_token_id or 0
        return classifier.Reader(tokenizer, self.types, padding, self.labels)


def train(
    data: Source,
    teacher: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    serve: Serve,
    base: str | os.PathLike[str] | None = None,
    valid: Source | None = None,
    settings: Settings | None = None,
    about: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Outcome:
    """Distil ``teacher`` on ``data`` into ``out/model``, and compare the two in ``out/report.*``.

    ``teacher`` is the folder of a classifier's run, or one of transformers with a trained head;
    ``base`` is the encoder that the run began with, for a run that kept no config.json. A text
    of ``data`` may be without label (``label`` of the Source empty: all are). Without ``valid`` a
    part of ``data`` is validated on; where that has no labels, the teacher's answers stand for
    them. ``serve`` opens an exported model for measuring. Stopping and resuming are as in
    :func:`ogam.training.classifier.train`. Raises InvalidRequestError for data, teacher or
    student that will not do.
    """
    settings = settings or Settings(layers=2)
    with needs("train"):
        import torch
    processes.refuse_several()
    device = devices.find(settings.device)
    found = _teacher(Path(teacher).expanduser(), None if base is None else Path(base))
    training, validation = _examples(data, valid, settings, found.labels)
    read = [data.path] if valid is None else [data.path, valid.path]
    config, layers = _student(found.network.config, settings)
    run = Run(
        Path(out),
        {
            **settings.fixed,
            "data": [path.name for path in read],
            "data_sha256": _pretrained.sha256(read),
            "teacher_sha256": _pretrained.sha256(found.weights),
            "labels": list(found.labels),
            "examples": [len(training), len(validation)],
        },
        resume=resume,
    )
    judged = "labels"
    if not all(one.label for one in validation):
        judged = "teacher"
        validation = _answered(found, validation)
    torch.manual_seed(settings.seed)
    student = _pretrained.untrained_classifier(config)
    weights = distil.inherited(student.state_dict(), found.network.state_dict(), {"": layers})
    student.load_state_dict(weights)
    outcome = classifier.fit(
        run,
        student,
        found.reader(settings.max_tokens),
        (training, validation),
        settings,
        pairs=data.second is not None,
        about={"source": f"distilled from {Path(teacher).name}", **(about or {})},
        lesson=_Lesson(found.network.to(device), student, layers, settings),
    )
    found.network.cpu()
    if outcome.scores is None:
        return Outcome(folder=run.folder, steps=outcome.steps)
    report = _compare(
        run.folder, found, student, validation, outcome.scores, judged=judged, serve=serve
    )
    return Outcome(folder=run.folder, steps=outcome.steps, report=report)


class _Lesson:
    """A :class:`ogam.training.classifier.Lesson`: what the teacher says, and how it came to it."""

    def __init__(
        self, teacher: Any, student: Any, layers: Sequence[int], settings: Settings
    ) -> None:
        import torch

        self._teacher, self._layers, self._settings = teacher, layers, settings
        teacher.eval()
        teacher.requires_grad_(requires_grad=False)
        narrow, wide = student.config.hidden_size, teacher.config.hidden_size
        self._widen = (
            torch.nn.Linear(narrow, wide, bias=False).to(teacher.device)
            if settings.beta and narrow != wide
            else None
        )

    def parameters(self) -> dict[str, Tensor]:
        """The projection to the teacher's width, where there is one."""
        return {} if self._widen is None else {"widen": self._widen.weight}

    def cost(
        self, network: Any, inputs: Mapping[str, Tensor], right: Tensor, hard: Any
    ) -> tuple[Tensor, Tensor]:
        """The cost of a batch, and the student's logits (batch, labels)."""
        import torch

        settings = self._settings
        states = settings.beta > 0
        with torch.no_grad():
            wanted = self._teacher(**inputs, output_hidden_states=states)
        found = network(**inputs, output_hidden_states=states)
        logits = found.logits.float()
        known = right != _batches.UNLABELLED
        soft = distil.soft_cost(logits, wanted.logits, settings.temperature)
        cost = (soft * (1 - settings.alpha * known.float())).mean()
        if settings.alpha and bool(known.any()):
            cost = cost + settings.alpha * known.float().mean() * hard(logits, right)
        if states:
            cost = cost + settings.beta * distil.states_cost(
                found.hidden_states,
                wanted.hidden_states,
                self._layers,
                inputs["attention_mask"],
                self._widen,
            )
        return cost, logits


def _teacher(folder: Path, base: Path | None) -> _Teacher:
    """The float teacher of a run's folder, or of a folder in transformers' format."""
    if not (folder / "settings.json").exists():
        found = _pretrained.find(folder)
        network = _pretrained.trained_classifier(found)
        tokenizer, types = _pretrained.tokenizer(found, classifier.reach(network, 512))
        names = network.config.id2label
        labels = tuple(names[index] for index in range(len(names)))
        return _Teacher(network, tokenizer, types, labels, _pretrained.weights(found), None)
    served = folder / "model"
    best = folder / "best" / "state.safetensors"
    if not (served / MANIFEST).exists() or not best.exists():
        raise InvalidRequestError(
            f"The run {folder} has not ended.",
            hint="Go on with it by --resume first.",
            param="teacher",
        )
    manifest = _manifest(served)
    if (folder / "config.json").exists():
        network = _pretrained.untrained_classifier(_pretrained.configuration(folder))
    elif base is not None:
        network = _pretrained.classifier(_pretrained.find(base), manifest.labels)
    else:
        raise InvalidRequestError(
            f"The run {folder} does not say what its weights belong to.",
            hint="Name the encoder that it began with, by --base FOLDER.",
            param="teacher",
        )
    weights, _ = runs.load_checkpoint(best.parent)
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise InvalidRequestError(
            f"The weights of the run {folder} do not belong to this encoder.",
            hint="Is it the one the run began with?",
            param="teacher",
        ) from None
    with needs("train"):
        import onnx
        from tokenizers import Tokenizer
    graph = onnx.load(str(served / manifest.graph), load_external_data=False).graph
    types = "token_type_ids" in {one.name for one in graph.input}
    tokenizer: Any = Tokenizer.from_file(str(served / export_classifier.TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest.max_tokens)
    return _Teacher(network, tokenizer, types, manifest.labels, [best], served)


def _manifest(folder: Path) -> export_classifier.ClassifierManifest:
    try:
        return msgspec.json.decode(
            (folder / MANIFEST).read_bytes(), type=export_classifier.ClassifierManifest
        )
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"{folder} is no classifier: {error}.", hint="Is it a run of ogam train classifier?"
        ) from None


def _student(teacher: Any, settings: Settings) -> tuple[Any, list[int]]:
    """The student's configuration, and which of the teacher's layers it begins with."""
    layers = distil.taken(teacher.num_hidden_layers, settings.layers or teacher.num_hidden_layers)
    config = copy.deepcopy(teacher)
    inner = "intermediate_size" if hasattr(config, "intermediate_size") else "hidden_dim"
    for name, value in (
        ("num_hidden_layers", settings.layers),
        ("hidden_size", settings.hidden),
        ("num_attention_heads", settings.heads),
        (inner, settings.feed_forward),
    ):
        if value > getattr(config, name):
            raise InvalidRequestError(
                f"The student's {name} of {value} is above its teacher's {getattr(config, name)}.",
                hint="A student is smaller than its teacher, or like it.",
            )
        if value:
            setattr(config, name, value)
    if config.hidden_size % config.num_attention_heads:
        raise InvalidRequestError(
            f"A width of {config.hidden_size} cannot be shared by {config.num_attention_heads} "
            "heads.",
            hint="It must be a multiple of the heads: 312 and 12, 192 and 6.",
            param="heads",
        )
    if not (settings.layers or settings.hidden or settings.feed_forward):
        raise InvalidRequestError(
            "The student would be as large as its teacher.",
            hint="Choose its layers, its width, or --tiny.",
            param="layers",
        )
    return config, layers


def _examples(
    data: Source, valid: Source | None, settings: Settings, labels: Sequence[str]
) -> tuple[list[Example], list[Example]]:
    """Training and validation; validation is labelled as a whole or not at all."""
    training = _labelled.read(data, settings.names, optional=True)
    if valid is None:
        training, validation = _labelled.split(training, settings.split)
        some = [one for one in validation if one.label]
        validation = some or validation
    else:
        validation = _labelled.read(valid, settings.names, optional=not valid.label)
        training = _labelled.without(training, validation)
    for side, name in ((training, "training"), (validation, "validation")):
        if not side:
            raise InvalidRequestError(
                f"No example is left for {name}.",
                hint="Give more examples, or a validation file of its own.",
            )
    strange = sorted({one.label for one in (*training, *validation)} - {"", *labels})
    if strange:
        raise InvalidRequestError(
            f"The teacher has no label {strange[0]!r}.",
            hint=f"It has {', '.join(labels[:8])}. Rename the data's by --label-name FROM=TO.",
        )
    return training, validation


def _answered(teacher: _Teacher, examples: Sequence[Example]) -> list[Example]:
    """The examples, labelled by the teacher."""
    import torch

    reader = teacher.reader(2**30)
    tokens = reader.tokens(examples)
    found: list[Example] = list(examples)
    teacher.network.eval()
    with torch.inference_mode():
        for group in _batches.by_length([len(one.ids) for one in tokens], 32):
            inputs, _ = reader.batch([tokens[index] for index in group])
            calls = teacher.network(**inputs).logits.argmax(1).tolist()
            for index, call in zip(group, calls, strict=True):
                found[index] = examples[index]._replace(label=teacher.labels[call])
    return found


def _compare(
    folder: Path,
    teacher: _Teacher,
    student: Any,
    validation: Sequence[Example],
    scores: Scores,
    *,
    judged: str,
    serve: Serve,
) -> Report:
    reader = teacher.reader(2**30)
    tokens = reader.tokens(validation)
    pairs = any(one.second for one in validation)
    served = teacher.served
    if served is None:
        served = folder / "teacher"
        found = export_classifier.export(
            teacher.network,
            reader.tokenizer,
            teacher.labels,
            tokens,
            served,
            types=teacher.types,
            pairs=pairs,
        ).digits
    else:
        graph = served / _manifest(served).graph
        found = export_classifier.measure(graph, tokens, teacher.labels, reader.padding)
    texts = [f"{one.text}\t{one.second}" if pairs else one.text for one in validation]
    request = ClassifyRequest(texts=tuple(texts[:_MEASURED]))
    engine = export_classifier.ENGINE
    with serve(engine, served) as before, serve(engine, folder / "model") as after:
        speeds = distil_report.speeds(
            [
                lambda: len(before.classify(request).labels),
                lambda: len(after.classify(request).labels),
            ]
        )
    report = Report(
        kind="classifier",
        unit="texts",
        judged=f"{len(validation):,} validation texts, both models in 8 bits, by "
        + ("their labels" if judged == "labels" else "the float32 teacher's own answers"),
        teacher=Side(
            parameters=distil_report.parameters(teacher.network),
            bytes=distil_report.size(served),
            speed=speeds[0],
        ),
        student=Side(
            parameters=distil_report.parameters(student),
            bytes=distil_report.size(folder / "model"),
            speed=speeds[1],
        ),
        quality=(
            Quality(name="accuracy", teacher=found.accuracy, student=scores.accuracy),
            Quality(name="macro F1", teacher=found.macro_f1, student=scores.macro_f1),
        ),
        batch=len(request.texts),
    )
    distil_report.write(folder, report)
    return report
