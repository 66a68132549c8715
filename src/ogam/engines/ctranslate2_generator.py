"""generate, with a causal language model (GPT-2 and its like) in CTranslate2's format.

A model is a folder: ``model.json`` (the manifest, with the model's ``context`` in tokens, its
``end`` token and perhaps a ``template``), ``tokenizer.json``, and CTranslate2's ``model.bin``,
``config.json`` and ``vocabulary.json``. Knows nothing about how that folder was made.

CTranslate2 draws from one random generator a thread, seeded when that thread first draws and
never again. So a call with a seed gets a worker thread of its own, made for it (18 ms for 13M
int8 parameters, where a token takes 1.1 ms); a call without one takes an idle worker that no
seed has touched.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ogam.capabilities.base import Capability, ModelRef
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.engines._shared import cores
from ogam.engines._writing import TEMPLATE, Growing, Take, room, streamed
from ogam.errors import (
    ConfigurationError,
    EngineError,
    NotConfiguredError,
)
from ogam.extras import needs

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Below this logits are divided by nearly nothing, and only the likeliest token is left.
_COLD = 1e-4
# An estimate: smaller weights do not repay the handing out of work to other threads.
_ONE_THREAD_BYTES = 64_000_000
# The seed is global to the process until a worker's first draw.
_SEEDING = threading.Lock()


class CTranslate2GeneratorEngine:
    """Serves the causal language model in ``ref.folder``. Safe to use from many threads."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"generate"})
    requires: ClassVar[tuple[str, ...]] = ("ctranslate2", "tokenizers")
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def generate(self, request: GenerateRequest) -> GenerateResult:
        """Generate all sequences. See :meth:`generate_stream`."""
        *_, result = self.generate_stream(request)
        assert isinstance(result, GenerateResult)
        return result

    def generate_stream(self, request: GenerateRequest) -> Iterator[TextDelta | GenerateResult]:
        """Yield text as it comes, the whole result last.

        At most 128 new tokens where the request names no limit, never more than the context
        leaves. A delta holds whole characters, and nothing that may be part of a stop string.
        The repetition penalty counts the prompt's tokens too, all but its first (CTranslate2
        takes that for a mark of the beginning); then come the temperature, ``top_k`` and last
        ``top_p``. ``units.input_tokens`` counts the prompt
        once, ``units.output_tokens`` the tokens of all sequences without the end token.
        Raises TooLargeError for a prompt that fills the context, InvalidRequestError for one
        that ``max_length`` leaves no room after.
        """
        model = self._load()
        prompt = model.prompt(request)
        most = room(len(prompt), request, model.context)
        sequences = [
            Growing(model.decode, model.ends, request.stop, most) for _ in range(request.n)
        ]
        yield from streamed(
            self._ref,
            len(prompt),
            sequences,
            pool=model.pool,
            run=lambda take: model.run(prompt, most, request, take),
            failures=_failures,
        )

    def close(self) -> None:
        """Let go of the model and its threads."""
        with self._lock:
            model, self._model = self._model, None
        if model is not None:
            model.close()

    def load(self) -> None:
        """Load the model now."""
        self._load()

    def _load(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _Model(_folder(self._ref))
            return self._model


class _Model:
    """A loaded model: its tokenizer, and the workers that run its weights."""

    def __init__(self, folder: Path) -> None:
        with needs("local"):
            import ctranslate2
            from tokenizers import Tokenizer
        manifest = _manifest(folder)
        self.context: int = manifest["context"]
        self._template: dict[str, str] = {**TEMPLATE, **manifest.get("template", {})}
        self._library: Any = ctranslate2
        # Where a CPU has no int8 the library says so on standard error and uses float32.
        self._library.set_log_level(logging.ERROR)
        large = (folder / "model.bin").stat().st_size > _ONE_THREAD_BYTES
        self._options: dict[str, Any] = {"intra_threads": cores() if large else 1}
        self._path = str(folder)
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            end = self._tokenizer.token_to_id(manifest["end"])
            if end is None:
                raise ValueError(f"the tokenizer has no {manifest['end']!r}")
            self.ends = frozenset((end,))
            self._end: str = manifest["end"]
            self._idle: list[Any] = [self._worker(int.from_bytes(os.urandom(8), "big"))]
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            raise ConfigurationError(
                f"The model in {folder} does not load: {error}.", hint="Install it again."
            ) from error
        self._lock = threading.Lock()
        self.pool = ThreadPoolExecutor(1 if large else cores(), thread_name_prefix="ogam-generator")

    def prompt(self, request: GenerateRequest) -> list[str]:
        """The tokens to continue; the end of a document where there is no text at all."""
        text = request.prompt
        if request.messages:
            parts = [
                self._template[one.role].replace("{content}", one.content)
                for one in request.messages
            ]
            text = "".join(parts) + self._template["answer"]
        return self._tokenizer.encode(text).tokens or [self._end]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; bytes that are not whole characters become U+FFFD."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def run(
        self,
        prompt: list[str],
        most: int,
        request: GenerateRequest,
        take: Take,
    ) -> None:
        """Give ``take`` each token as (sequence, id) until it says True."""
        options: dict[str, Any] = {"sampling_topk": 1}
        if request.temperature >= _COLD and request.top_k != 1 and request.top_p != 0:
            options = {
                "sampling_topk": min(request.top_k or 0, self._tokenizer.get_vocab_size()),
                "sampling_topp": 1 if request.top_p is None else request.top_p,
                "sampling_temperature": request.temperature,
            }
        skipped = 0
        if request.repetition_penalty != 1:
            # Only tokens of the result count for the penalty: the prompt becomes part of it.
            skipped = len(prompt) - 1
            options["repetition_penalty"] = request.repetition_penalty

        def step(result: Any) -> bool:
            return result.step >= skipped and take(result.batch_id, result.token_id)

        with self._borrowed(request.seed) as worker:
            worker.generate_batch(
                [prompt] * request.n,
                max_length=most + skipped,
                include_prompt_in_result=request.repetition_penalty != 1,
                end_token=[*self.ends],
                callback=step,
                **options,
            )

    @contextmanager
    def _borrowed(self, seed: int | None) -> Generator[Any]:
        if seed is not None:
            yield self._worker(seed)
            return
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or self._worker(int.from_bytes(os.urandom(8), "big"))
        yield worker
        with self._lock:
            self._idle.append(worker)

    def _worker(self, seed: int) -> Any:
        """A copy of the model whose one thread draws from ``seed``."""
        worker = self._library.Generator(self._path, **self._options)
        # The library takes 32 bits of seed.
        digest = hashlib.blake2b(str(seed).encode(), digest_size=4).digest()
        with _SEEDING:
            self._library.set_random_seed(int.from_bytes(digest, "big"))
            worker.generate_batch([[self._end]], max_length=1, sampling_topk=0)
        return worker

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._idle.clear()


