"""A folder in transformers' format: what it can do, and its model and tokenizer in memory.

Knows no request. What is loaded is read by many threads and changed by none.
"""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ogam.capabilities.base import Capability, ModelRef, Value
from ogam.capabilities.vision import Feature
from ogam.engines._shared import cores
from ogam.errors import (
    ConfigurationError,
    EngineError,
    NotConfiguredError,
    OgamError,
    UnsupportedOptionError,
)
from ogam.extras import needs


class Kind(Value, frozen=True, kw_only=True):
    """Models whose architecture's name ends so, and whose type is one of ``types`` if any are.

    ``auto`` is the class of transformers that loads them, ``reader`` the one that prepares
    what they read.
    """

    ending: str
    capabilities: frozenset[Capability]
    auto: str
    types: tuple[str, ...] = ()
    reader: str = "AutoTokenizer"
    features: tuple[Feature, ...] = ()


def _kind(ending: str, capabilities: set[Capability], auto: str, *types: str, **more: Any) -> Kind:
    return Kind(ending=ending, capabilities=frozenset(capabilities), auto=auto, types=types, **more)


_SEQ2SEQ = "AutoModelForSeq2SeqLM"
# The first that fits.
KINDS: tuple[Kind, ...] = (
    _kind("ForSequenceClassification", {"classify"}, "AutoModelForSequenceClassification"),
    _kind(
        "ForConditionalGeneration",
        {"transcribe"},
        "AutoModelForSpeechSeq2Seq",
        "whisper",
        reader="AutoProcessor",
    ),
    _kind("ForConditionalGeneration", {"translate"}, _SEQ2SEQ, "m2m_100", "nllb-moe"),
    _kind("ForConditionalGeneration", {"generate", "translate"}, _SEQ2SEQ, "t5", "mbart"),
    _kind(
        "ForConditionalGeneration",
        {"generate"},
        _SEQ2SEQ,
        *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "led", "longt5", "mt5"),
        *("mvp", "pegasus", "pegasus_x", "plbart", "prophetnet", "switch_transformers", "umt5"),
    ),
    _kind("MTModel", {"translate"}, _SEQ2SEQ, "marian"),
    _kind("ForCausalLM", {"generate"}, "AutoModelForCausalLM"),
    _kind("LMHeadModel", {"generate"}, "AutoModelForCausalLM"),
    _kind("ForCTC", {"transcribe"}, "AutoModelForCTC", reader="AutoProcessor"),
    _kind(
        "ForObjectDetection",
        {"see"},
        "AutoModelForObjectDetection",
        reader="AutoImageProcessor",
        features=("objects",),
    ),
    _kind(
        "ForImageClassification",
        {"see"},
        "AutoModelForImageClassification",
        reader="AutoImageProcessor",
        features=("labels",),
    ),
    _kind("ForMaskedLM", {"embed"}, "AutoModel"),
    _kind(
        "Model",
        {"embed"},
        "AutoModel",
        *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra"),
        *("ernie", "mobilebert", "modernbert", "mpnet", "nomic_bert", "roberta", "roformer"),
        *("xlm", "xlm-roberta", "xlm-roberta-xl"),
    ),
)


class Loaded:
    """A model in memory, its reader (tokenizer or processor), and threads for its work.

    ``lock`` guards what a tokenizer keeps between calls: its languages, padding and cutting.
    """

    def __init__(self, ref: ModelRef, folder: Path, kind: Kind, model: Any, reader: Any) -> None:
        self.ref, self.folder, self.kind = ref, folder, kind
        self.model, self.reader = model, reader
        self.config: Any = model.config
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(cores(), thread_name_prefix="ogam-transformers")

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def kind(folder: Path | None) -> Kind | None:
    """What a folder holds, by its config; None where there is none or it says nothing."""
    try:
        return None if folder is None else _found(_config(folder))
    except OgamError:
        return None


def load(ref: ModelRef, capability: Capability) -> Loaded:
    """The model in ``ref.folder``, ready for ``capability``.

    Raises NotConfiguredError without a folder, ConfigurationError for one that is damaged or
    incomplete, has no safetensors or is of a kind that is not served, UnsupportedOptionError for
    a capability that it has not, and what the head check says of one that was never trained.
    """
    if ref.folder is None or not ref.folder.is_dir():
        raise NotConfiguredError(
            f"The model {ref.name!r} is not on this machine.",
            hint=f"Name a folder in transformers' format: {ref.engine}/./FOLDER.",
        )
    folder = ref.folder
    config = _config(folder)
    found = _found(config)
    if found is None:
        name = _architecture(config) or "model of no known kind"
        raise ConfigurationError(
            f"{folder} holds a {name}, which this engine does not serve.",
            hint="It serves language models, translators, classifiers, encoders, recognisers of "
            "speech, objects and pictures.",
        )
    if capability not in found.capabilities:
        raise UnsupportedOptionError(
            f"{ref.name!r} cannot {capability}.",
            hint=f"It can {', '.join(sorted(found.capabilities))}.",
            param="model",
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigurationError(
            f"{folder} has no *.safetensors.",
            hint="Weights in a pickle (*.bin, *.pt) can run code of their maker's and are not "
            "loaded; get the model in safetensors.",
        )
    with needs("transformers"):
        import safetensors
        import torch
        import transformers
    from ogam.models.head_check import check

    _ = safetensors
    check(folder, capability)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    library: Any = transformers
    with quiet():
        try:
            reader = getattr(library, found.reader).from_pretrained(str(folder), **local)
            model = getattr(library, found.auto).from_pretrained(
                str(folder), use_safetensors=True, dtype=torch.float32, **local
            )
        except Exception as error:  # its loaders raise whatever their libraries raise
            raise ConfigurationError(
                f"The model in {folder} does not load: {type(error).__name__}: {error}",
                hint="Is the folder whole? Get it again.",
            ) from error
    return Loaded(ref, folder, found, model.eval(), reader)


@contextmanager
def failures() -> Generator[None]:
    """What transformers and torch raise while a model works, as an EngineError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise EngineError(f"The model failed: {type(e).__name__}: {e}") from e


@contextmanager
def quiet() -> Generator[None]:
    """Without transformers' progress bars and advice, for the whole process: it has one switch."""
    from transformers.utils import logging

    logging.set_verbosity(50)  # what goes wrong comes as an exception
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("it is not an object")
        return config
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no model: config.json is missing.",
            hint="Name a folder in transformers' format.",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is not a model's configuration: {error}.", hint="Get the model again."
        ) from None


def _found(config: dict[str, Any]) -> Kind | None:
    name = _architecture(config)
    model_type = config.get("model_type")
    for one in KINDS:
        if name.endswith(one.ending) and (not one.types or model_type in one.types):
            return one
    return None


def _architecture(config: dict[str, Any]) -> str:
    names = config.get("architectures")
    return str(cast("Any", names)[0]) if isinstance(names, list) and names else ""
