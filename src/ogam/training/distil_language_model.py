"""Distil a language model: a small GPT-2 learns what its teacher expects after every token.

The student has its teacher's tokens and begins with every k-th of its layers, cut to its own
width where it is narrower. It learns the teacher's probabilities (soft targets), the text
itself, and, at the same width, the teacher's hidden states. The loop, its checkpoints and the
export are those of :mod:`ogam.training.language_model`.
"""

# transformers' classes are untyped.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ogam.capabilities.text_generation import GenerateRequest
from ogam.errors import InvalidRequestError
from ogam.extras import needs
from ogam.models.checkpoint import plainly
from ogam.models.store import MANIFEST
from ogam.training import _pretrained, devices, distil, distil_report, language_model
from ogam.training import language_model_data as texts
from ogam.training.distil_report import Quality, Report, Serve, Side
from ogam.training.language_model import Score, Settings
from ogam.training.runs import settings_of

with needs("train"):
    import torch
    from torch import Tensor
    from torch.nn import functional
    from transformers import GPT2LMHeadModel

# One round of the measuring of speed: prompts of so many tokens, each gone on with.
_PROMPTS, _PROMPT, _NEW = 4, 8, 32
ENGINE = "ctranslate2_generator"


class Teaching(msgspec.Struct, frozen=True, kw_only=True):
    """How the teacher is listened to.

    ``temperature`` softens its probabilities; ``alpha`` is the share of the text itself in the
    cost, the soft targets have the rest; ``beta`` the weight of the hidden states' distance,
    which is taken where the student is as wide as its teacher.
    """

    temperature: float = 1.0
    alpha: float = 0.1
    beta: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("temperature", 0.1, 100), ("alpha", 0, 1), ("beta", 0, 1e6)):
            value = getattr(self, name)
            if not low <= value <= high:  # NaN is not
                raise InvalidRequestError(
                    f"{name} must be from {low:g} to {high:g}, not {value}.", param=name
                )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``report`` is None where it was stopped and can be resumed."""

    folder: Path
    score: Score | None = None
    report: Report | None = None


def train(
    data: Sequence[str | os.PathLike[str]],
    teacher: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    serve: Serve,
    changes: Mapping[str, Any] | None = None,
    teaching: Teaching | None = None,
    resume: bool = False,
) -> Outcome:
    """Distil the run ``teacher`` on text files into ``out/model``; compare in ``out/report.*``.

    The student has its teacher's settings but for ``changes``, fields of
    :class:`ogam.training.language_model.Settings`. ``serve`` opens an exported model for
    measuring. Raises InvalidRequestError for data, teacher or student that will not do.
    """
    source, folder = Path(teacher).expanduser(), Path(out)
    own = settings_of(source, Settings)
    weights = source / "model" / "hf"
    if not (source / "model" / MANIFEST).exists():
        raise InvalidRequestError(
            f"The run {source} has not ended.",
            hint="Go on with it by --resume first.",
            param="teacher",
        )
    settings = _changed(own, weights, [os.fspath(one) for one in data], changes or {})
    network = _load(weights)
    lesson = _Lesson(network, settings, teaching or Teaching(), weights)
    score = language_model.train(folder, settings, resume=resume, lesson=lesson)
    if score is None:
        return Outcome(folder=folder)
    report = _compare(source, folder, settings, network, score, serve=serve)
    return Outcome(folder=folder, score=score, report=report)


def _changed(
    own: Settings, weights: Path, data: Sequence[str], changes: Mapping[str, Any]
) -> Settings:
    """The student's settings."""
    kept = sorted(set(changes) & {"tokenizer", "vocabulary"})
    if kept:
        raise InvalidRequestError(
            f"{kept[0]} is the teacher's and cannot be changed.", param=kept[0]
        )
    given: dict[str, Any] = {
        **msgspec.to_builtins(own),
        "valid": (),
        **changes,
        "files": data,
        "tokenizer": os.fspath(weights),
    }
    try:
        settings = msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"A setting is wrong: {error}.") from None
    for name in ("d_model", "heads", "context"):
        value, most = getattr(settings, name), getattr(own, name)
        if value > most:
            raise InvalidRequestError(
                f"The student's {name} of {value} is above its teacher's {most}.",
                hint="A student is smaller than its teacher, or like it.",
                param=name,
            )
    distil.taken(own.layers, settings.layers)
    return settings


