"""classify and embed: an encoder reads texts in padded batches."""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.classification import (
    Classification,
    ClassifyRequest,
    ClassifyResult,
    LabelScore,
)
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.engines.huggingface_transformers.loading import Loaded
from ogam.errors import UnsupportedOptionError

# Texts in one batch, of nearly one length.
_TOGETHER = 16
# What a model of inference is asked about a label that it does not know.
_HYPOTHESIS = "This text is about {label}."
# A tokenizer that knows no limit says 10**30.
_NO_LIMIT = 1_000_000

Pooling = Literal["mean", "cls", "max"]


def classify(loaded: Loaded, request: ClassifyRequest) -> ClassifyResult:
    """Label every text with the model's own labels, or the best of those asked for.

    The scores of one text share 1.0; with ``multi_label``, or a model whose
    ``problem_type`` is "multi_label_classification" and no labels asked for, each stands for
    itself. A model of natural language inference (it has a label "entailment") also chooses
    among labels of the caller's own. A text is cut where the model's reading ends.
    ``units.input_tokens`` counts what was read. Raises UnsupportedOptionError for labels that
    the model has not, and for ``multi_label`` where it was not trained for it.
    """
    own = _labels(loaded.config)
    wanted = request.labels or own
    several = loaded.config.problem_type == "multi_label_classification"
    folded = {label.lower(): at for at, label in enumerate(own)}
    strange = [label for label in wanted if label not in own]
    if strange and "entailment" in folded:
        return _zero_shot(loaded, request, folded)
    if strange:
        raise UnsupportedOptionError(
            f"{loaded.ref.name} has no label {strange[0]!r}.",
            hint=f"Its labels are {', '.join(own[:12])}{', …' if len(own) > 12 else ''}.",
            param="labels",
        )
    if request.multi_label and not several:
        raise UnsupportedOptionError(
            f"{loaded.ref.name} was trained to choose one label, not to score each by itself.",
            hint="Leave multi_label out.",
            param="multi_label",
        )
    logits, tokens = _logits(loaded, [(text, None) for text in request.texts])
    part = logits[:, [own.index(label) for label in wanted]].double()
    alone = request.multi_label or (several and not request.labels)
    return _result(loaded, wanted, part.sigmoid() if alone else part.softmax(-1), tokens)


def _zero_shot(loaded: Loaded, request: ClassifyRequest, own: dict[str, int]) -> ClassifyResult:
    """How much a sentence with the label in it follows from the text."""
    pairs = [
        (text, _HYPOTHESIS.format(label=label))
        for text in request.texts
        for label in request.labels
    ]
    logits, tokens = _logits(loaded, pairs)
    logits = logits.double().view(len(request.texts), len(request.labels), -1)
    yes = logits[..., own["entailment"]]
    if request.multi_label and "contradiction" in own:
        scores = (yes - logits[..., own["contradiction"]]).sigmoid()
    else:
        scores = yes.sigmoid() if request.multi_label else yes.softmax(-1)
    return _result(loaded, request.labels, scores, tokens)


def _result(loaded: Loaded, labels: Sequence[str], scores: Any, tokens: int) -> ClassifyResult:
    ranked = (
        sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1]) for row in scores.tolist()
    )
    return ClassifyResult(
        engine=loaded.ref.engine,
        model=loaded.ref.name,
        units=Units(input_tokens=tokens),
        classifications=tuple(
            Classification(scores=tuple(LabelScore(label=one, score=score) for one, score in row))
            for row in ranked
        ),
    )


def _logits(loaded: Loaded, texts: Sequence[tuple[str, str | None]]) -> tuple[Any, int]:
    import torch

    out: Any = None
    tokens = 0
    for group, given in _batches(loaded, texts):
        with torch.inference_mode():
            logits = loaded.model(**given).logits.float()
        out = torch.empty(len(texts), logits.shape[-1]) if out is None else out
        out[group] = logits
        tokens += int(given["attention_mask"].sum())
    return out, tokens


def embed(loaded: Loaded, request: EmbedRequest) -> EmbedResult:
    """Unit vectors in the order of the texts: the mean over the tokens, the first token's, or
    the greatest of each dimension, as ``1_Pooling/config.json`` says; without it the mean.

    A text is cut where the model's reading ends. ``units.input_tokens`` counts what was read.
    Raises UnsupportedOptionError when more ``dimensions`` are asked for than the model has.
    """
    import torch

    way = _pooling(loaded.folder)
    rows: Any = None
    tokens = 0
    for group, given in _batches(loaded, [(text, None) for text in request.texts]):
        with torch.inference_mode():
            states = loaded.model(**given).last_hidden_state.float()
        width = states.shape[-1]
        if (request.dimensions or width) > width:
            raise UnsupportedOptionError(
                f"{loaded.ref.name} has {width} dimensions, not {request.dimensions}.",
                hint=f"Ask for {width} or fewer.",
                param="dimensions",
            )
        rows = torch.empty(len(request.texts), width) if rows is None else rows
        rows[group] = pool(states, given["attention_mask"], way)
        tokens += int(given["attention_mask"].sum())
    rows = torch.nn.functional.normalize(rows[:, : request.dimensions or None], dim=-1)
    return EmbedResult(
        engine=loaded.ref.engine,
        model=loaded.ref.name,
        units=Units(input_tokens=tokens),
        vectors=Vectors(data=rows.numpy().astype("<f4").tobytes(), dimensions=rows.shape[1]),
    )


def pool(states: Any, mask: Any, way: Pooling) -> Any:
    """(batch, width) of states (batch, tokens, width) and their mask (batch, tokens)."""
    there = mask[..., None].bool()
    if way == "cls":
        first = mask.argmax(-1)
        return states[range(len(states)), first]
    if way == "max":
        return states.masked_fill(~there, float("-inf")).amax(1)
    return (states * there).sum(1) / there.sum(1).clamp(min=1)


def _pooling(folder: Path) -> Pooling:
    """What sentence-transformers wrote beside the model, where it did."""
    try:
        told = json.loads((folder / "1_Pooling" / "config.json").read_bytes())
    except (OSError, ValueError):
        return "mean"
    if told.get("pooling_mode_cls_token"):
        return "cls"
    return "max" if told.get("pooling_mode_max_tokens") else "mean"


def _batches(
    loaded: Loaded, texts: Sequence[tuple[str, str | None]]
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """(indices, what the model reads), the longest texts first."""
    import torch

    longest = _longest(loaded)
    order = sorted(range(len(texts)), key=lambda at: -len(texts[at][0]))
    for start in range(0, len(order), _TOGETHER):
        checkpoint()
        group = order[start : start + _TOGETHER]
        first = [texts[at][0] for at in group]
        second = [texts[at][1] or "" for at in group] if texts[0][1] is not None else None
        with loaded.lock:
            made = loaded.reader(
                first, second, padding=True, truncation=True, max_length=longest, verbose=False
            )
        yield group, {name: torch.tensor(values) for name, values in made.items()}


def _longest(loaded: Loaded) -> int:
    told = [loaded.reader.model_max_length]
    positions = getattr(loaded.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa's first positions stand for the padding.
        first = loaded.config.pad_token_id or 0
        told.append(positions - first - 1 if "roberta" in loaded.config.model_type else positions)
    return min(*told, _NO_LIMIT)


def _labels(config: Any) -> tuple[str, ...]:
    return tuple(config.id2label[number] for number in range(config.num_labels))
