"""Which files of a repository or folder a model needs. Pure: names in, names out.

Weights are taken once, in the best form there is: safetensors, or a folder that CTranslate2
reads as it is; the same weights for TensorFlow, Flax and ONNX are left out unless asked for.
A pickle (``*.bin``, ``*.pt``) is taken only by the caller's leave, because to load one is to
run what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from ogam.errors import InvalidRequestError

# What is taken beside the weights: settings, tokenizers, the card, the licence.
_BESIDE = (
    "config.json",
    "config_*.json",
    "*_config.json",
    "modules.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.*",
    "normalizer.json",
    "vocab.*",
    "vocabulary.*",
    "*_vocabulary.*",
    "merges.txt",
    "*.spm",
    "*.bpe.model",
    "spiece.model",
    "*.tiktoken",
    "README.md",
    "LICENSE*",
    "LICENCE*",
    "COPYING*",
    "NOTICE*",
)
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_ELSEWHERE = {
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".tflite": "TensorFlow Lite",
}
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLED = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")


def choose(
    names: Iterable[str], *, include: Sequence[str] = (), trust_pickle: bool = False
) -> list[str]:
    """The names to take, sorted. ``include`` are patterns (``onnx/*``) of files to take too.

    Raises InvalidRequestError where a name leads out of its folder, where there is no model,
    or where its weights are in a form that is not taken.
    """
    there = sorted(set(names))
    for name in there:
        check_inside(name)
    if "config.json" not in there:
        raise InvalidRequestError(
            "it is no model: it has no config.json.",
            hint="Name a model's repository, or the folder that holds its config.json.",
        )
    taken = {name for name in there if any(fnmatchcase(name, one) for one in _BESIDE)}
    taken = {name for name in taken if "/" not in name}
    taken |= _sentence_parts(there)
    asked = {name for name in there if any(fnmatchcase(name, one) for one in include)}
    weights = _weights(there, trust_pickle) or [name for name in asked if name not in taken]
    if not weights:
        raise _without_weights(there)
    return sorted({*taken, *asked, *weights})


def check_inside(name: str) -> None:
    """Raise InvalidRequestError unless ``name`` is a plain relative path, such as ``a/b.json``."""
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(mark in name for mark in '\\:\0\n\r<>|"?*')
        or len(name) > 240
    ):
        raise InvalidRequestError(
            f"it names a file that would lie outside its folder or has no usable name: {name!r}.",
            hint="Do not use this model.",
        )


def is_ctranslate2(names: Iterable[str]) -> bool:
    """Whether these are the files of a model that CTranslate2 reads as it is."""
    there = set(names)
    words = any(re.fullmatch(r"(shared_|source_)?vocabulary\.(json|txt)", one) for one in there)
    return "model.bin" in there and words


def _weights(there: list[str], trust_pickle: bool) -> list[str]:
    if is_ctranslate2(there):
        return ["model.bin"]
    index = "model.safetensors.index.json"
    if "model.safetensors" in there:
        return ["model.safetensors"]
    if index in there:
        return [index, *(name for name in there if _SHARD.fullmatch(name))]
    tensors = [name for name in there if "/" not in name and name.endswith(".safetensors")]
    if tensors or not trust_pickle:
        return tensors
    pickles = [name for name in there if _PICKLED.fullmatch(name)]
    if "pytorch_model.bin" in pickles:
        return ["pytorch_model.bin"]
    return [name for name in (*pickles, "pytorch_model.bin.index.json") if name in there]


def _sentence_parts(there: list[str]) -> set[str]:
    """What sentence-transformers keeps in folders: ``1_Pooling/config.json``."""
    if "modules.json" not in there:
        return set()
    return {
        name
        for name in there
        if re.fullmatch(r"\d+_\w+/(config\.json|model\.safetensors)", name) is not None
    }


def _without_weights(there: list[str]) -> InvalidRequestError:
    pickled = [name for name in there if "/" not in name and name.endswith(PICKLES)]
    if pickled:
        return InvalidRequestError(
            f"its weights are a Python pickle ({pickled[0]}), which can run any code when loaded.",
            hint="Find a copy in safetensors, or take the risk: --trust-pickle.",
        )
    for ending, kind in _ELSEWHERE.items():
        found = next((name for name in there if name.endswith(ending)), None)
        if found:
            return InvalidRequestError(
                f"its weights are for {kind} only ({found}), not in safetensors.",
                hint=f"Take that file as it is with --include '{found}', or find another copy.",
            )
    return InvalidRequestError(
        "it has a config.json and no weights.",
        hint="A model needs model.safetensors beside its config.json.",
    )
