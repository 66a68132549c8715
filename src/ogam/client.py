"""The library: one asynchronous core, and the same methods for code that is not asynchronous.

``AsyncOgam`` is the core. ``Ogam`` has its methods by :func:`_blocking`, which runs the
core on an event loop in a thread of its own; the signatures are the same objects, so they
cannot drift apart. Knows no engine: every call enters at the gateway.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from ogam import config as configuration
from ogam.capabilities.base import Result
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, cosine
from ogam.capabilities.speech_recognition import (
    Keyword,
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk, Voice
from ogam.capabilities.text_generation import (
    GenerateRequest,
    GenerateResult,
    Message,
    TextDelta,
)
from ogam.capabilities.translation import Formality, TranslateRequest, TranslateResult
from ogam.capabilities.vision import Feature, SeeRequest, SeeResult
from ogam.errors import DeadlineError, InvalidRequestError
from ogam.extras import needs
from ogam.gateway.dispatch import Gateway
from ogam.media import Audio, Image, limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ogam.media.source import Source

    AudioSource = Audio | Source | NDArray[Any]
    ImageSource = Image | Source | NDArray[np.uint8]

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R", bound=Result)
Texts = str | Sequence[str]


class AsyncStream(Generic[D, R]):
    """What comes piece by piece. ``async for`` gives the pieces; then ``result`` is whole.

    Leaving an ``async with`` block, or ``aclose()``, stops the engine's work.
    """

    def __init__(self, pieces: AsyncIterator[Any], timeout: float | None) -> None:
        self._pieces = pieces
        self._timeout = timeout
        self._result: R | None = None

    def __aiter__(self) -> AsyncStream[D, R]:
        return self

    async def __anext__(self) -> D:
        piece = await _within(self._timeout, anext(self._pieces))
        if not isinstance(piece, Result):
            return cast(D, piece)
        self._result = cast(R, piece)
        await self.aclose()
        raise StopAsyncIteration

    async def __aenter__(self) -> AsyncStream[D, R]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the work."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    @property
    def result(self) -> R:
        """The whole result; there once the stream has been read to its end."""
        if self._result is None:
            raise InvalidRequestError(
                "The stream has not ended.", hint="Read it to its end before result."
            )
        return self._result


class AsyncOgam:
    """Ogam for asynchronous code. Every ``model`` is ``engine/model``; None takes the route.

    ``timeout`` bounds each call in seconds (of a stream: the wait for each piece); past it
    DeadlineError is raised. Close it, or use it in ``async with``, to end the engines.
    """

    def __init__(
        self, config: configuration.Config | None = None, *, timeout: float | None = None
    ) -> None:
        self.config = config or configuration.load()
        limits.use(self.config.limits)
        self._timeout = timeout
        self._gateway = Gateway(self.config)

    async def __aenter__(self) -> AsyncOgam:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the engines and their threads and processes, once the ledger has what it is owed."""
        await self._gateway.aclose()

    def close(self) -> None:
        """As ``aclose``, where there is no event loop."""
        self._gateway.close()

    async def generate(
        self,
        prompt: str | Sequence[Message | Mapping[str, str]],
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        max_length: int | None = None,
        n: int = 1,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: Texts = (),
        seed: int | None = None,
    ) -> GenerateResult:
        """Continue a text, or answer a conversation (a list of role and content).

        ``max_tokens`` bounds the new tokens, ``max_length`` prompt and new tokens together.
        The same ``seed`` gives the same text; without one every call differs. Without
        ``temperature`` it is the model's own, mostly 1.
        """
        options = _options(locals(), "prompt", "stop")
        request = GenerateRequest(**_prompt(prompt), stop=_texts(stop), **options)
        return await self._call("generate", request, GenerateResult, model)

    def generate_stream(
        self,
        prompt: str | Sequence[Message | Mapping[str, str]],
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        max_length: int | None = None,
        n: int = 1,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: Texts = (),
        seed: int | None = None,
    ) -> AsyncStream[TextDelta, GenerateResult]:
        """As ``generate``, piece by piece."""
        options = _options(locals(), "prompt", "stop")
        request = GenerateRequest(**_prompt(prompt), stop=_texts(stop), **options)
        return AsyncStream(
            self._gateway.stream("generate", (request,), model, live=False), self._timeout
        )

    async def speak(
        self,
        text: str,
        *,
        model: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        rate: float = 1.0,
        pitch: float = 1.0,
        ssml: bool = False,
    ) -> SpeakResult:
        """Say a text. ``rate`` and ``pitch`` are factors of the voice's own."""
        request = SpeakRequest(**_options(locals()))
        return await self._call("speak", request, SpeakResult, model)

    def speak_stream(
        self,
        text: str,
        *,
        model: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        rate: float = 1.0,
        pitch: float = 1.0,
        ssml: bool = False,
    ) -> AsyncStream[SpeechChunk, SpeakResult]:
        """As ``speak``, piece by piece: 16-bit PCM as it is made."""
        request = SpeakRequest(**_options(locals()))
        return AsyncStream(
            self._gateway.stream("speak", (request,), model, live=False), self._timeout
        )

    async def voices(self, *, model: str | None = None) -> tuple[Voice, ...]:
        """Every voice of the engine that speaks."""
        name = self._gateway.models("speak", model)[0]
        engine = self._gateway.engine("speak", name)
        return await _within(self._timeout, self._gateway.run(name, engine.voices))

    async def see(
        self,
        image: ImageSource,
        *,
        model: str | None = None,
        features: Sequence[Feature] = (),
        languages: Sequence[str] = (),
        max_results: int = 100,
        aspect_ratios: Sequence[float] = (),
    ) -> SeeResult:
        """Find ``features`` in a picture; without any, all that the route's engines have.

        Features: text, document_text, faces, objects, labels, image_properties, crop_hints,
        barcodes.
        """
        request = SeeRequest(
            image=await asyncio.to_thread(Image, image),
            features=(features,) if isinstance(features, str) else tuple(features),  # pyright: ignore[reportArgumentType]
            languages=_texts(languages),
            max_results=max_results,
            aspect_ratios=tuple(aspect_ratios),
        )
        return await _within(self._timeout, self._gateway.answer("see", request, SeeResult, model))

    async def transcribe(
        self,
        audio: AudioSource,
        *,
        model: str | None = None,
        language: str | None = None,
        alternatives: int = 1,
        phrases: Texts = (),
        grammar: str | None = None,
        keywords: Sequence[str | Keyword] = (),
    ) -> TranscribeResult:
        """Write down what a recording says.

        ``grammar`` (JSGF) or ``keywords`` restrict what is listened for; ``phrases`` are
        words to expect.
        """
        options = _recognition(language, alternatives, phrases, grammar, keywords)
        request = TranscribeRequest(audio=await asyncio.to_thread(Audio, audio), options=options)
        return await self._call("transcribe", request, TranscribeResult, model)

    def transcribe_stream(
        self,
        pcm: Iterable[bytes] | AsyncIterable[bytes],
        *,
        model: str | None = None,
        language: str | None = None,
        alternatives: int = 1,
        phrases: Texts = (),
        grammar: str | None = None,
        keywords: Sequence[str | Keyword] = (),
    ) -> AsyncStream[PartialTranscript, TranscribeResult]:
        """Write down speech while it is said.

        ``pcm`` gives blocks of any size: 16 kHz, one channel, 16-bit little-endian. A
        recording gives them with ``Audio(...).blocks(16000)``.
        """
        options = _recognition(language, alternatives, phrases, grammar, keywords)
        if isinstance(pcm, AsyncIterable):
            return AsyncStream(self._gateway.listen(pcm, options, model), self._timeout)
        return AsyncStream(
            self._gateway.stream("transcribe", (iter(pcm), options), model, live=True),
            self._timeout,
        )

    async def translate(
        self,
        text: Texts,
        target: str,
        *,
        source: str | None = None,
        model: str | None = None,
        formality: Formality = "default",
        context: str = "",
        glossary: Mapping[str, str] | None = None,
        alternatives: int = 1,
    ) -> TranslateResult:
        """Translate a text, or several, into ``target``; the source is found if not given.

        ``alternatives`` asks for so many translations of each.
        """
        request = TranslateRequest(
            texts=_texts(text),
            target=target,
            source=source,
            formality=formality,
            context=context,
            glossary=tuple((glossary or {}).items()),
            alternatives=alternatives,
        )
        return await self._call("translate", request, TranslateResult, model)

    async def classify(
        self,
        text: Texts,
        labels: Sequence[str] = (),
        *,
        model: str | None = None,
        multi_label: bool = False,
    ) -> ClassifyResult:
        """Label a text, or several: with the model's labels, or among ``labels`` of your own."""
        request = ClassifyRequest(
            texts=_texts(text), labels=_texts(labels), multi_label=multi_label
        )
        return await self._call("classify", request, ClassifyResult, model)

    async def embed(
        self, text: Texts, *, model: str | None = None, dimensions: int | None = None
    ) -> EmbedResult:
        """A vector of length 1 for a text, or for each of several."""
        request = EmbedRequest(texts=_texts(text), dimensions=dimensions)
        return await self._call("embed", request, EmbedResult, model)

    @overload
    async def similarity(self, left: str, right: str, *, model: str | None = None) -> float: ...
    @overload
    async def similarity(
        self, left: Texts, right: Texts, *, model: str | None = None
    ) -> NDArray[np.float32]: ...
    async def similarity(
        self, left: Texts, right: Texts, *, model: str | None = None
    ) -> float | NDArray[np.float32]:
        """The cosine of two texts, or a float32 matrix (len(left), len(right)) of two batches."""
        rows, columns = _texts(left), _texts(right)
        if not rows or not columns:
            raise InvalidRequestError("There is nothing to compare.", hint="Give two texts.")
        vectors = (await self.embed((*rows, *columns), model=model)).vectors
        if isinstance(left, str) and isinstance(right, str):
            return cosine(vectors[0], vectors[1])
        with needs("local"):
            import numpy as np
        matrix = np.asarray(vectors)
        return matrix[: len(rows)] @ matrix[len(rows) :].T

    async def _call(self, capability: Any, request: Any, kind: type[R], model: str | None) -> R:
        return await _within(self._timeout, self._gateway.answer(capability, request, kind, model))


