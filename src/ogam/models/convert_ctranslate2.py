"""Causal language models, translators and Whisper, from transformers' format to CTranslate2's.

Each function fills an empty folder with the model's files and returns what its manifest says to
its engine. Knows no engine: what a manifest's fields mean stands where they are read.
"""

# transformers and CTranslate2's converters leave most of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ogam.errors import UnsupportedOptionError
from ogam.extras import needs
from ogam.models import checkpoint
from ogam.models.language_tags import tags

# By config.json's model_type. What the converter of CTranslate2 knows and its Generator runs as
# a plain writer of text; the newest kinds are left to transformers until they were tried.
GENERATORS = frozenset(
    ("bloom", "codegen", "falcon", "gemma", "gemma2", "gpt2", "qwen3")
) | frozenset(
    ("gpt_bigcode", "gpt_neox", "gptj", "llama", "mistral", "mpt", "opt", "phi", "phi3", "qwen2")
)
TRANSLATORS = frozenset(("m2m_100", "marian"))
WHISPER = "whisper"
# A sentence with its translation is seldom longer; positions end at twice this.
_SENTENCE_TOKENS = 256
_DEFAULT_CONTEXT = 2048
_TOKENIZER = "tokenizer.json"


def generator(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:
    """A causal language model; ``context`` in tokens and the ``end`` token are told."""
    _convert(source, target, quantize)
    config = checkpoint.read_json(source / "config.json")
    tokenizer = _tokenizer(source)
    end = _end(source, config, tokenizer)
    # A model without one of these (Qwen has no mark of a beginning) would not load.
    own = checkpoint.read_json(target / "config.json")
    _amend(
        target / "config.json",
        **{one: end for one in own if one.endswith("_token") and not own[one]},
    )
    _save_tokenizer(source, target, tokenizer)
    lengths = ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length")
    context = next((config[one] for one in lengths if isinstance(config.get(one), int)), None)
    return {"context": context or _DEFAULT_CONTEXT, "end": end}


def translator(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:
    """Marian, M2M-100 or NLLB; its languages and how it is told of them."""
    _convert(source, target, quantize)
    config = checkpoint.read_json(source / "config.json")
    # The mark of a sentence's end is part of what these models read.
    _amend(target / "config.json", add_source_eos=True)
    positions = config.get("max_position_embeddings") or 2 * _SENTENCE_TOKENS
    about: dict[str, Any] = {
        "tokens": "sentencepiece",
        "max_tokens": min(_SENTENCE_TOKENS, positions // 2),
    }
    if config["model_type"] == "marian":
        _copy(source, target, ("source.spm", "target.spm"))
        about |= {"source_pieces": "source.spm", "target_pieces": "target.spm"}
        return about | _marian_languages(source)
    _copy(source, target, ("sentencepiece.bpe.model",), "spm.model")
    return about | _many_languages(source)


def whisper(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:
    """A Whisper model; all it says of itself is in its own files."""
    _convert(source, target, quantize)
    _save_tokenizer(source, target, _tokenizer(source))
    if (source / "preprocessor_config.json").is_file():
        _copy(source, target, ("preprocessor_config.json",))
    return {}


def is_made(folder: Path) -> bool:
    """Whether the folder holds a model in CTranslate2's format already."""
    return (folder / "model.bin").is_file() and any(folder.glob("*vocabulary.*"))


def made_for(folder: Path) -> str:
    """Which kind of model that is: WhisperSpec, TransformerSpec or TransformerDecoderSpec."""
    with (folder / "model.bin").open("rb") as file:
        # Its version in 4 bytes, then the kind: its length in 2 bytes, and a NUL at the end.
        head = file.read(64)
    length = int.from_bytes(head[4:6], "little")
    return head[6 : 6 + length].rstrip(b"\0").decode("ascii", "replace")


def _convert(source: Path, target: Path, quantize: str | None) -> None:
    with needs("train"):
        import transformers  # noqa: F401  # pyright: ignore[reportUnusedImport]
    with checkpoint.plainly(f"The model in {source} cannot be converted"):
        from ctranslate2.converters import TransformersConverter

        class Converter(TransformersConverter):
            def load_tokenizer(self, *given: Any, **options: Any) -> Any:
                tokenizer: Any = super().load_tokenizer(*given, **options)
                whole = _vocabulary(tokenizer)
                tokenizer.get_vocab = lambda: whole
                return tokenizer

        inner = target / ".converted"
        # Its own defaults are meant: weights of 16 bits stay so, and no code is run.
        converter: Any = Converter(str(source))
        converter.convert(str(inner), quantization=quantize, force=True)
    for path in inner.iterdir():
        path.replace(target / path.name)
    inner.rmdir()


def _tokenizer(source: Path) -> Any:
    with needs("train"):
        from transformers import AutoTokenizer
    with checkpoint.plainly(f"The tokenizer in {source} does not load"):
        return AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)


def _save_tokenizer(source: Path, target: Path, tokenizer: Any) -> None:
    if (source / _TOKENIZER).is_file():
        shutil.copyfile(source / _TOKENIZER, target / _TOKENIZER)
        return
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedOptionError(
            f"{source} has no {_TOKENIZER}, and none can be made of what it has.",
            hint="Save one with transformers: AutoTokenizer.from_pretrained(…).save_pretrained(…).",
        )
    (target / _TOKENIZER).write_text(backend.to_str(), encoding="utf-8")


def _end(source: Path, config: dict[str, Any], tokenizer: Any) -> str:
    ends = config.get("eos_token_id")
    first = ends[0] if isinstance(ends, list) and ends else ends
    token = tokenizer.eos_token
    if isinstance(first, int) and token is None:
        token = tokenizer.convert_ids_to_tokens(first)
    if not isinstance(token, str):
        raise UnsupportedOptionError(
            f"{source} names no token that ends a text.",
            hint="Its maker should have set eos_token in tokenizer_config.json.",
        )
    return token


def _marian_languages(source: Path) -> dict[str, Any]:
    """A pair; or from one to those that its vocabulary has a token ``>>xxx<<`` for."""
    settings = checkpoint.read_json(source / "tokenizer_config.json")
    start, stop = settings.get("source_lang"), settings.get("target_lang")
    if not isinstance(start, str) or not isinstance(stop, str):
        raise UnsupportedOptionError(
            f"{source}/tokenizer_config.json does not say which languages the model knows.",
            hint="Add source_lang and target_lang to it, such as en and de.",
        )
    words = checkpoint.read_json(source / "vocab.json")
    named = tags(found[1] for word in words if (found := re.fullmatch(r">>(\w+)<<", word)))
    # A group of languages ("roa") may stand on the source's side: then the tag is the group's.
    (start,) = tags([start])
    if not named:
        (stop,) = tags([stop])
        return {"languages": [[start, stop]]}
    return {
        "languages": [[start, tag] for tag in named],
        "target_tokens": {tag: f">>{code}<<" for tag, code in named.items()},
    }


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """All tokens; since transformers 5 the vocabulary of M2M-100 lists no languages."""
    return tokenizer.get_vocab() | getattr(tokenizer, "lang_token_to_id", {})


def _many_languages(source: Path) -> dict[str, Any]:
    """Any two of the languages that have a token, ``__de__`` or ``deu_Latn``."""
    words = _vocabulary(_tokenizer(source))
    form = re.compile(r"__[a-z]{2,3}__|[a-z]{3}_[A-Z][a-z]{3}")
    tokens = sorted((one for one in words if form.fullmatch(one)), key=words.__getitem__)
    if len(tokens) < 2:
        raise UnsupportedOptionError(
            f"The tokenizer in {source} names no languages.", hint="Is the folder whole?"
        )
    by_code = {one.strip("_"): one for one in tokens}
    named = {tag: by_code[code] for tag, code in tags(by_code).items()}
    return {"between": list(named), "source_tokens": named, "target_prefixes": named}


def _copy(source: Path, target: Path, names: Iterable[str], name: str | None = None) -> None:
    for one in names:
        if not (source / one).is_file():
            raise UnsupportedOptionError(
                f"{source} has no {one}.", hint="Pull it again, or copy the whole folder."
            )
        shutil.copyfile(source / one, target / (name or one))


def _amend(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**checkpoint.read_json(path), **fields}, indent=2) + "\n")
