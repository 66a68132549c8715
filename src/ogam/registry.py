"""Names to engines: ``engine/model`` to an object that can be called, made when first asked for.

Imports no engine until its name is asked for. Three kinds of name::

    espeak/ko                    an engine, and one of its models
    starter/all-MiniLM-L6-v2     a collection of models on disk; the model's manifest says
                                 which engine runs it
    onnx_encoder/./my-folder     an engine, and a folder with a model in it (a path that
                                 starts with . / or ~)

Other distributions add engines by the entry point group ``ogam.engines`` (name to
``module:attribute``) and collections by ``ogam.models`` (see :mod:`ogam.models.store`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ogam import net
from ogam.capabilities.base import ModelRef
from ogam.errors import (
    EngineError,
    MissingExtraError,
    UnknownEngineError,
    UnknownModelError,
)
from ogam.extras import entry_points, install_line
from ogam.models import store
from ogam.vendors import Vendor

_log = logging.getLogger("ogam")
# The collection that the routes name by default.
STARTER = "starter"
BUILT_IN: dict[str, str] = {
    "ctranslate2_generator": "ogam.engines.ctranslate2_generator:CTranslate2GeneratorEngine",
    "ctranslate2_translator": "ogam.engines.ctranslate2_translator:CTranslate2TranslatorEngine",
    "espeak": "ogam.engines.espeak:EspeakEngine",
    "fake": "ogam.engines.fake:FakeEngine",
    "onnx_classifier": "ogam.engines.onnx_classifier:OnnxClassifierEngine",
    "onnx_encoder": "ogam.engines.onnx_encoder:OnnxEncoderEngine",
    "opencv": "ogam.engines.opencv:OpenCvEngine",
    "pocketsphinx": "ogam.engines.pocketsphinx:PocketSphinxEngine",
    "rapidocr": "ogam.engines.rapidocr:RapidOcrEngine",
    "transformers": "ogam.engines.huggingface_transformers:TransformersEngine",
    "whisper": "ogam.engines.whisper:WhisperEngine",
    "word2vec": "ogam.engines.word2vec:Word2VecEngine",
}
# By the protocol that a vendor speaks; any number of vendors may speak one.
VENDOR_ENGINES: dict[str, str] = {
    "deepl": "ogam.protocols.deepl.client:DeepLEngine",
    "elevenlabs": "ogam.protocols.elevenlabs.client:ElevenLabsEngine",
    "google_speech": "ogam.protocols.google_speech.client:GoogleSpeechEngine",
    "google_vision": "ogam.protocols.google_vision.client:GoogleVisionEngine",
    "openai": "ogam.protocols.openai.client:OpenAIEngine",
}


def engine_names() -> list[str]:
    """Every engine there is, sorted; none is imported."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group="ogam.engines"))})


def engine_class(name: str) -> Any:
    """The class behind an engine's name, imported now."""
    target = BUILT_IN.get(name)
    if target is None:
        point = next(iter(entry_points(group="ogam.engines", name=name)), None)
        if point is None and name == STARTER:
            raise MissingExtraError(
                "The starter models are not installed.", hint=f"Run: {install_line('local')}"
            )
        if point is None:
            raise UnknownEngineError(f"There is no engine {name!r}.", hint=_near(name))
        target = point.value
    return _loaded(name, target)


def _loaded(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"The engine {name!r} ({target}) does not load: {error}.",
            hint="Reinstall the package that brings it.",
        ) from error


def parse(name: str) -> ModelRef:
    """Split a model's name and find its folder, where it has one."""
    head, _, rest = name.partition("/")
    if not head:
        raise UnknownModelError(f"{name!r} is not a model's name.", hint="Write engine/model.")
    if head not in BUILT_IN and (collection := store.collection(head)) is not None:
        manifest = store.manifest(head, rest)
        return ModelRef(name=name, engine=manifest.engine, model=rest, folder=collection / rest)
    if rest.startswith((".", "/", "~")):
        folder = Path(rest).expanduser()
        if not folder.is_dir():
            raise UnknownModelError(f"There is no folder {rest!r}.", param="model")
        return ModelRef(name=name, engine=head, model=rest, folder=folder)
    return ModelRef(name=name, engine=head, model=rest)


