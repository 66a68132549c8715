"""The head check: whether a checkpoint holds trained weights for all that a task needs.

A library that is asked for sentiment from a plain encoder fills the missing head with random
numbers and answers all the same. Here the same library is asked what it *would* fill: its own
loader is given the shapes in the checkpoint's headers on torch's "meta" device, where a tensor
has a shape and no memory. So tied weights, buffers, renamed and prefixed keys count as they do
when the model is really loaded. No tensor is read, no pickle, and no code of the checkpoint's.
"""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import msgspec

from ogam.errors import ConfigurationError, UnsupportedOptionError, UntrainedHeadError
from ogam.extras import needs
from ogam.models import checkpoint

# A task, by Ogam's names and by those of the hub's pipelines, to the kinds of head that answer
# it: the middle of transformers' MODEL_FOR_..._MAPPING_NAMES, the likeliest first.
_WORDS = ("SEQUENCE_CLASSIFICATION",)
_WRITERS = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")
_HEARERS = ("SPEECH_SEQ_2_SEQ", "CTC")
_SPEAKERS = ("TEXT_TO_WAVEFORM", "TEXT_TO_SPECTROGRAM")
TASKS: dict[str, tuple[str, ...]] = {
    "classify": _WORDS,
    "text-classification": _WORDS,
    "zero-shot-classification": _WORDS,
    "token-classification": ("TOKEN_CLASSIFICATION",),
    "generate": _WRITERS,
    "text-generation": _WRITERS,
    "translate": ("SEQ_TO_SEQ_CAUSAL_LM",),
    "translation": ("SEQ_TO_SEQ_CAUSAL_LM",),
    "transcribe": _HEARERS,
    "automatic-speech-recognition": _HEARERS,
    "audio-classification": ("AUDIO_CLASSIFICATION",),
    "speak": _SPEAKERS,
    "text-to-speech": _SPEAKERS,
    "see": ("IMAGE_CLASSIFICATION", "OBJECT_DETECTION", "ZERO_SHOT_IMAGE_CLASSIFICATION"),
    "image-classification": ("IMAGE_CLASSIFICATION",),
    "object-detection": ("OBJECT_DETECTION",),
    "zero-shot-image-classification": ("ZERO_SHOT_IMAGE_CLASSIFICATION",),
    "embed": ("TEXT_ENCODING", ""),
    "feature-extraction": ("TEXT_ENCODING", ""),
    "sentence-similarity": ("TEXT_ENCODING", ""),
}
_LABELLED = frozenset((*_WORDS, "TOKEN_CLASSIFICATION", "AUDIO_CLASSIFICATION")) | {
    "IMAGE_CLASSIFICATION",
    "OBJECT_DETECTION",
}
# Used in training alone; published checkpoints often lack them, and no answer depends on them.
_TRAINING_ONLY = re.compile(r"(^|\.)(masked_spec_embed|mask_token|num_batches_tracked)$")
# A vector is pooled from the last layer's rows, never from this.
_POOLER = re.compile(r"(^|\.)pooler\.")
_SHOWN = 6


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter whose shape in the checkpoint is not the one its configuration asks for."""

    name: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint has of what a task needs.

    ``head`` is the class of transformers that does the task; ``missing`` the parameters that it
    would fill with random numbers for want of weights, ``mismatched`` those for want of weights
    of the right shape; ``labels`` says what is wrong with the names of the outputs, empty where
    nothing is. ``mend`` is what to do.
    """

    task: str
    head: str
    missing: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    labels: str = ""
    mend: str = ""

    @property
    def trained(self) -> bool:
        """Whether every parameter has its weights."""
        return not (self.missing or self.mismatched)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters without trained weights, sorted."""
        return tuple(sorted((*self.missing, *(one.name for one in self.mismatched))))

    @property
    def why(self) -> str:
        """One sentence: what is missing, and what the answers would be. Empty where trained."""
        parts: list[str] = []
        if self.missing:
            parts.append(f"no weights for {_told(self.missing)}")
        if self.mismatched:
            # The weight says more than its bias.
            one = max(self.mismatched, key=lambda each: len(each.wanted))
            more = len(self.mismatched) - 1
            parts.append(
                f"{one.name} of shape {_shape(one.found)} where config.json asks for "
                f"{_shape(one.wanted)}" + (f" (and {more} more)" if more else "")
            )
        if not parts:
            return ""
        return (
            f"it has {', and '.join(parts)}. {self.head} would fill them with random numbers, and "
            f"its answers would be noise"
        )


def check(folder: Path, task: str, *, allow_untrained: bool = False) -> None:
    """Return where ``folder`` may serve ``task``, raise where it may not.

    ``task`` is one of :data:`TASKS`. Raises UntrainedHeadError (unless ``allow_untrained``) with
    the parameters that have no trained weights; ConfigurationError for an incomplete or damaged
    checkpoint and for labels that contradict each other, UnsupportedOptionError for a task that
    this kind of model never does, MissingExtraError where transformers is not installed.
    """
    found = report(folder, task)
    if found.labels:
        raise ConfigurationError(
            f"The labels of {folder} cannot be trusted: {found.labels}.",
            hint="Ask its maker which is right, and correct id2label and label2id in config.json.",
        )
    if not found.trained and not allow_untrained:
        raise UntrainedHeadError(
            f"{folder} was not trained to {task}: {found.why}.",
            hint=found.mend,
            parameters=found.parameters,
        )


def report(folder: Path, task: str) -> Report:
    """Compare what the checkpoint in ``folder`` holds with what ``task`` needs.

    Raises as :func:`check` does, but for what the report itself tells.
    """
    if task not in TASKS:
        raise UnsupportedOptionError(
            f"There is no task {task!r}.", hint=f"There are {', '.join(sorted(TASKS))}."
        )
    written = checkpoint.read_json(folder / "config.json")
    held = checkpoint.shapes(folder)
    with checkpoint.plainly(f"The checkpoint in {folder} cannot be checked"):
        head, kind, config = _head(folder, task, written)
        missing, mismatched = _unfilled(head, config, held)

    def needed(name: str) -> bool:
        pooled = "" in TASKS[task] and _POOLER.search(name)
        return not (_TRAINING_ONLY.search(name) or pooled)

    return Report(
        task=task,
        head=head.__name__,
        missing=tuple(sorted(filter(needed, missing))),
        mismatched=tuple(one for one in mismatched if needed(one.name)),
        labels=_contradiction(written) if kind in _LABELLED else "",
        mend=_mend(folder, kind, head.__name__),
    )


def _head(folder: Path, task: str, written: dict[str, Any]) -> tuple[Any, str, Any]:
    """The class that does the task, its kind, and the configuration as transformers reads it."""
    with needs("train"):
        import transformers
        from transformers.models.auto import modeling_auto
    config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    candidates: dict[str, str] = {}
    for kind in TASKS[task]:
        table = f"MODEL_FOR_{kind}_MAPPING_NAMES" if kind else "MODEL_MAPPING_NAMES"
        # A table that this version of transformers has not has no model in it.
        found = getattr(modeling_auto, table, {}).get(config.model_type, ())
        for name in (found,) if isinstance(found, str) else found:
            candidates.setdefault(name, kind)
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if "CAUSAL_LM" in candidates.values() and config.model_type in masked:
        # An encoder has the shapes of a writer, and all their weights; it read both ways.
        candidates = candidates if getattr(config, "is_decoder", False) else {}
    if not candidates:
        raise UnsupportedOptionError(
            f"{folder} is a model of type {config.model_type}, which cannot {task}.",
            hint=f"Its config.json names {', '.join(written.get('architectures') or ['nothing'])}.",
        )
    own = [name for name in written.get("architectures") or () if name in candidates]
    name = own[0] if own else _likeliest(candidates)
    return getattr(transformers, name), candidates[name], config


def _likeliest(candidates: dict[str, str]) -> str:
    # Where the configuration names none of them: the plain model for vectors, else the first.
    plain = [name for name, kind in candidates.items() if not kind]
    return plain[0] if plain else next(iter(candidates))


def _unfilled(
    head: Any, config: Any, held: dict[str, tuple[int, ...]]
) -> tuple[set[str], list[Mismatch]]:
    """What transformers' loader would leave to chance: names, and those of the wrong shape."""
    import torch

    nowhere = torch.device("meta")
    _, told = head.from_pretrained(
        None,
        config=config,
        state_dict={name: torch.empty(shape, device=nowhere) for name, shape in held.items()},
        device_map={"": nowhere},
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        local_files_only=True,
    )
    mismatched = [
        Mismatch(name=name, found=tuple(found), wanted=tuple(wanted))
        for name, found, wanted in sorted(told["mismatched_keys"])
    ]
    return set(told["missing_keys"]), mismatched


