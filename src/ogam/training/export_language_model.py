"""A trained language model to the folder an engine serves.

``model.json`` (the manifest), ``CARD.md`` (what it was trained on, how well it foretells
text), ``tokenizer.json``, CTranslate2's ``model.bin``, ``config.json`` and
``vocabulary.json``; and in ``hf/`` the same weights in transformers' format, float32
safetensors.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogam.errors import OutputError
from ogam.extras import needs
from ogam.models.store import MANIFEST
from ogam.training.language_model_data import END

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ogam.training.language_model import Score, Settings


FROM_NOTHING = "Trained from nothing by `ogam train language-model`"


def export(
    folder: Path,
    model: Any,
    tokenizer: Tokenizer,
    settings: Settings,
    score: Score,
    *,
    made: str = FROM_NOTHING,
) -> None:
    """Write ``folder``, in place of one that is there; whole or not at all.

    ``made`` says on the card how the model came to be.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary, model, tokenizer, settings.quantization)
        (temporary / "CARD.md").write_text(_card(model, settings, score, made), encoding="utf-8")
        manifest = _manifest(temporary, folder.resolve().parent.name, model, settings, score)
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(
            f"The model {folder} cannot be written: {error.strerror or error}.",
            hint="Free some space, then go on with --resume.",
        ) from None


def write(folder: Path, model: Any, tokenizer: Tokenizer, quantization: str) -> None:
    """The weights in both formats, and the tokenizer, into a folder that exists.

    The same bytes each time.
    """
    _save(folder / "hf", model, tokenizer)
    convert(folder / "hf", folder, quantization)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")


def convert(source: Path, target: Path, quantization: str) -> None:
    """A folder in transformers' format to CTranslate2's, in ``target``."""
    with needs("train"), _quiet():
        from ctranslate2.converters import TransformersConverter
    with _quiet():
        inner = target / ".converted"
        converter: Any = TransformersConverter(str(source))
        converter.convert(str(inner), quantization=quantization, force=True)
    for path in inner.iterdir():
        path.replace(target / path.name)
    inner.rmdir()


def _save(target: Path, model: Any, tokenizer: Tokenizer) -> None:
    with needs("train"):
        from transformers import PreTrainedTokenizerFast
    special: dict[str, str] = {"bos_token": END, "eos_token": END, "unk_token": END}
    with _quiet():
        model.config.use_cache = True
        model.cpu().save_pretrained(target)
        wrapped: Any = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, model_max_length=model.config.n_positions, **special
        )
        wrapped.save_pretrained(target)


class _quiet:  # noqa: N801
    """Without transformers' progress bars and advice."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._level = logging.get_verbosity()
        self._bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        self._warnings.__exit__(None, None, None)
        logging.set_verbosity(self._level)
        if self._bars:
            logging.enable_progress_bar()


def _manifest(
    folder: Path, name: str, model: Any, settings: Settings, score: Score
) -> dict[str, Any]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "name": name,
        "engine": "ctranslate2_generator",
        "capabilities": ["generate"],
        "files": {path.relative_to(folder).as_posix(): _sha256(path) for path in paths},
        "licence": "as the text it was trained on",
        "source": ", ".join(Path(path).name for path in settings.files[:5])
        + (f" and {len(settings.files) - 5} more files" if len(settings.files) > 5 else ""),
        "summary": f"A base language model of {model.num_parameters():,} parameters; "
        f"{score.bits_per_byte:.3f} bits a byte on held-out text.",
        "instructed": False,
        "context": settings.context,
        "end": END,
        # A base model knows no roles: a conversation is read as its texts, a line each.
        "template": {
            "system": "{content}\n",
            "user": "{content}\n",
            "assistant": "{content}\n",
            "answer": "",
        },
        "quantization": settings.quantization,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
    }


def _card(model: Any, settings: Settings, score: Score, made: str) -> str:
    return f"""# A language model of GPT-2's architecture

{model.num_parameters():,} parameters: d_model {settings.d_model}, {settings.layers} layers,
{settings.heads} heads, a context of {settings.context} tokens, {model.config.vocab_size:,} tokens.

{made}, {settings.steps:,} steps of
{settings.batch * settings.accumulate} blocks, on {len(settings.files)} files.

On {"its validation files" if settings.valid else "text held out of them"}
({score.bytes:,} bytes, {score.tokens:,} tokens): {score.bits_per_byte:.4f} bits a byte,
perplexity {score.perplexity:.2f} a token.

It continues text. It was not taught to follow instructions, and what it writes is not true
because it says so.
"""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
