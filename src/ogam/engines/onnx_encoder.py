"""embed, and zero-shot classify, with a BERT-type encoder in ONNX.

A model is a folder: ``model.json`` (the manifest), ``tokenizer.json``, and one or two ONNX
graphs that take ``ids`` (batch, tokens) and ``lengths`` (batch) and give unit ``vectors``
(batch, dimensions). Knows nothing about how that folder was made, and downloads nothing.

Speed comes from three things, measured by ``benchmarks/embedding.py``: batches of nearly
equal length that fit the cache, one single-threaded batch on each core instead of one
batch over all cores, and, where the CPU multiplies 8-bit tiles (AMX), the ``digits`` graph
in place of the ``float`` one.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.classification import (
    Classification,
    ClassifyRequest,
    ClassifyResult,
    LabelScore,
)
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.engines._shared import check_whole, cores, model_folder, onnx_session, run_groups
from ogam.errors import (
    ConfigurationError,
    EngineError,
    OgamError,
    UnsupportedOptionError,
)
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

    Matrix = NDArray[np.float32]

# Tokens in one batch, padding included. 256 to 512 ran alike (98 to 104 sentences a second of
# CPU time); 128 ran up to a sixth slower, 1024 an eighth.
BATCH_TOKENS = 384
# An estimate: what a batch of its own costs, reading the weights once more, in tokens.
PADDING_TOKENS = 32
# An estimate: below this a batch is not worth a second thread.
SHARE_TOKENS = 128
LABELS_KEPT = 1024
# None of seven other templates did better on topics (29 of 30 sentences, six labels);
# it gives 72% on the sentiment of SST-2's dev set with "bad" and "good".
TEMPLATE = "This text is about {label}."
# Log-loss is least at 0.01 on those topics and at 0.05 on SST-2; between the two.
TEMPERATURE = 0.03
# On the topics the right label's cosine is 0.23 on average, a wrong one's 0.03 (95% < 0.12).
MIDDLE = 0.15


class OnnxEncoderEngine:
    """Serves the encoder in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"embed", "classify"})
    requires: ClassVar[tuple[str, ...]] = ("numpy", "onnxruntime", "tokenizers")
    extra: ClassVar[str] = "local"
    joins: ClassVar[bool] = True
    zero_shot: ClassVar[bool] = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._encoder: _Encoder | None = None
        self._labels: OrderedDict[str, Matrix] = OrderedDict()

    def embed(self, request: EmbedRequest) -> EmbedResult:
        """Unit vectors in the order of the texts.

        A text is cut after the manifest's ``max_tokens``. ``units.input_tokens`` counts what
        the model read: without padding, with the two marks around each text. Raises
        UnsupportedOptionError when more ``dimensions`` are asked for than the model has.
        """
        encoder = self._load()
        wanted = request.dimensions or encoder.dimensions
        if wanted > encoder.dimensions:
            raise UnsupportedOptionError(
                f"{self._ref.name} has {encoder.dimensions} dimensions, not {wanted}.",
                hint=f"Ask for {encoder.dimensions} or fewer.",
                param="dimensions",
            )
        rows, tokens = encoder.encode(request.texts)
        if wanted < encoder.dimensions:
            rows = _unit(rows[:, :wanted])
        return EmbedResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=sum(tokens)),
            vectors=Vectors(data=rows.astype("<f4", copy=False).tobytes(), dimensions=wanted),
            tokens=tuple(tokens),
        )

    def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """Choose among the caller's labels by the cosine of text and label.

        The scores of one text share 1.0 (softmax of cosine / 0.03), or stand each for itself
        from 0 to 1 with ``multi_label`` (logistic, a half at a cosine of 0.15).
        ``units.input_tokens`` counts the texts. Raises UnsupportedOptionError without
        labels: an encoder has none of its own.
        """
        if not request.labels:
            raise UnsupportedOptionError(
                f"{self._ref.name} has no labels of its own.",
                hint="Give the labels to choose among: labels=('sport', 'politics').",
                param="labels",
            )
        encoder = self._load()
        labels = self._label_vectors(encoder, request.labels)
        rows, tokens = encoder.encode(request.texts)
        share = _independent if request.multi_label else _shared
        return ClassifyResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=sum(tokens)),
            classifications=tuple(
                _ranked(request.labels, share(cosines)) for cosines in (rows @ labels.T).tolist()
            ),
            tokens=tuple(tokens),
        )

    def close(self) -> None:
        """Let go of the model and its threads."""
        with self._lock:
            encoder, self._encoder = self._encoder, None
            self._labels.clear()
        if encoder is not None:
            encoder.close()

    def load(self) -> None:
        """Load the model now."""
        self._load()

    def _load(self) -> _Encoder:
        with self._lock:
            if self._encoder is None:
                self._encoder = _Encoder(model_folder(self._ref))
            return self._encoder

    def _label_vectors(self, encoder: _Encoder, labels: Sequence[str]) -> Matrix:
        """One row a label; the last 1,024 labels are remembered."""
        import numpy as np

        with self._lock:
            known = {label: self._labels[label] for label in labels if label in self._labels}
        missing = [label for label in labels if label not in known]
        if missing:
            rows, _ = encoder.encode([TEMPLATE.format(label=label) for label in missing])
            known.update(zip(missing, rows, strict=True))
        with self._lock:
            for label in labels:
                self._labels[label] = known[label]
                self._labels.move_to_end(label)
            while len(self._labels) > LABELS_KEPT:
                self._labels.popitem(last=False)
        return np.stack([known[label] for label in labels])


