"""An engine that does all seven, needs nothing, and always gives the same answer.

For tests, demonstrations and the conformance suites: its answers have the right shapes and
follow from the input by hashing, so that a test can tell one input's answer from another's.
They mean nothing.
"""

from __future__ import annotations

import hashlib
import math
import random
import sys
from array import array
from collections.abc import Iterator
from typing import ClassVar

from ogam.capabilities.base import CAPABILITIES, Capability, ModelRef, Units, checkpoint
from ogam.capabilities.classification import (
    Classification,
    ClassifyRequest,
    ClassifyResult,
    LabelScore,
)
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Word,
)
from ogam.capabilities.speech_synthesis import (
    SpeakRequest,
    SpeakResult,
    SpeechChunk,
    Voice,
    WordTiming,
)
from ogam.capabilities.text_generation import (
    Choice,
    GenerateRequest,
    GenerateResult,
    TextDelta,
)
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.capabilities.vision import (
    FEATURES,
    Barcode,
    Block,
    Color,
    CropHint,
    DetectedObject,
    DocumentText,
    Face,
    Feature,
    Label,
    Landmark,
    Page,
    Paragraph,
    Point,
    Polygon,
    SeeRequest,
    SeeResult,
    Symbol,
    TextWord,
)
from ogam.errors import UnknownLanguageError, UnknownVoiceError
from ogam.media import Audio

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "river", "stone", "light")
_VOICES = (
    Voice(id="ada", name="Ada", language="en", gender="female"),
    Voice(id="bora", name="Bora", language="ko", gender="female"),
    Voice(id="max", name="Max", language="de", gender="male"),
)
_RATE = 16_000
_DIMENSIONS = 32
_DEFAULT_TOKENS = 16
# Smaller than any picture Ogam takes, so it always lies inside.
_BOX = Polygon.box(0, 0, 3, 3)
_EYE = Landmark(name="LEFT_EYE", point=Point(x=1, y=1))