@contextmanager
def _failures() -> Generator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:  # what CTranslate2 raises
        raise EngineError(f"The model failed: {error}.") from error


def _folder(ref: ModelRef) -> Path:
    if ref.folder is None or not ref.folder.is_dir():
        raise NotConfiguredError(
            f"The model {ref.name!r} is not on this machine.",
            hint="Name a model's folder: ctranslate2_generator/./FOLDER; "
            "`ogam train language-model` makes one.",
        )
    return ref.folder


def _manifest(folder: Path) -> dict[str, Any]:
    """``model.json``, after its files were found and what the engine needs of it was checked."""
    path = folder / "model.json"
    try:
        manifest = json.loads(path.read_bytes())
        context, end, template = manifest["context"], manifest["end"], manifest.get("template", {})
        if not isinstance(context, int) or context < 2 or not isinstance(end, str):
            raise ValueError("context must be a number of tokens, end a token")
        if not all(isinstance(template[role], str) for role in template):
            raise ValueError("template must map roles to texts")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no model: model.json is missing.",
            hint="`ogam train language-model` makes such a folder.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} is not a language model's manifest ({type(error).__name__}: {error}).",
            hint="Install the model again.",
        ) from error
    needed = ("tokenizer.json", "model.bin", "config.json")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{folder} is incomplete: {', '.join(missing)} missing.",
            hint="Install the model again.",
        )
    return manifest