class Registry:
    """Makes engines, once per model name, whoever asks and however many at a time.

    A name whose engine is one of ``vendors`` leads to that vendor. Of the engines that serve
    none of the names ``kept`` tells, ``most`` stay at most (None: all): then the one that was
    asked for longest ago and that nobody holds is closed, and ``closed`` is told its name.
    """

    def __init__(
        self,
        vendors: Mapping[str, Vendor] | None = None,
        *,
        most: int | None = None,
        kept: Callable[[], Collection[str]] = frozenset,
        closed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._vendors = vendors or {}
        self._most, self._kept, self._closed = most, kept, closed
        self._clients: dict[str, net.Client] = {}
        # The one asked for longest ago comes first.
        self._engines: OrderedDict[str, Any] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._manifests: dict[str, store.Manifest] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Any:
        """The engine object that serves ``name``. Making one is cheap; models load on use.

        Who uses it while others may be asked for holds its name (:meth:`held`).
        """
        with self._lock:
            engine = self._engines.get(name)
            if engine is not None:
                self._engines.move_to_end(name)
                return engine
            engine = self._engines[name] = self._made(name)
            spare = self._spare()
        self._close(spare)
        return engine

    @contextmanager
    def held(self, name: str) -> Generator[None]:
        """What serves ``name`` is not closed within this block, made before or in it."""
        with self._lock:
            self._held[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[name] -= 1
                if not self._held[name]:
                    del self._held[name]
                spare = self._spare()
            self._close(spare)

    def _made(self, name: str) -> Any:
        ref = parse(name)
        vendor = self._vendors.get(ref.engine)
        if vendor is not None:
            return self._calling(ref, vendor)
        engine = engine_class(ref.engine)(ref)
        about = store.read(ref.folder)
        if about is not None:
            self._manifests[name] = about
            if about.untrained:
                _log.warning("%s has a head that was never trained: its answers are noise", name)
        return engine

    def _spare(self) -> dict[str, Any]:
        """Take out what is too much; the one that was asked for last is not."""
        if self._most is None or len(self._engines) <= self._most:
            return {}
        kept = self._kept()
        loose = [name for name in self._engines if name not in kept]
        idle = [name for name in loose[:-1] if name not in self._held]
        return {name: self._engines.pop(name) for name in idle[: max(0, len(loose) - self._most)]}

    def _close(self, engines: Mapping[str, Any]) -> None:
        for name, engine in engines.items():
            self._closed(name)
            engine.close()

    def revise(self, vendors: Mapping[str, Vendor], changed: Collection[str]) -> None:
        """Know other ``vendors``. Engines that call the ``changed`` ones are made anew; calls
        under way end on the old ones, whose connections end by themselves once they are idle.
        """
        with self._lock:
            self._vendors = vendors
            for name in [one for one in self._engines if one.partition("/")[0] in changed]:
                del self._engines[name]
            for name in changed:
                self._clients.pop(name, None)

    def _calling(self, ref: ModelRef, vendor: Vendor) -> Any:
        """The engine that calls a vendor; all of its models share the vendor's connections."""
        client = self._clients.get(vendor.name)
        if client is None:
            client = self._clients[vendor.name] = net.Client(
                vendor.url,
                connections=vendor.connections,
                connect_timeout=vendor.connect_timeout,
            )
        return _loaded(vendor.protocol, VENDOR_ENGINES[vendor.protocol])(ref, vendor, client)

    def manifest(self, name: str) -> store.Manifest | None:
        """What the model's folder says of it; None for a model without a folder or manifest."""
        return self._manifests.get(name)

    async def aclose(self) -> None:
        """Let every engine that calls a vendor tidy up there; then all may be closed."""
        for engine in list(self._engines.values()):
            tidy = getattr(engine, "aclose", None)
            if tidy is not None:
                await tidy()

    def close(self) -> None:
        """Close every engine made so far."""
        with self._lock:
            engines, self._engines = list(self._engines.values()), OrderedDict()
            clients, self._clients = list(self._clients.values()), {}
            self._manifests = {}
        for one in (*engines, *clients):
            one.close()


def missing_modules(cls: Any) -> list[str]:
    """Which of the modules that an engine class requires are not installed."""
    return [name for name in cls.requires if importlib.util.find_spec(name) is None]


def _near(name: str) -> str:
    known = engine_names() + store.collections_found()
    close = difflib.get_close_matches(name, known, n=2)
    return f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(known)}."
