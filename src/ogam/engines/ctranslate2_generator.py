"""generate, with a causal language model (GPT-2 and its like) in CTranslate2's format.

A model is a folder: ``model.json`` (the manifest, with the model's ``context`` in tokens, its
``end`` token and perhaps a ``template`` and the ``temperature`` of answers),
``tokenizer.json``, and CTranslate2's ``model.bin``, ``config.json`` and ``vocabulary.json``.
Knows nothing about how that folder was made.

CTranslate2 draws from one random generator a thread, seeded when that thread first draws and
never again. So a call with a seed gets a worker thread of its own, made for it (18 ms for 13M
int8 parameters, where a token takes 1.1 ms); a call without one takes an idle worker that no
seed has touched.

Calls without a seed that come together and share their options are one batch: at one sequence
the weights are read once a token, in a batch once for all. This stands here and not in the
server's queue, since only here a stream can join, and each sequence leave as it ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ogam.capabilities.base import Capability, ModelRef
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.engines._shared import check_whole, cores
from ogam.engines._writing import TEMPLATE, Growing, Job, Line, Take, room, streamed
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
    waits: ClassVar[bool] = True

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
        stop, decode = request.stop, model.decode
        if request.messages:
            stop, decode = (*stop, *model.stop), model.answer
        sequences = [Growing(decode, model.ends, stop, most) for _ in range(request.n)]
        yield from streamed(
            self._ref,
            len(prompt),
            sequences,
            start=lambda take: model.start(prompt, most, request, take),
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
        # Of an answer whose temperature nobody named: a small model's own words at 1 are noise.
        self._temperature: float = manifest.get("temperature", 1.0)
        self._template: dict[str, str] = {**TEMPLATE, **manifest.get("template", {})}
        self.stop: tuple[str, ...] = (self._template["stop"],) if self._template["stop"] else ()
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
        self._exact: bool = self._idle[0].compute_type == "float32"
        self._pool = ThreadPoolExecutor(
            1 if large else cores(), thread_name_prefix="ogam-generator"
        )
        self._line = Line(self._pool, self._write)

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

    def answer(self, ids: Sequence[int]) -> str:
        """The text of an answer: the space between "A:" and its first word is none of it."""
        text = self.decode(ids)
        return text.lstrip(" ") if self._template["answer"] else text

    def start(
        self, prompt: list[str], most: int, request: GenerateRequest, take: Take
    ) -> Future[None]:
        """Have ``take`` given each token as (sequence, id) until it says True.

        RuntimeError once the model is closed.
        """
        # A seed's draws would be shared out among all. And what a prompt is longer than the others
        # of its batch is read in other steps than alone: with 8-bit weights the difference in
        # rounding changed 2 of 96 greedy texts, but none of 96 beside prompts of their own
        # length; with float32 none of 336.
        options = self._options_of(request)
        length = None if self._exact or options["sampling_topk"] != 1 else len(prompt)
        kind = None if request.seed is not None else (length, *options.items())
        return self._line.submit(Job(prompt, most, request, take, kind))

    def _options_of(self, request: GenerateRequest) -> dict[str, Any]:
        temperature = request.temperature
        if temperature is None:
            temperature = self._temperature if request.messages else 1.0
        if temperature < _COLD or request.top_k == 1 or request.top_p == 0:
            return {"repetition_penalty": request.repetition_penalty, "sampling_topk": 1}
        return {
            "repetition_penalty": request.repetition_penalty,
            "sampling_topk": min(request.top_k or 0, self._tokenizer.get_vocab_size()),
            "sampling_topp": 1 if request.top_p is None else request.top_p,
            "sampling_temperature": temperature,
        }

    def _write(self, jobs: list[Job]) -> None:
        """Write jobs of one kind, and those that have come by the time of the first token."""
        with self._borrowed(jobs[0].request.seed) as worker:
            try:
                self._batch(worker, jobs, ask=True)
            except _CompanyError as came:
                jobs += came.jobs
                self._batch(worker, jobs, ask=False)

    def _batch(self, worker: Any, jobs: list[Job], *, ask: bool) -> None:
        """Write jobs to their end. _CompanyError where it shall ``ask`` and others may join."""
        rows: list[tuple[Job, int]] = [(job, index) for job in jobs for index in sorted(job.open)]
        # What is written already, by a batch that failed, is gone on with.
        texts = [job.prompt + self._tokens(job.written[index]) for job, index in rows]
        options = self._options_of(jobs[0].request)
        # Only tokens of the result count for the penalty: the prompt becomes part of it. And
        # beside a prompt of one token the library takes what the others have more for results.
        whole = options["repetition_penalty"] != 1 or min(map(len, texts)) == 1
        skipped = [len(text) - 1 if whole else 0 for text in texts]

        def step(result: Any) -> bool:
            nonlocal ask
            if ask:
                ask = False
                if company := self._line.company(jobs):
                    raise _CompanyError(company)
            row: int = result.batch_id
            job, index = rows[row]
            return job.give(index, None if result.step < skipped[row] else result.token_id)

        worker.generate_batch(
            texts,
            max_length=max(job.most for job in jobs) + max(skipped),
            include_prompt_in_result=whole,
            end_token=[*self.ends],
            callback=step,
            **options,
        )

    def _tokens(self, ids: list[int]) -> list[str]:
        return [self._tokenizer.id_to_token(one) or self._end for one in ids]

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
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._line.close()
        with self._lock:
            self._idle.clear()


class _CompanyError(Exception):
    """Ends a batch at its first token, before anything is given, to begin again with others."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs


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
        if not 0 <= manifest.get("temperature", 1.0) <= 2:
            raise ValueError("temperature must be from 0 to 2")
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
    check_whole(folder, ("tokenizer.json", "model.bin", "config.json"))
    return manifest