class FakeEngine:
    """All seven capabilities, deterministic, without a dependency."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(CAPABILITIES)
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    joins: ClassVar[bool] = True
    zero_shot: ClassVar[bool] = True
    features: ClassVar[frozenset[Feature]] = frozenset(FEATURES)

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    def close(self) -> None:
        """Nothing to let go of."""

    def generate(self, request: GenerateRequest) -> GenerateResult:
        """Words drawn by a generator seeded with the seed and the prompt."""
        *_, result = self.generate_stream(request)
        assert isinstance(result, GenerateResult)
        return result

    def generate_stream(self, request: GenerateRequest) -> Iterator[TextDelta | GenerateResult]:
        """One delta a word."""
        prompt = request.prompt or "\n".join(message.content for message in request.messages)
        spent = len(prompt.split())
        room = request.max_tokens or _DEFAULT_TOKENS
        if request.max_length is not None:
            room = max(0, min(room, request.max_length - spent))
        draw = random.Random(None if request.seed is None else f"{request.seed} {prompt}")  # noqa: S311
        choices: list[Choice] = []
        tokens = 0
        for index in range(request.n):
            text, reason = "", "length"
            for _ in range(room):
                checkpoint()
                word = (" " if text else "") + draw.choice(_WORDS)
                ends = [at for stop in request.stop if (at := (text + word).find(stop)) >= 0]
                if ends:
                    text, reason = (text + word)[: min(ends)], "stop"
                    break
                tokens += 1
                text += word
                if not request.stop:
                    yield TextDelta(text=word, index=index)
            if request.stop and text:
                # A stop string may span words, so nothing is sent before its end is known.
                yield TextDelta(text=text, index=index)
            choices.append(
                Choice(text=text, finish_reason="stop" if reason == "stop" else "length")
            )
        yield GenerateResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=spent, output_tokens=tokens),
            choices=tuple(choices),
        )

    def voices(self) -> tuple[Voice, ...]:
        """Three voices."""
        return _VOICES

    def speak(self, request: SpeakRequest) -> SpeakResult:
        """A tone of 50 ms for each character, its pitch from the character."""
        *_, result = self.speak_stream(request)
        assert isinstance(result, SpeakResult)
        return result

    def speak_stream(self, request: SpeakRequest) -> Iterator[SpeechChunk | SpeakResult]:
        """One chunk a word."""
        voice = self._voice(request)
        sound, at = bytearray(), 0
        words: list[WordTiming] = []
        for part in request.text.split():
            checkpoint()
            at = request.text.index(part, at)
            start = len(sound) / (2 * _RATE)
            chunk = b"".join(_tone(one, request.rate, request.pitch) for one in part)
            sound += chunk
            timing = WordTiming(
                text=part,
                start=start,
                end=len(sound) / (2 * _RATE),
                offset=at,
                length=len(part),
            )
            at += len(part)
            words.append(timing)
            yield SpeechChunk(pcm=chunk, sample_rate=_RATE, words=(timing,))
        yield SpeakResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=len(request.text)),
            audio=Audio.from_pcm(bytes(sound), _RATE),
            voice=voice.id,
            words=tuple(words),
        )

    def see(self, request: SeeRequest) -> SeeResult:
        """One finding of each feature, named after the picture's hash."""
        word = _WORDS[_hash(request.image.data) % len(_WORDS)]
        wanted = request.features or FEATURES
        text = "text" in wanted or "document_text" in wanted
        return SeeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(image_features=len(wanted)),
            image=request.image,
            features=wanted,
            document=_document(word) if text else None,
            faces=(Face(polygon=_BOX, confidence=0.9, landmarks=(_EYE,)),)
            if "faces" in wanted
            else (),
            objects=(DetectedObject(name=word, score=0.8, polygon=_BOX),)
            if "objects" in wanted
            else (),
            labels=(Label(name=word, score=0.7),) if "labels" in wanted else (),
            colors=(Color(red=10, green=20, blue=30, score=1.0, pixel_fraction=1.0),)
            if "image_properties" in wanted
            else (),
            crop_hints=(CropHint(polygon=_BOX, confidence=0.5, importance=1.0),)
            if "crop_hints" in wanted
            else (),
            barcodes=(Barcode(format="QR_CODE", text=word, polygon=_BOX),)
            if "barcodes" in wanted
            else (),
        )

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """One word for each half second, from the samples' hash."""
        *_, result = self.transcribe_stream(request.audio.blocks(_RATE), request.options)
        assert isinstance(result, TranscribeResult)
        return result

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> Iterator[PartialTranscript | TranscribeResult]:
        """A partial transcript for each half second, all of it one utterance."""
        if options.language is not None and options.language[:2].lower() not in ("en", "ko", "de"):
            raise UnknownLanguageError(
                f"fake does not hear {options.language}.", hint="It hears en, ko and de."
            )
        half = _RATE  # bytes in half a second of 16-bit samples
        left, total = b"", 0
        words: list[Word] = []
        for block in pcm:
            checkpoint()
            left += block
            total += len(block)
            while len(left) >= half:
                words.append(_word(left[:half], len(words)))
                left = left[half:]
                yield PartialTranscript(text=" ".join(word.text for word in words))
        if len(left) > 1:
            words.append(_word(left, len(words)))
        duration = total / (2 * _RATE)
        text = " ".join(word.text for word in words)
        segments: tuple[Segment, ...] = ()
        if words:
            segment = Segment(text=text, start=0.0, end=duration, words=tuple(words))
            segments = (segment,)
            yield PartialTranscript(text=text, segment=segment)
        yield TranscribeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(audio_ms=math.ceil(duration * 1000)),
            text=text,
            segments=segments,
            duration=duration,
            language=options.language or "en",
        )

    def translate(self, request: TranslateRequest) -> TranslateResult:
        """``[target] text``, with the glossary's terms replaced; alternatives are numbered."""
        translations: list[Translation] = []
        for text in request.texts:
            checkpoint()
            changed = text
            for term, replacement in request.glossary:
                changed = changed.replace(term, replacement)
            made = f"[{request.target}] {changed}"
            translations.append(
                Translation(
                    text=made,
                    source=request.source or "en",
                    alternatives=tuple(f"{made} ({n})" for n in range(2, request.alternatives + 1)),
                )
            )
        return TranslateResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=sum(map(len, request.texts))),
            translations=tuple(translations),
            target=request.target,
        )

    def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """Scores from the hash of text and label; its own labels are POSITIVE and NEGATIVE."""
        labels = request.labels or ("POSITIVE", "NEGATIVE")
        found: list[Classification] = []
        for text in request.texts:
            checkpoint()
            scores = {label: 1 + _hash(f"{text}\n{label}".encode()) % 1000 for label in labels}
            whole = 1001 if request.multi_label else sum(scores.values())
            ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
            found.append(
                Classification(
                    scores=tuple(LabelScore(label=name, score=n / whole) for name, n in ranked)
                )
            )
        return ClassifyResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=sum(_words(request.texts))),
            tokens=_words(request.texts),
            classifications=tuple(found),
        )

    def embed(self, request: EmbedRequest) -> EmbedResult:
        """Each word adds its own direction, so texts that share words are near."""
        width = min(request.dimensions or _DIMENSIONS, _DIMENSIONS)
        rows: list[list[float]] = []
        for text in request.texts:
            checkpoint()
            row = [0.0] * width
            for word in text.lower().split():
                draw = random.Random(word)  # noqa: S311
                for at in range(width):
                    row[at] += draw.gauss(0, 1)
            norm = math.sqrt(math.fsum(value * value for value in row)) or 1.0
            rows.append([value / norm for value in row])
        return EmbedResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=sum(_words(request.texts))),
            tokens=_words(request.texts),
            vectors=Vectors.from_rows(rows),
        )

    def _voice(self, request: SpeakRequest) -> Voice:
        if request.voice is not None:
            for voice in _VOICES:
                if voice.id == request.voice:
                    return voice
            raise UnknownVoiceError(
                f"fake has no voice {request.voice!r}.",
                hint=f"It has {', '.join(voice.id for voice in _VOICES)}.",
                param="voice",
            )
        wanted = (request.language or "en").split("-")[0].lower()
        for voice in _VOICES:
            if voice.language == wanted:
                return voice
        raise UnknownLanguageError(
            f"fake does not speak {request.language}.", hint="It speaks en, ko and de."
        )


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big")


