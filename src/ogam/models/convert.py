"""A checkpoint in transformers' format, once, to what the engine that serves it reads.

``config.json`` says which engine that is. Nothing of the checkpoint is run, no pickle is read,
and the head check stands before every conversion: what comes out answers, or is marked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ogam.errors import InvalidRequestError, OutputError, UnsupportedOptionError
from ogam.extras import needs
from ogam.media import files
from ogam.models import checkpoint, convert_ctranslate2, convert_onnx, head_check, store

QUANTIZATIONS = ("int8",)
# Which of the seven a class of transformers is for, tried in this order: what is more special
# first. Vectors come last, for nearly every model can be asked for them.
_ORDER = ("transcribe", "see", "speak", "classify", "translate", "generate", "embed")


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine serves the folder, and for what; the first is what its weights were made for.

    ``before`` and ``after`` are the bytes of all files of the checkpoint and of the model.
    ``untrained``: its head has no trained weights, and its answers are noise.
    """

    engine: str
    capabilities: tuple[str, ...]
    before: int = 0
    after: int = 0
    untrained: bool = False


class _Way(NamedTuple):
    engine: str
    capabilities: tuple[str, ...]
    make: Callable[[Path, Path, str | None], dict[str, Any]]


def convert(
    folder: Path,
    out: Path,
    *,
    capability: str | None = None,
    quantize: str | None = None,
    allow_untrained: bool = False,
) -> Converted:
    """Make of the checkpoint in ``folder`` a model in ``out``, whole or not at all.

    ``out`` must be empty or not there. Its ``model.json`` says all that the engine needs; the
    licence and the source are for the caller to add. ``capability`` chooses among what the
    checkpoint can do; without it ``architectures`` decides. ``quantize`` is None (the weights as
    they are) or "int8". Raises UntrainedHeadError and all that :func:`head_check.check` does,
    InvalidRequestError for an ``out`` with something in it, UnsupportedOptionError for what no
    engine serves, OutputError where the disk refuses.
    """
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise UnsupportedOptionError(
            f"There is no quantization {quantize!r}.",
            hint=f"There is {', '.join(QUANTIZATIONS)}; without one the weights stay as they are.",
            param="quantize",
        )
    way, untrained = _choose(folder, capability, allow_untrained)
    if quantize and way.make is _as_it_is:
        raise UnsupportedOptionError(
            f"{folder} is served as it is, by {way.engine}, which has no {quantize}.",
            hint="Leave the quantization out.",
            param="quantize",
        )
    temporary = out.with_name(f".{out.name}.new")
    try:
        if out.exists() and any(out.iterdir()):
            raise InvalidRequestError(
                f"{out} holds something already.", hint="Name a folder that is empty or not there."
            )
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        told = way.make(folder, temporary, quantize)
        if untrained:
            told["untrained"] = True
        _write_manifest(temporary, way, {"name": out.name, "source": folder.name, **told})
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise OutputError(
            f"{error.filename or out} cannot be written: {error.strerror or error}.",
            hint="Free some space, or choose another folder.",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Converted(
        engine=way.engine,
        capabilities=way.capabilities,
        before=_size(folder),
        after=_size(out),
        untrained=untrained,
    )


def _choose(folder: Path, capability: str | None, allow_untrained: bool) -> tuple[_Way, bool]:
    """How to convert, and whether its head was never trained."""
    if convert_ctranslate2.is_made(folder):
        kind = convert_ctranslate2.made_for(folder)
        if kind != "WhisperSpec" or capability not in (None, "transcribe"):
            raise UnsupportedOptionError(
                f"{folder} is in CTranslate2's format already ({kind}), which does not say its "
                "languages or its context.",
                hint="Take the checkpoint that it was made from.",
            )
        return _Way("whisper", ("transcribe",), _as_it_is), False
    config = checkpoint.read_json(folder / "config.json")
    task = capability or _purpose(folder, config)
    head_check.check(folder, task, allow_untrained=allow_untrained)
    untrained = allow_untrained and not head_check.report(folder, task).trained
    return _way(config, task), untrained


def _way(config: dict[str, Any], task: str) -> _Way:
    kind = str(config.get("model_type"))
    if task == "generate" and kind in convert_ctranslate2.GENERATORS:
        return _Way("ctranslate2_generator", ("generate",), convert_ctranslate2.generator)
    if task == "translate" and kind in convert_ctranslate2.TRANSLATORS:
        return _Way("ctranslate2_translator", ("translate",), convert_ctranslate2.translator)
    if task == "transcribe" and kind == convert_ctranslate2.WHISPER:
        return _Way("whisper", ("transcribe",), convert_ctranslate2.whisper)
    if task == "embed" and kind in convert_onnx.ENCODERS:
        return _Way("onnx_encoder", ("embed", "classify"), convert_onnx.encoder)
    if task == "classify" and kind in convert_onnx.ENCODERS:
        return _Way("onnx_classifier", ("classify",), convert_onnx.classifier)
    return _Way("transformers", (task,), _as_it_is)


def _purpose(folder: Path, config: dict[str, Any]) -> str:
    """What the checkpoint was trained for, by the class that it names."""
    if (folder / "modules.json").is_file():  # sentence-transformers
        return "embed"
    with needs("train"):
        from transformers.models.auto import modeling_auto
    names: list[str] = list(config.get("architectures") or ())
    tables: dict[str, set[str]] = {}
    for task in _ORDER:
        kinds = head_check.TASKS[task] + (("MASKED_LM", "PRETRAINING") if task == "embed" else ())
        found: set[str] = set()
        for kind in kinds:
            table = f"MODEL_FOR_{kind}_MAPPING_NAMES" if kind else "MODEL_MAPPING_NAMES"
            for one in getattr(modeling_auto, table, {}).values():
                found |= {one} if isinstance(one, str) else set(one)
        tables[task] = found
    # An encoder-decoder that no translator's engine runs is a writer: T5, BART.
    if config.get("model_type") not in convert_ctranslate2.TRANSLATORS:
        tables["translate"] = set()
    for task, known in tables.items():
        if any(name in known for name in names):
            return task
    raise UnsupportedOptionError(
        f"{folder} does not say what it is for: its config.json names "
        f"{', '.join(names) or 'no class'} under architectures.",
        hint=f"Name a capability: {', '.join(_ORDER)}.",
        param="capability",
    )


def _as_it_is(source: Path, target: Path, quantize: str | None) -> dict[str, Any]:  # noqa: ARG001
    """Every file but a pickle, a manifest and what is hidden."""
    made = convert_ctranslate2.is_made(source)
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        hidden = any(part.startswith(".") for part in name.parts)
        wanted = path.suffix not in checkpoint.PICKLES or (made and path.name == "model.bin")
        if path.is_file() and wanted and not hidden:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    (target / store.MANIFEST).unlink(missing_ok=True)
    return {}


def _write_manifest(folder: Path, way: _Way, told: dict[str, Any]) -> None:
    hashes = {
        path.relative_to(folder).as_posix(): store.sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    about = {
        "engine": way.engine,
        "capabilities": way.capabilities,
        "licence": "unknown",
        **told,
        "files": hashes,
    }
    encoded = msgspec.json.format(msgspec.json.encode(about), indent=1)
    files.write(folder / store.MANIFEST, encoded + b"\n")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