def _contradiction(written: dict[str, Any]) -> str:
    """What id2label and label2id say against each other, or against the count of outputs."""
    names, ids = written.get("id2label"), written.get("label2id")
    if not isinstance(names, dict) or not names:
        return ""
    try:
        by_id = {int(number): str(name) for number, name in names.items()}
        by_name = {str(name): int(n) for name, n in ids.items()} if isinstance(ids, dict) else {}
    except (TypeError, ValueError):
        return "id2label and label2id do not map whole numbers and names"
    if sorted(by_id) != list(range(len(by_id))):
        return f"id2label does not name the outputs 0 to {len(by_id) - 1}, one each"
    for number, name in by_id.items():
        other = by_name.get(name)
        # A name may stand for several outputs ("N/A"), and label2id names one of them; names
        # that label2id has not at all are no contradiction: many checkpoints keep its default.
        if other is not None and by_id.get(other) != name:
            return (
                f"id2label calls output {number} {name!r}, and label2id says {name!r} is output "
                f"{other}" + (f", which id2label calls {by_id[other]!r}" if other in by_id else "")
            )
    return ""


def _mend(folder: Path, kind: str, head: str) -> str:
    if kind in _WORDS:
        return f"Train it: ogam train classifier DATA.tsv --model {shlex.quote(str(folder))} -o RUN"
    return f"Take a checkpoint that was trained for it: its config.json names {head}."


def _told(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
