"""classify with a fine-tuned sequence classifier in ONNX, by the labels it was trained for.

A model is a folder: ``model.json`` (the manifest, with ``labels`` and ``max_tokens``),
``tokenizer.json``, and one graph that takes ``input_ids``, ``attention_mask`` and perhaps
``token_type_ids``, each (batch, tokens), and gives ``logits`` (batch, labels). Knows nothing
about how that folder was made, and downloads nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.classification import (
    Classification,
    ClassifyRequest,
    ClassifyResult,
    LabelScore,
)
from ogam.engines._shared import check_whole, cores, model_folder, onnx_session, run_groups
from ogam.errors import (
    ConfigurationError,
    EngineError,
    InvalidRequestError,
    UnsupportedOptionError,
)
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

    Matrix = NDArray[np.float32]

# Tokens in one batch, padding included; a longer text is a batch of its own.
BATCH_TOKENS = 512


class OnnxClassifierEngine:
    """Serves the classifier in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"classify"})
    requires: ClassVar[tuple[str, ...]] = ("numpy", "onnxruntime", "tokenizers")
    extra: ClassVar[str] = "local"
    joins: ClassVar[bool] = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """Label every text with the model's own labels, or the best of those asked for.

        The scores of one text share 1.0, also among a part of the labels. A text is cut after
        the manifest's ``max_tokens``; ``units.input_tokens`` counts what was read. A model of
        pairs takes the two texts as one with a tab between them. Raises
        UnsupportedOptionError for labels that are not the model's own, and for
        ``multi_label`` where the model was not trained for it.
        """
        model = self._load()
        own = model.manifest.labels
        wanted = request.labels or own
        strange = [label for label in wanted if label not in own]
        if strange:
            raise UnsupportedOptionError(
                f"{self._ref.name} has no label {strange[0]!r}.",
                hint=f"Its labels are {_told(own)}. For labels of your own use an encoder, such "
                "as starter/all-MiniLM-L6-v2.",
                param="labels",
            )
        if request.multi_label and not model.manifest.multi_label:
            raise UnsupportedOptionError(
                f"{self._ref.name} was trained to choose one label, not to score each by itself.",
                hint="Leave multi_label out.",
                param="multi_label",
            )
        logits, tokens = model.run(request.texts)
        part = logits[:, [own.index(label) for label in wanted]]
        scores = _independent(part) if request.multi_label else _shared(part)
        return ClassifyResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=sum(tokens)),
            classifications=tuple(_ranked(wanted, row) for row in scores.tolist()),
            tokens=tuple(tokens),
        )

    def load(self) -> None:
        """Load the model now."""
        self._load()

    def close(self) -> None:
        """Let go of the model and its threads."""
        with self._lock:
            model, self._model = self._model, None
        if model is not None:
            model.close()

    def _load(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _Model(model_folder(self._ref))
            return self._model


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What this engine reads of ``model.json``."""

    labels: tuple[str, ...]
    max_tokens: int
    files: dict[str, str]
    graph: str = "model.onnx"
    padding: int = 0
    multi_label: bool = False
    pairs: bool = False


class _Model:
    """A loaded classifier: texts in, logits out."""

    def __init__(self, folder: Path) -> None:
        with needs("local"):
            import onnxruntime
            from tokenizers import Tokenizer
        self.manifest = manifest = _read(folder)
        runtime: Any = onnxruntime
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(manifest.max_tokens)  # pyright: ignore[reportUnknownMemberType]
            session = onnx_session(runtime, folder / manifest.graph)
            width = session.get_outputs()[0].shape[-1]
            self._inputs = {one.name for one in session.get_inputs()}
        except Exception as error:  # the libraries raise bare Exception for a damaged file
            raise ConfigurationError(
                f"The model in {folder} does not load: {error}", hint="Install it again."
            ) from error
        if isinstance(width, int) and width != len(manifest.labels):
            raise ConfigurationError(
                f"The model in {folder} names {len(manifest.labels)} labels and scores {width}.",
                hint="Export or install it again.",
            )
        self._session: Any = session
        self._threads = min(cores(), 8)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ogam-classifier")

    def run(self, texts: Sequence[str]) -> tuple[Matrix, list[int]]:
        """Logits (texts, labels) in the order of the texts, and the tokens of each."""
        import numpy as np

        encodings: list[Encoding] = []
        for text in texts:
            checkpoint()
            # One by one, not encode_batch: its threads print a warning when a process forks.
            encodings.append(self._tokenizer.encode(*self._parts(text)))
        lengths = [len(one.ids) for one in encodings]
        out = np.empty((len(texts), len(self.manifest.labels)), np.float32)

        def run(group: list[int]) -> None:
            out[group] = self._run([encodings[index] for index in group])

        run_groups(self._pool, batches(lengths, self._threads), run)
        return out, lengths

    def _parts(self, text: str) -> tuple[str, str | None]:
        """The text, or the two that a model of pairs reads."""
        if not self.manifest.pairs:
            return text, None
        first, _, second = text.partition("\t")
        if not first.strip() or not second.strip() or "\t" in second:
            raise InvalidRequestError(
                "This model reads pairs of texts.",
                hint="Write the two as one, with a tab between them.",
                param="texts",
            )
        return first, second

    def _run(self, group: list[Encoding]) -> Matrix:
        import numpy as np

        longest = max(len(one.ids) for one in group)
        ids = np.full((len(group), longest), self.manifest.padding, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, one in enumerate(group):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
            types[row, : len(one.ids)] = one.type_ids
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        try:
            return self._session.run(
                ["logits"], {name: given[name] for name in given if name in self._inputs}
            )[0]
        except Exception as error:  # onnxruntime's own errors share no base but Exception
            raise EngineError(f"The classifier failed: {error}") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def batches(lengths: Sequence[int], workers: int = 1) -> list[list[int]]:
    """Indices of ``lengths``, the longest first, in batches of at most 512 tokens with padding.

    Smaller ones where that gives every worker a part.
    """
    room = min(BATCH_TOKENS, max(64, -(-sum(lengths) // workers)))
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not groups or longest * (len(groups[-1]) + 1) > room:
            groups.append([])
            longest = lengths[index]
        groups[-1].append(index)
    return groups


def _read(folder: Path) -> _Manifest:
    """``model.json``, after every file it names was found."""
    path = folder / "model.json"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no model: model.json is missing.", hint="Install the model again."
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"{path} is not a classifier's manifest: {error}.",
            hint="Is it a model of another engine?",
        ) from error
    check_whole(folder, (*manifest.files, "tokenizer.json", manifest.graph))
    return manifest


def _shared(logits: Matrix) -> NDArray[np.float64]:
    import numpy as np

    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _independent(logits: Matrix) -> NDArray[np.float64]:
    import numpy as np

    # tanh, as exp overflows for a logit below -700.
    return 0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))


def _told(labels: Sequence[str]) -> str:
    return ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")


def _ranked(labels: Sequence[str], scores: Sequence[float]) -> Classification:
    pairs = sorted(zip(labels, scores, strict=True), key=lambda pair: -pair[1])
    return Classification(
        scores=tuple(LabelScore(label=label, score=score) for label, score in pairs)
    )