def _tone(character: str, rate: float, pitch: float) -> bytes:
    frequency = (200 + ord(character) % 400) * pitch
    length = max(1, round(0.05 * _RATE / rate))
    samples = array(
        "h", (round(8000 * math.sin(2 * math.pi * frequency * t / _RATE)) for t in range(length))
    )
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _word(pcm: bytes, index: int) -> Word:
    start = index * 0.5
    return Word(
        text=_WORDS[_hash(pcm) % len(_WORDS)],
        start=start,
        end=start + len(pcm) / (2 * _RATE),
        confidence=0.5,
    )


def _document(word: str) -> DocumentText:
    symbols = tuple(
        Symbol(
            text=letter,
            polygon=_BOX,
            confidence=0.9,
            break_after="line" if at == len(word) - 1 else "",
        )
        for at, letter in enumerate(word)
    )
    words = (TextWord(symbols=symbols, polygon=_BOX, confidence=0.9),)
    paragraph = Paragraph(words=words, polygon=_BOX, confidence=0.9)
    block = Block(paragraphs=(paragraph,), polygon=_BOX, confidence=0.9)
    return DocumentText(
        text=word, pages=(Page(width=4, height=4, blocks=(block,), languages=("en",)),)
    )


def _words(texts: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(len(text.split()) for text in texts)
