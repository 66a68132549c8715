"""transformers: what CTranslate2 and ONNX do not serve, from a folder in its own format.

A model is a folder with ``config.json``, ``*.safetensors`` and its tokenizer or processor. What
an engine object can do is read from ``architectures`` in the config, without loading a library.
Only local files, only safetensors, and no code of the folder's own. torch and transformers load
with the first model, and for nobody who does not ask for this engine by name.

The parts: :mod:`.loading` (the folder), :mod:`.writing` (generate), :mod:`.reading` (classify,
embed), :mod:`.translating`, :mod:`.hearing` and :mod:`.seeing`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from ogam.capabilities.base import Capability, ModelRef
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.capabilities.vision import Feature, SeeRequest, SeeResult
from ogam.engines.huggingface_transformers import (
    hearing,
    loading,
    reading,
    seeing,
    translating,
    writing,
)
from ogam.engines.huggingface_transformers.loading import Kind, Loaded

_ALL: frozenset[Capability] = frozenset[Capability]().union(
    *(kind.capabilities for kind in loading.KINDS)
)
_FEATURES: frozenset[Feature] = frozenset({"labels", "objects"})


class _Capabilities:
    """All of them for the class, those of its model for an object."""

    def __get__(self, engine: TransformersEngine | None, _: type) -> frozenset[Capability]:
        kind = None if engine is None else engine.kind
        return _ALL if kind is None else kind.capabilities


class _Features:
    """What can be found in a picture: by any model for the class, by its own for an object."""

    def __get__(self, engine: TransformersEngine | None, _: type) -> frozenset[Feature]:
        kind = None if engine is None else engine.kind
        return _FEATURES if kind is None else frozenset(kind.features)


class TransformersEngine:
    """Serves the model in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = cast("Any", _Capabilities())
    features: ClassVar[frozenset[Feature]] = cast("Any", _Features())
    requires: ClassVar[tuple[str, ...]] = ("numpy", "safetensors", "torch", "transformers")
    extra: ClassVar[str] = "transformers"

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._loaded: dict[Capability, Loaded] = {}
        self._kind: Kind | None = None

    @property
    def kind(self) -> Kind | None:
        """What its folder holds; None where that cannot be read, which using it then tells."""
        if self._kind is None:
            self._kind = loading.kind(self._ref.folder)
        return self._kind

    def generate(self, request: GenerateRequest) -> GenerateResult:
        """Generate all sequences. See :func:`.writing.stream`."""
        *_, result = self.generate_stream(request)
        return cast("GenerateResult", result)

    def generate_stream(self, request: GenerateRequest) -> Iterator[TextDelta | GenerateResult]:
        """Yield text as it comes, the whole result last. See :func:`.writing.stream`."""
        return writing.stream(self._load("generate"), request)

    def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """Label every text. See :func:`.reading.classify`."""
        with loading.failures():
            return reading.classify(self._load("classify"), request)

    def embed(self, request: EmbedRequest) -> EmbedResult:
        """A unit vector for every text. See :func:`.reading.embed`."""
        with loading.failures():
            return reading.embed(self._load("embed"), request)

    def translate(self, request: TranslateRequest) -> TranslateResult:
        """Translate every text. See :func:`.translating.translate`."""
        with loading.failures():
            return translating.translate(self._load("translate"), request)

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Transcribe a recording. See :func:`.hearing.transcribe`."""
        with loading.failures():
            return hearing.transcribe(self._load("transcribe"), request)

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> Iterator[PartialTranscript | TranscribeResult]:
        """Transcribe when all is said: these models read whole recordings."""
        with loading.failures():
            yield from hearing.stream(self._load("transcribe"), pcm, options)

    def see(self, request: SeeRequest) -> SeeResult:
        """Find objects, or label the picture. See :func:`.seeing.see`."""
        with loading.failures():
            return seeing.see(self._load("see"), request)

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            loaded, self._loaded = self._loaded, {}
        for one in loaded.values():
            one.close()

    def _load(self, capability: Capability) -> Loaded:
        with self._lock:
            if capability not in self._loaded:
                self._loaded[capability] = loading.load(self._ref, capability)
            return self._loaded[capability]
