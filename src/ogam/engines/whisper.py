"""Whisper: speech in some hundred languages to text, by faster-whisper on CTranslate2.

A model is a folder in CTranslate2's format (``model.bin``, ``config.json``, ``tokenizer.json``,
a vocabulary, and ``preprocessor_config.json`` where the model has 128 mel bands). Knows nothing
about how that folder was made, and downloads nothing.

What is no speech is left out before the model hears it (Silero's detector, which comes with
faster-whisper): Whisper makes up text for silence. The likeliest text is searched for and never
drawn by lot, so equal recordings give equal text; without the second try at a higher temperature
that faster-whisper has, each window starts afresh instead of from the text before it, which is
where a model that repeats itself would not get out of.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.speech_recognition import (
    Alternative,
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Word,
)
from ogam.engines._shared import cores
from ogam.errors import (
    ConfigurationError,
    EngineError,
    NotConfiguredError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

RATE = 16_000
BEAM = 5
_BYTES_PER_SECOND = 2 * RATE
# A stream is heard again after so much new sound: the encoder reads 30 s each time, however
# little of it there is.
_STEP_SECONDS = 2.0
# Somebody who has been silent for so long has said all of it.
_PAUSE_SECONDS = 1.0
# What is heard at once ends before the model's own window of 30 s.
_WINDOW_SECONDS = 26.0
# Kept of sound without speech: the next word may have begun.
_LEAD_SECONDS = 1.0
# Kept before a segment's first word: "f" and "s" are weak.
_PAD_SECONDS = 0.2
# Tags of today for those the model was trained with.
_ALIASES = {"fil": "tl", "iw": "he", "jv": "jw", "nb": "no", "cmn": "zh"}


class WhisperEngine:
    """Serves the Whisper model in ``ref.folder``. Safe to use from many threads."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"transcribe"})
    requires: ClassVar[tuple[str, ...]] = ("ctranslate2", "faster_whisper", "numpy")
    extra: ClassVar[str] = "whisper"

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Transcribe a recording of any length, with the times of its words.

        Without ``language`` it is found in the first 30 seconds of speech. ``phrases`` are told
        to the model as words to expect. A word's ``confidence`` is the model's probability, a
        segment's the geometric mean of its tokens'. Raises UnknownLanguageError for a language
        the model has not, UnsupportedOptionError for a grammar, keywords or more than one
        reading: Whisper has none of these.
        """
        _refuse(request.options, self._ref.name)
        model = self._load()
        language = model.language(request.options.language, self._ref.name)
        pcm = request.audio.pcm(RATE, 1)
        heard = model.hear(pcm.numpy()[:, 0], language, request.options.phrases)
        return self._result(heard.segments, len(pcm.data), heard.language)

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> Iterator[PartialTranscript | TranscribeResult]:
        """Transcribe as it is said: every two seconds the sound that is not yet settled.

        A segment is final when another one follows it, a second of silence, or the sound is as
        long as the model's window. The language is the first final segment's.
        """
        _refuse(options, self._ref.name)
        model = self._load()
        language = model.language(options.language, self._ref.name)
        window = _Window()
        segments: list[Segment] = []
        for ready in _steps(pcm, window):
            heard = model.hear(window.samples(), language, options.phrases)
            done = window.settled(heard.segments, over=not ready)
            for segment in heard.segments[:done]:
                language = language or heard.language
                placed = _moved(segment, window.start)
                segments.append(placed)
                yield PartialTranscript(text=placed.text, segment=placed)
            rest = heard.segments[done:]
            since = heard.segments[done - 1].end if done else 0.0
            window.drop(max(since, rest[0].start - _PAD_SECONDS) if rest else window.quiet(since))
            if rest:
                yield PartialTranscript(text=" ".join(one.text for one in rest))
        yield self._result(segments, window.size, language)

    def _result(
        self, segments: Sequence[Segment], size: int, language: str | None
    ) -> TranscribeResult:
        size -= size % 2
        return TranscribeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(audio_ms=-(-size * 1000 // _BYTES_PER_SECOND)),
            text=" ".join(one.text for one in segments),
            segments=tuple(segments),
            duration=size / _BYTES_PER_SECOND,
            language=language,
        )

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._model = None

    def _load(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _Model(_folder(self._ref))
            return self._model


class _Heard(NamedTuple):
    """Segments in seconds from the samples' start; the language is None where nobody spoke."""

    segments: list[Segment]
    language: str | None