def _load(folder: Path) -> Any:
    """The float teacher."""
    with plainly(f"The model in {folder} does not load"):
        network: Any = GPT2LMHeadModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="float32"
        )
    network.config.use_cache = False
    return network.eval().requires_grad_(requires_grad=False)


class _Lesson:
    """A :class:`ogam.training.language_model.Lesson`: what the teacher expects."""

    def __init__(self, teacher: Any, settings: Settings, teaching: Teaching, weights: Path) -> None:
        self._teacher = teacher.to(devices.find(settings.device))
        self._teaching = teaching
        self._layers = distil.taken(teacher.config.n_layer, settings.layers)
        self._states = teaching.beta > 0 and settings.d_model == teacher.config.n_embd
        self.settings: Mapping[str, Any] = {
            **msgspec.to_builtins(teaching),
            "teacher_sha256": _pretrained.sha256(_pretrained.weights(weights)),
        }
        self.made = (
            f"Distilled from a model of {distil_report.parameters(teacher):,} parameters by "
            "`ogam distil language-model`"
        )

    def begin(self, model: Any) -> None:
        """The teacher's layers, and its embeddings."""
        model.load_state_dict(
            distil.inherited(model.state_dict(), self._teacher.state_dict(), {"": self._layers})
        )

    def cost(self, model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        """The cost of a batch (batch, context), a mean over its tokens."""
        teaching, states = self._teaching, self._states
        with torch.no_grad():
            wanted = self._teacher(input_ids=inputs, output_hidden_states=states)
        found = model(input_ids=inputs, output_hidden_states=states)
        logits = found.logits.flatten(0, 1).float()
        soft = distil.soft_cost(logits, wanted.logits.flatten(0, 1), teaching.temperature)
        cost = (1 - teaching.alpha) * soft.mean()
        if teaching.alpha:
            cost = cost + teaching.alpha * functional.cross_entropy(logits, targets.flatten())
        if states:
            cost = cost + teaching.beta * distil.states_cost(
                found.hidden_states, wanted.hidden_states, self._layers
            )
        return cost


def _compare(
    teacher: Path, run: Path, settings: Settings, network: Any, score: Score, *, serve: Serve
) -> Report:
    """The two on the same held-out text, in blocks of the student's context, and their speed."""
    tokenizer = texts.load_tokenizer(teacher / "model" / "hf")
    stream = texts.stream(tokenizer, run / "data" / "valid.bin")
    sizes = texts.byte_lengths(tokenizer)
    before = language_model.evaluate(
        network,
        stream,
        sizes,
        context=settings.context,
        batch=settings.batch,
        device=devices.find(settings.device),
    )
    ends = tokenizer.token_to_id(texts.END)
    kept = [int(one) for one in stream if one != ends]
    step = max(1, len(kept) // _PROMPTS)
    prompts = [tokenizer.decode(kept[at : at + _PROMPT]) for at in range(0, len(kept), step)]
    requests = [
        GenerateRequest(prompt=one, max_tokens=_NEW, seed=1)
        for one in prompts[:_PROMPTS]
        if one.strip()
    ] or [GenerateRequest(prompt="The", max_tokens=_NEW, seed=1)]
    folders = (teacher / "model", run / "model")

    def work(engine: Any) -> int:
        return sum(engine.generate(one).units.output_tokens for one in requests)

    with serve(ENGINE, folders[0]) as one, serve(ENGINE, folders[1]) as other:
        speeds = distil_report.speeds([lambda: work(one), lambda: work(other)])
    student = _load(run / "model" / "hf")
    sides = [
        Side(
            parameters=distil_report.parameters(own),
            bytes=distil_report.size(place),
            speed=speed,
        )
        for own, place, speed in zip((network, student), folders, speeds, strict=True)
    ]
    report = Report(
        kind="language model",
        unit="tokens",
        judged=f"{score.bytes:,} bytes of held-out text, both models in float32, "
        f"in blocks of {settings.context} tokens",
        teacher=sides[0],
        student=sides[1],
        quality=(
            Quality(
                name="bits a byte",
                teacher=before.bits_per_byte,
                student=score.bits_per_byte,
                lower=True,
            ),
        ),
        batch=len(requests),
    )
    distil_report.write(run, report)
    return report
