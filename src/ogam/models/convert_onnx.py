"""Encoders and sequence classifiers, from transformers' format to ONNX graphs.

Each function fills an empty folder with the model's files and returns what its manifest says to
its engine. An encoder's graph does all of its work: the pooling and the unit length too.
"""

# torch and transformers leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogam.errors import UnsupportedOptionError
from ogam.extras import needs
from ogam.models import checkpoint, onnx_int8

if TYPE_CHECKING:
    from torch import Tensor

# By config.json's model_type; each was tried. Of RoBERTa's kin, the first position is 2.
ENCODERS = frozenset(
    ("albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
)
_SHIFTED = frozenset(("camembert", "mpnet", "roberta", "xlm-roberta"))
_LONGEST = 512
GRAPH = "model.onnx"


def encoder(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:
    """A BERT-type encoder; ``dimensions``, ``max_tokens`` and the ``pooling`` are told.

    The graph takes ``ids`` (batch, tokens) and ``lengths`` (batch), and gives unit ``vectors``
    (batch, dimensions): the mean of a text's own rows, its first row or its rows' maximum, as
    ``modules.json`` and ``1_Pooling/config.json`` say; the mean where there are none.
    """
    with needs("train"):
        import torch
        from torch.nn import functional
        from transformers import AutoModel
    pooling = _pooling(source)
    with checkpoint.plainly(f"The model in {source} does not load"):
        network: Any = AutoModel.from_pretrained(
            source,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="eager",  # fused attention chooses its way by the mask's values
        ).eval()

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            places = torch.arange(ids.shape[1], device=ids.device)
            mask = (places[None] < lengths[:, None]).to(torch.int64)
            rows = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
            own = mask[:, :, None].to(rows.dtype)
            if pooling == "cls":
                pooled = rows[:, 0]
            elif pooling == "max":
                pooled = (rows - 1e9 * (1 - own)).amax(1)
            else:
                pooled = (rows * own).sum(1) / own.sum(1)
            return functional.normalize(pooled, dim=1)

    ids = torch.full((2, 8), 5, dtype=torch.int64)
    lengths = torch.tensor([8, 5], dtype=torch.int32)
    _write(
        Vectors(),
        (ids, lengths),
        target / GRAPH,
        inputs={"ids": {0: "batch", 1: "tokens"}, "lengths": {0: "batch"}},
        output="vectors",
        what=f"{type(network).__name__} in {source}",
        quantize=quantize,
    )
    return {
        "dimensions": network.config.hidden_size,
        "max_tokens": _tokens(source, target, network.config),
        "pooling": pooling,
        "graphs": {"float" if quantize is None else quantize: GRAPH},
    }


def classifier(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:
    """A sequence classifier; its ``labels`` in the order of its outputs are told."""
    with needs("train"):
        import torch
        from transformers import AutoModelForSequenceClassification
    with checkpoint.plainly(f"The model in {source} does not load"):
        network: Any = AutoModelForSequenceClassification.from_pretrained(
            source,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="eager",
        ).eval()
    config = network.config
    labels = [config.id2label[number] for number in range(config.num_labels)]
    if len(labels) < 2:
        raise UnsupportedOptionError(
            f"{source} gives one number and no labels to choose among.",
            hint="Take a checkpoint with two labels or more.",
        )
    types = getattr(config, "type_vocab_size", 0) > 1

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor | None = None) -> Tensor:
            told = {} if kinds is None else {"token_type_ids": kinds}
            return self.network(input_ids=ids, attention_mask=mask, **told).logits

    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    ids = torch.full((2, 8), 5, dtype=torch.int64)
    given = {"input_ids": ids, "attention_mask": ids // 5, "token_type_ids": ids * 0}
    _write(
        Logits(),
        tuple(given[name] for name in names),
        target / GRAPH,
        inputs={name: {0: "batch", 1: "tokens"} for name in names},
        output="logits",
        what=f"{type(network).__name__} in {source}",
        quantize=quantize,
    )
    return {
        "labels": labels,
        "max_tokens": _tokens(source, target, config),
        "graph": GRAPH,
        "padding": config.pad_token_id or 0,
        "multi_label": config.problem_type == "multi_label_classification",
        # What follows from what is asked of two texts.
        "pairs": any(label.lower() == "entailment" for label in labels),
        "head": type(network).__name__,
    }


def _pooling(source: Path) -> str:
    """How a text's rows become one: mean, cls or max."""
    modules = source / "modules.json"
    place = source / "1_Pooling" / "config.json"
    if modules.is_file():
        kinds = [one for one in _list(modules) if "type" in one]
        strange = [
            one["type"].rpartition(".")[2]
            for one in kinds
            if not one["type"].endswith(("Transformer", ".Pooling", ".Normalize"))
        ]
        if strange:
            raise UnsupportedOptionError(
                f"{source} has a part that is not converted: {strange[0]}.",
                hint="Take an encoder of a transformer and a pooling alone.",
            )
        folders = [str(one.get("path")) for one in kinds if one["type"].endswith(".Pooling")]
        place = source / (folders[0] if folders else "1_Pooling") / "config.json"
    if not place.is_file():
        return "mean"
    told = checkpoint.read_json(place)
    mode = told.get("pooling_mode")
    old = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
    if mode is None:
        on = [one.removeprefix("pooling_mode_") for one, value in told.items() if value is True]
        mode = [old.get(one, one) for one in on if one != "include_prompt"]
    chosen: list[str] = [mode] if isinstance(mode, str) else list(mode)
    if len(chosen) != 1 or chosen[0] not in old.values():
        raise UnsupportedOptionError(
            f"{source} pools by {', '.join(map(str, chosen)) or 'nothing'}: not converted.",
            hint="The mean, the first row (cls) and the maximum are.",
        )
    return chosen[0]


def _tokens(source: Path, target: Path, config: Any) -> int:
    """Save the tokenizer, cutting where the model's positions or its maker's wish end: there."""
    with needs("train"):
        from transformers import AutoTokenizer
    with checkpoint.plainly(f"The tokenizer in {source} does not load"):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source, use_fast=True, local_files_only=True, trust_remote_code=False
        )
        own = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    positions = getattr(config, "max_position_embeddings", None) or _LONGEST
    limits = [positions - 2 if config.model_type in _SHIFTED else positions, _LONGEST]
    limits.append(tokenizer.model_max_length)
    wish = source / "sentence_bert_config.json"
    if wish.is_file():
        limits.append(checkpoint.read_json(wish).get("max_seq_length") or _LONGEST)
    longest = int(min(limits))
    own.no_padding()
    own.enable_truncation(longest)
    own.save(str(target / "tokenizer.json"), pretty=False)
    return longest


def _write(
    module: Any,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: dict[str, dict[int, str]],
    output: str,
    what: str,
    quantize: str | None,
) -> None:
    with needs("train"):
        import onnx  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import torch
    plain = path.with_name("float.onnx") if quantize else path
    with checkpoint.plainly(f"{what} cannot be written as ONNX"), torch.inference_mode():
        torch.onnx.export(
            module,
            example,
            str(plain),
            dynamo=False,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**inputs, output: {0: "batch"}},
            opset_version=17,
        )
        if quantize:
            onnx_int8.quantise(plain, path)
            plain.unlink()


def _list(path: Path) -> list[dict[str, Any]]:
    import json

    try:
        value = json.loads(path.read_bytes())
        return [one for one in value if isinstance(one, dict)]
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedOptionError(f"{path} cannot be read: {error}.") from None