class Stream(Generic[D, R]):
    """What comes piece by piece. ``for`` gives the pieces; then ``result`` is whole.

    Leaving a ``with`` block, or ``close()``, stops the engine's work.
    """

    def __init__(self, inner: AsyncStream[D, R]) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[D]:
        return self

    def __next__(self) -> D:
        try:
            return _loop().run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        except KeyboardInterrupt:
            self.close()
            raise

    def __enter__(self) -> Stream[D, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the work."""
        _loop().run(self._inner.aclose())

    @property
    def result(self) -> R:
        """The whole result; there once the stream has been read to its end."""
        return self._inner.result


def _blocking(
    method: Callable[Concatenate[AsyncOgam, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Ogam, P], T]:
    @functools.wraps(method)
    def call(self: Ogam, *args: P.args, **kwargs: P.kwargs) -> T:
        return _loop().run(method(self.core, *args, **kwargs))

    return call


def _blocking_stream(
    method: Callable[Concatenate[AsyncOgam, P], AsyncStream[D, R]],
) -> Callable[Concatenate[Ogam, P], Stream[D, R]]:
    @functools.wraps(method)
    def call(self: Ogam, *args: P.args, **kwargs: P.kwargs) -> Stream[D, R]:
        return Stream(method(self.core, *args, **kwargs))

    return call


class Ogam:
    """Ogam for ordinary code: the methods of :class:`AsyncOgam`, which block.

    Works inside notebooks too, whose own event loop it does not touch. Ctrl-C stops the
    call and the engine's work.
    """

    def __init__(
        self, config: configuration.Config | None = None, *, timeout: float | None = None
    ) -> None:
        self._config, self._timeout = config, timeout

    @functools.cached_property
    def core(self) -> AsyncOgam:
        """What does the work; made, and the settings read, when it is first needed."""
        return AsyncOgam(self._config, timeout=self._timeout)

    def __enter__(self) -> Ogam:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engines and their threads and processes, once the ledger has what it is owed."""
        if "core" in vars(self):
            _loop().run(self.core.aclose())

    generate = _blocking(AsyncOgam.generate)
    generate_stream = _blocking_stream(AsyncOgam.generate_stream)
    speak = _blocking(AsyncOgam.speak)
    speak_stream = _blocking_stream(AsyncOgam.speak_stream)
    voices = _blocking(AsyncOgam.voices)
    see = _blocking(AsyncOgam.see)
    transcribe = _blocking(AsyncOgam.transcribe)
    transcribe_stream = _blocking_stream(AsyncOgam.transcribe_stream)
    translate = _blocking(AsyncOgam.translate)
    classify = _blocking(AsyncOgam.classify)
    embed = _blocking(AsyncOgam.embed)

    # Written out, for _blocking would keep the first of its overloads only.
    @overload
    def similarity(  # pyright: ignore[reportOverlappingOverload] - a str is a sequence of str
        self, left: str, right: str, *, model: str | None = None
    ) -> float: ...
    @overload
    def similarity(
        self, left: Texts, right: Texts, *, model: str | None = None
    ) -> NDArray[np.float32]: ...
    def similarity(
        self, left: Texts, right: Texts, *, model: str | None = None
    ) -> float | NDArray[np.float32]:
        """The cosine of two texts, or a float32 matrix (len(left), len(right)) of two batches."""
        return _loop().run(self.core.similarity(left, right, model=model))


class _EventLoop:
    """An event loop in a daemon thread, for blocking code."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ogam-loop", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: the task in the loop is cancelled, and the engine told
            raise


@functools.cache
def _loop() -> _EventLoop:
    return _EventLoop()


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise DeadlineError(
            f"There was no answer within {seconds:g} seconds.", hint="Give a longer timeout."
        ) from None


def _options(arguments: dict[str, Any], *without: str) -> dict[str, Any]:
    """The arguments of a method that are fields of its request under the same name."""
    return {
        name: value for name, value in arguments.items() if name not in ("self", "model", *without)
    }


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    try:
        return tuple(value)
    except TypeError:
        raise InvalidRequestError(
            f"Text was expected, not {type(value).__name__}.", hint="Give a str or a list of str."
        ) from None


def _prompt(prompt: str | Sequence[Message | Mapping[str, str]]) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt}
    try:
        return {"messages": msgspec.convert(list(prompt), tuple[Message, ...])}
    except msgspec.ValidationError as error:
        raise InvalidRequestError(
            f"A message is wrong: {error}.",
            hint='Write {"role": "user", "content": "…"}.',
            param="prompt",
        ) from None


def _recognition(
    language: str | None,
    alternatives: int,
    phrases: Texts,
    grammar: str | None,
    keywords: Sequence[str | Keyword],
) -> RecognitionOptions:
    words = (keywords,) if isinstance(keywords, str) else keywords
    return RecognitionOptions(
        language=language,
        alternatives=alternatives,
        phrases=_texts(phrases),
        grammar=grammar,
        keywords=tuple(Keyword(phrase=w) if isinstance(w, str) else w for w in words),
    )
