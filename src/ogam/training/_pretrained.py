"""Pre-trained encoders from a folder: found, checked, loaded; nothing is downloaded.

Only safetensors weights are read: a pickle can run any code.
"""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogam.errors import InvalidRequestError
from ogam.extras import needs
from ogam.models.checkpoint import plainly


def find(model: str | os.PathLike[str]) -> Path:
    """The folder of an encoder: ``model`` itself, or a hub name that is in the hub's cache.

    Raises InvalidRequestError where it is neither, holds no config.json, or has no weights
    in safetensors.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _cached(os.fspath(model))
    if not (folder / "config.json").is_file():
        raise InvalidRequestError(
            f"{folder} is no model: config.json is missing.",
            hint="Give a folder with config.json, tokenizer.json and *.safetensors.",
            param="model",
        )
    if not weights(folder):
        pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
        if pickles:
            raise InvalidRequestError(
                f"{folder} has its weights in a pickle ({pickles[0].name}), which can run any "
                "code and is not read.",
                hint="Save it as safetensors first: model.save_pretrained(FOLDER).",
                param="model",
            )
        raise InvalidRequestError(
            f"{folder} holds no weights: there is no *.safetensors.",
            hint="Give a folder with config.json, tokenizer.json and *.safetensors.",
            param="model",
        )
    return folder


def weights(folder: Path) -> list[Path]:
    """The files of weights of a model, sorted."""
    return sorted(folder.glob("*.safetensors"))


def sha256(paths: Sequence[Path]) -> str:
    """One hash over the contents of several files."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def tokenizer(folder: Path, max_tokens: int) -> tuple[Any, bool]:
    """The model's tokenizer (tokenizers.Tokenizer), cutting at ``max_tokens`` and not padding.

    And whether the model is told by type ids which of two texts a token is of.
    """
    with needs("train"):
        from transformers import AutoTokenizer
    with plainly(f"The tokenizer in {folder} does not load"):
        whole: Any = AutoTokenizer.from_pretrained(folder, use_fast=True, local_files_only=True)
        # A copy: transformers changes its own one's settings at every call.
        own = type(whole.backend_tokenizer).from_str(whole.backend_tokenizer.to_str())
        own.no_padding()
        own.enable_truncation(max_tokens)
        return own, "token_type_ids" in whole.model_input_names


def classifier(folder: Path, labels: Sequence[str], pooling: str = "own") -> Any:
    """The encoder with a head for ``labels``, fresh where the folder has none that fits.

    With the ``pooling`` "mean" the head is over the mean of all tokens, and always fresh.
    """
    with needs("train"):
        from transformers import AutoModel, AutoModelForSequenceClassification
    kind: Any = AutoModel if pooling == "mean" else AutoModelForSequenceClassification
    with plainly(f"The model in {folder} does not load"):
        network = kind.from_pretrained(
            folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype="float32",
        )
    return _mean_pooled(network) if pooling == "mean" else network


def freeze_embeddings(network: Any) -> None:
    """Let a network's embeddings stay as they are, of words, positions and types.

    Raises InvalidRequestError where no part of it is called so.
    """
    parts = [part for name, part in network.named_modules() if name.endswith("embeddings")]
    if not parts:
        raise InvalidRequestError(
            f"{type(network).__name__} calls no part of itself embeddings.",
            hint="Let all of it learn.",
            param="freeze_embeddings",
        )
    for part in parts:
        part.requires_grad_(requires_grad=False)


def trained_classifier(folder: Path) -> Any:
    """A classifier as it was saved, its head too.

    Raises InvalidRequestError where the folder has no weights for the head: a fresh one would
    answer at random.
    """
    with needs("train"):
        from transformers import AutoModelForSequenceClassification
    with plainly(f"The model in {folder} does not load"):
        network, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype="float32",
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidRequestError(
            f"{folder} is no trained classifier: it has no weights for {missing[0]}.",
            hint="Fine-tune it first: ogam train classifier DATA --model FOLDER --out RUN.",
            param="teacher",
        )
    return network


def configuration(folder: Path) -> Any:
    """What ``config.json`` in a folder says."""
    with needs("train"):
        from transformers import AutoConfig
    with plainly(f"The configuration in {folder} does not load"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def untrained_classifier(config: Any) -> Any:
    """A classifier of that configuration, its weights drawn at random."""
    with needs("train"):
        from transformers import AutoModel, AutoModelForSequenceClassification
    pooled = getattr(config, "head_pooling", "own") == "mean"
    with plainly(f"The model in {config.name_or_path or '.'} does not load"):
        if pooled:
            return _mean_pooled(AutoModel.from_config(config, dtype="float32"))
        return AutoModelForSequenceClassification.from_config(config, dtype="float32")


def _mean_pooled(encoder: Any) -> Any:
    from ogam.training._mean_pooled import MeanPooledClassifier

    return MeanPooledClassifier(encoder)


def _cached(name: str) -> Path:
    with needs("train"):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # not a hub name, or not in the cache: several kinds of error
        raise InvalidRequestError(
            f"There is no folder {name!r}, and no model of that name in the hub's cache.",
            hint="Give a folder with config.json, tokenizer.json and *.safetensors.",
            param="model",
        ) from None