class _Model:
    """A loaded model: samples in, segments out."""

    def __init__(self, folder: Path) -> None:
        with needs("whisper"):
            import ctranslate2
            import faster_whisper
            from faster_whisper import vad
        library: Any = ctranslate2
        detector: Any = vad
        # Where a CPU has no float16 the library says so on standard error and uses float32.
        library.set_log_level(logging.ERROR)
        self._speech: Any = detector.get_speech_timestamps
        try:
            self._model: Any = faster_whisper.WhisperModel(
                str(folder), device="cpu", cpu_threads=cores(), local_files_only=True
            )
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            raise ConfigurationError(
                f"The model in {folder} does not load: {error}.", hint="Install it again."
            ) from error

    def language(self, asked: str | None, name: str) -> str | None:
        """The model's own tag for a BCP-47 tag."""
        if asked is None:
            return None
        tag = re.split("[-_]", asked.lower())[0]
        tag = _ALIASES.get(tag, tag)
        known = [
            one
            for one in self._model.supported_languages
            if one == "en" or self._model.hf_tokenizer.token_to_id(f"<|{one}|>") is not None
        ]
        if tag not in known:
            raise UnknownLanguageError(
                f"{name} does not hear {asked!r}.",
                hint=f"It hears {', '.join(sorted(known))}."
                if len(known) < 8
                else f"It hears {len(known)} languages, by tags such as en, ko or de.",
                param="language",
            )
        return tag

    def hear(self, samples: Samples, language: str | None, phrases: Sequence[str]) -> _Heard:
        """What is said in samples (frames,) at 16 kHz."""
        checkpoint()
        seconds = len(samples) / RATE
        try:
            if not len(samples) or not self._speech(samples):
                return _Heard([], language)
            found, info = self._model.transcribe(
                samples,
                language=language,
                beam_size=BEAM,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
                vad_filter=True,
                hotwords=", ".join(phrases) or None,
            )
            segments: list[Segment] = []
            for one in found:
                checkpoint()
                since = segments[-1].end if segments else 0.0
                segment = _segment(one, since, seconds)
                if segment is not None:
                    segments.append(segment)
        except (RuntimeError, ValueError) as error:  # what CTranslate2 raises
            raise EngineError(f"The recogniser failed: {error}.") from error
        return _Heard(segments, info.language)


class _Window:
    """The sound of a stream that is not yet settled. ``start`` is its place, in seconds."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0  # in bytes
        self.size = 0

    @property
    def start(self) -> float:
        return self._start / _BYTES_PER_SECOND

    @property
    def seconds(self) -> float:
        return len(self._data) / _BYTES_PER_SECOND

    def add(self, block: bytes) -> None:
        self._data += block
        self.size += len(block)

    def samples(self) -> Samples:
        """float32 from -1 to 1, shape (frames,)."""
        import numpy as np

        whole = bytes(self._data[: len(self._data) // 2 * 2])
        return np.frombuffer(whole, "<i2").astype(np.float32) / np.float32(32768)

    def settled(self, segments: Sequence[Segment], *, over: bool) -> int:
        """How many of the segments heard in it will not change any more."""
        if not segments:
            return 0
        full = self.seconds >= _WINDOW_SECONDS
        if over or full or self.seconds - segments[-1].end >= _PAUSE_SECONDS:
            return len(segments)
        return len(segments) - 1

    def quiet(self, since: float) -> float:
        """Where the sound to be kept begins, when nobody has spoken since so many seconds."""
        return max(since, self.seconds - _LEAD_SECONDS)

    def drop(self, seconds: float) -> None:
        """Forget what lies before so many seconds."""
        cut = min(int(seconds * RATE) * 2, len(self._data))
        del self._data[:cut]
        self._start += cut


def _steps(pcm: Iterator[bytes], window: _Window) -> Iterator[bool]:
    """True each time the window has enough new sound to be heard again; False at the end."""
    fresh = 0
    for block in pcm:
        checkpoint()
        window.add(block)
        fresh += len(block)
        if fresh >= _STEP_SECONDS * _BYTES_PER_SECOND:
            fresh = 0
            yield True
    yield False


def _segment(found: Any, since: float, until: float) -> Segment | None:
    """The library's segment as ours, its times in order and within the sound."""
    text = found.text.strip()
    if not text:
        return None

    def place(seconds: float, after: float) -> float:
        return round(min(max(float(seconds), after), until), 3)

    words: list[Word] = []
    for one in found.words or ():
        if said := one.word.strip():
            start = place(one.start, words[-1].end if words else since)
            words.append(
                Word(
                    text=said,
                    start=start,
                    end=place(one.end, start),
                    confidence=_share(one.probability),
                )
            )
    start = words[0].start if words else place(found.start, since)
    end = words[-1].end if words else place(found.end, start)
    confidence = _share(math.exp(found.avg_logprob))
    return Segment(
        text=text,
        start=start,
        end=end,
        words=tuple(words),
        confidence=confidence,
        alternatives=(Alternative(text=text, confidence=confidence),),
    )


def _share(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)


def _moved(segment: Segment, by: float) -> Segment:
    """The segment so many seconds later."""

    def later(seconds: float) -> float:
        return round(seconds + by, 3)

    words = tuple(
        msgspec.structs.replace(one, start=later(one.start), end=later(one.end))
        for one in segment.words
    )
    return msgspec.structs.replace(
        segment, start=later(segment.start), end=later(segment.end), words=words
    )


def _refuse(options: RecognitionOptions, name: str) -> None:
    """What Whisper has no way to do is an error, not silence."""
    asked = {
        "grammar": options.grammar is not None,
        "keywords": bool(options.keywords),
        "alternatives": options.alternatives > 1,
    }
    for param, there in asked.items():
        if there:
            raise UnsupportedOptionError(
                f"{name} knows no {param}.",
                hint="Leave it out, or ask pocketsphinx, which hears English.",
                param=param,
            )


def _folder(ref: ModelRef) -> Path:
    if ref.folder is None or not ref.folder.is_dir():
        raise NotConfiguredError(
            f"The model {ref.name!r} is not on this machine.",
            hint=f"Name a folder with one in CTranslate2's format: {ref.engine}/./FOLDER.",
        )
    needed = ("model.bin", "config.json", "tokenizer.json")
    missing = [name for name in needed if not (ref.folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{ref.folder} is no Whisper model of CTranslate2: {', '.join(missing)} missing.",
            hint="ct2-transformers-converter --model WHISPER --output_dir FOLDER "
            "--copy_files tokenizer.json preprocessor_config.json makes one.",
        )
    return ref.folder