class _Encoder:
    """A loaded model: texts in, unit vectors out."""

    def __init__(self, folder: Path) -> None:
        with needs("local"):
            import onnxruntime
            from tokenizers import Tokenizer
        manifest = _manifest(folder)
        self.dimensions: int = manifest["dimensions"]
        self._threads = min(cores(), 8)
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(manifest["max_tokens"])  # pyright: ignore[reportUnknownMemberType]
            session = onnx_session(onnxruntime, folder / _graph(manifest["graphs"]))
            self._run_session: Any = session.run  # pyright: ignore[reportUnknownMemberType]
        except OgamError:
            raise
        except Exception as error:  # the libraries raise bare Exception for a damaged file
            raise ConfigurationError(
                f"The model in {folder} does not load: {error}", hint="Install it again."
            ) from error
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ogam-encoder")

    def encode(self, texts: Sequence[str]) -> tuple[Matrix, list[int]]:
        """Vectors (texts, dimensions) in the order of the texts, and the tokens of each."""
        import numpy as np

        encodings: list[Encoding] = []
        for text in texts:
            checkpoint()
            # One by one, not encode_batch: its threads print a warning when a process forks.
            encodings.append(self._tokenizer.encode(text))
        tokens = [encoding.ids for encoding in encodings]
        lengths = [len(ids) for ids in tokens]
        out = np.empty((len(texts), self.dimensions), np.float32)
        groups = batches(lengths, workers=self._threads)

        def run(group: list[int]) -> None:
            out[group] = self._run([tokens[index] for index in group])

        run_groups(self._pool, groups, run)
        return out, lengths

    def _run(self, tokens: list[list[int]]) -> Matrix:
        import numpy as np

        lengths = np.array([len(ids) for ids in tokens], np.int32)
        ids = np.zeros((len(tokens), int(lengths.max())), np.int64)
        for row, own in zip(ids, tokens, strict=True):
            row[: len(own)] = own
        try:
            return self._run_session(None, {"ids": ids, "lengths": lengths})[0]
        except Exception as error:  # onnxruntime's own errors share no base but Exception
            raise EngineError(f"The encoder failed: {error}") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def batches(lengths: Sequence[int], *, workers: int = 1) -> list[list[int]]:
    """Indices of ``lengths`` in batches, the longest first, each of nearly equal lengths.

    A batch holds at most 384 tokens with its padding (one text may be longer than that),
    and less where that gives every worker a part. It ends early where it would hold more
    than 32 tokens of padding, and, once half full, where the length changes: a batch
    without padding needs no mask.
    """
    room = max(SHARE_TOKENS, min(BATCH_TOKENS, math.ceil(sum(lengths) / workers)))
    groups: list[list[int]] = []
    longest = padding = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        shorter = longest - lengths[index]
        used = longest * len(groups[-1]) if groups else room
        if (
            used + longest > room
            or padding + shorter > PADDING_TOKENS
            or (shorter and 2 * used >= room)
        ):
            groups.append([])
            longest, padding, shorter = lengths[index], 0, 0
        groups[-1].append(index)
        padding += shorter
    return groups


def _manifest(folder: Path) -> dict[str, Any]:
    """``model.json``, after every file it names was found."""
    path = folder / "model.json"
    try:
        manifest = json.loads(path.read_bytes())
        files = [*manifest["files"], "tokenizer.json", *manifest["graphs"].values()]
        if not all(isinstance(manifest[key], int) for key in ("dimensions", "max_tokens")):
            raise ValueError("dimensions and max_tokens must be whole numbers")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no model: model.json is missing.", hint="Install the model again."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} is not an encoder's manifest ({type(error).__name__}: {error}).",
            hint="Install the model again.",
        ) from error
    check_whole(folder, files)
    return manifest


def _graph(graphs: dict[str, str]) -> str:
    """The file name of the graph that suits this CPU."""
    choice = os.environ.get("OGAM_ENCODER_GRAPH") or ("digits" if _has_tiles() else "float")
    return graphs.get(choice) or next(iter(graphs.values()))


def _has_tiles() -> bool:
    """Whether the CPU multiplies 8-bit tiles (AMX), which ONNX Runtime uses on Linux only.

    Elsewhere the float graph is the faster one, and on CPUs before VNNI the only right one:
    sums of two 8-bit products saturate there.
    """
    if sys.platform != "linux":
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
            return any("amx_int8" in line.split() for line in cpuinfo if line.startswith("flags"))
    except OSError:
        return False


def _unit(rows: Matrix) -> Matrix:
    import numpy as np

    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norms, np.float32(1e-12))


def _shared(cosines: list[float]) -> list[float]:
    top = max(cosines)
    powers = [math.exp((cosine - top) / TEMPERATURE) for cosine in cosines]
    total = math.fsum(powers)
    return [power / total for power in powers]


def _independent(cosines: list[float]) -> list[float]:
    return [1 / (1 + math.exp((MIDDLE - cosine) / TEMPERATURE)) for cosine in cosines]


def _ranked(labels: Sequence[str], scores: Sequence[float]) -> Classification:
    pairs = sorted(zip(labels, scores, strict=True), key=lambda pair: -pair[1])
    return Classification(
        scores=tuple(LabelScore(label=label, score=score) for label, score in pairs)
    )
