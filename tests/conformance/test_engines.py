"""What every engine must hold, whichever it is: the shapes, the units, the errors, the streams.

A new engine is one more row in ``MODELS``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ogam import registry
from ogam.capabilities.base import CAPABILITIES, CancelledWork, Result, cancellable
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.capabilities.vision import FEATURES, SeeRequest, SeeResult
from ogam.errors import NotFoundError, OgamError, UnsupportedOptionError
from ogam.media import Audio, Image

MODELS = {
    "espeak": {"speak"},
    "fake": set(CAPABILITIES),
    "opencv": {"see"},
    "pocketsphinx": {"transcribe"},
    "rapidocr": {"see"},
    "starter/all-MiniLM-L6-v2": {"embed", "classify"},
    "starter/sentiment-en": {"classify"},
    "starter/sentiment-ko": {"classify"},
    "starter/translate": {"translate"},
    "starter/write": {"generate"},
}
# What a model labels by that takes no labels of the caller's own.
LABELS = {f"starter/sentiment-{language}": ("NEGATIVE", "POSITIVE") for language in ("en", "ko")}
# No model of theirs ships: tests/engines makes a tiny one for each, and holds it to the same.
MADE_IN_TESTS = {
    "transformers",
    "whisper",
    "word2vec",
}


def having(capability: str) -> list[str]:
    return [name for name, own in MODELS.items() if capability in own]


@pytest.fixture(scope="module")
def engines() -> Iterator[registry.Registry]:
    made = registry.Registry()
    yield made
    made.close()


@pytest.fixture(scope="module")
def jfk() -> Audio:
    return Audio(Path(__file__).parents[2] / "samples" / "speech" / "jfk.flac")


@pytest.fixture(scope="module")
def photo() -> Image:
    values = np.random.default_rng(7).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    return Image(values)


def check(result: Result, kind: type[Result], model: str) -> None:
    assert isinstance(result, kind)
    assert result.model == model
    assert result.engine == registry.parse(model).engine
    assert any(msgspec.structs.asdict(result.units).values())
    assert all(isinstance(one, int) for one in msgspec.structs.asdict(result.units).values())


def test_every_built_in_engine_is_in_this_suite() -> None:
    shipped = {registry.parse(name).engine for name in MODELS}
    assert shipped | MADE_IN_TESTS == set(registry.BUILT_IN)
    assert not shipped & MADE_IN_TESTS


@pytest.mark.parametrize("model", MODELS)
def test_it_declares_what_it_can_do(model: str) -> None:
    cls = registry.engine_class(registry.parse(model).engine)
    assert cls.capabilities == MODELS[model]
    assert not registry.missing_modules(cls)
    assert (cls.extra in ("local", "train")) == bool(cls.requires)


@pytest.mark.parametrize("model", MODELS)
def test_making_one_loads_nothing_and_closing_it_unused_is_harmless(model: str) -> None:
    ref = registry.parse(model)
    engine = registry.engine_class(ref.engine)(ref)
    engine.close()
    engine.close()


@pytest.mark.parametrize("model", having("generate"))
class TestGenerate:
    def test_the_same_seed_gives_the_same_text_and_no_seed_another(
        self, engines: Any, model: str
    ) -> None:
        engine = engines.get(model)
        seeded = [
            engine.generate(GenerateRequest(prompt="Once", seed=3, n=2)).texts for _ in range(2)
        ]
        assert seeded[0] == seeded[1]
        assert len({engine.generate(GenerateRequest(prompt="Once")).text for _ in range(4)}) > 1

    def test_the_stream_adds_up_to_the_whole(self, engines: Any, model: str) -> None:
        request = GenerateRequest(prompt="Once", seed=3, n=2, max_tokens=8)
        *deltas, last = engines.get(model).generate_stream(request)
        check(last, GenerateResult, model)
        assert all(isinstance(one, TextDelta) for one in deltas)
        for index, text in enumerate(last.texts):
            assert "".join(one.text for one in deltas if one.index == index) == text
        assert msgspec.structs.replace(engines.get(model).generate(request)) == last

    def test_limits_and_stops_are_kept(self, engines: Any, model: str) -> None:
        engine = engines.get(model)
        free = engine.generate(GenerateRequest(prompt="Once", seed=3, max_tokens=8))
        assert 0 < free.units.output_tokens <= 8
        stop = free.text.split()[2]
        cut = engine.generate(GenerateRequest(prompt="Once", seed=3, max_tokens=8, stop=(stop,)))
        assert stop not in cut.text and free.text.startswith(cut.text)
        assert cut.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", having("speak"))
class TestSpeak:
    def test_the_stream_adds_up_to_the_whole(self, engines: Any, model: str) -> None:
        request = SpeakRequest(text="Hello there, friend. How are you today?")
        *chunks, last = engines.get(model).speak_stream(request)
        check(last, SpeakResult, model)
        assert all(isinstance(one, SpeechChunk) for one in chunks)
        assert b"".join(one.pcm for one in chunks) == last.audio.pcm().data
        assert tuple(word for one in chunks for word in one.words) == last.words
        assert engines.get(model).speak(request).audio == last.audio

    def test_words_are_where_the_text_has_them(self, engines: Any, model: str) -> None:
        text = "One two, three."
        result = engines.get(model).speak(SpeakRequest(text=text))
        assert result.units.characters == len(text)
        spans = [text[one.offset : one.offset + one.length] for one in result.words]
        assert [one.text for one in result.words] == spans
        assert spans[0].startswith("One") and len(spans) == 3
        ends = [time for one in result.words for time in (one.start, one.end)]
        assert ends == sorted(ends) and ends[0] >= 0 and ends[-1] <= result.audio.duration + 0.01

    def test_every_voice_is_listed_once_and_an_unknown_one_is_refused(
        self, engines: Any, model: str
    ) -> None:
        voices = engines.get(model).voices()
        assert len({one.id for one in voices}) == len(voices) > 0
        assert voices == engines.get(model).voices()
        for request in (
            SpeakRequest(text="x", voice="no such voice"),
            SpeakRequest(text="x", language="tlh-Xx"),
        ):
            with pytest.raises(NotFoundError):
                engines.get(model).speak(request)

    def test_leaving_a_stream_early_leaves_the_engine_usable(
        self, engines: Any, model: str
    ) -> None:
        engine = engines.get(model)
        for _ in range(3):
            stream = engine.speak_stream(SpeakRequest(text="word " * 300))
            next(stream)
            stream.close()
        assert engine.speak(SpeakRequest(text="still here")).audio.duration > 0.2


@pytest.mark.parametrize("model", having("transcribe"))
class TestTranscribe:
    def test_whole_and_stream_have_the_promised_shape(
        self, engines: Any, model: str, jfk: Audio
    ) -> None:
        engine = engines.get(model)
        whole = engine.transcribe(TranscribeRequest(audio=jfk))
        *news, last = engine.transcribe_stream(jfk.blocks(16_000), RecognitionOptions())
        assert all(isinstance(one, PartialTranscript) for one in news)
        for result in (whole, last):
            check(result, TranscribeResult, model)
            assert result.units.audio_ms == 11_000
            assert result.duration == pytest.approx(11.0)
            assert result.text and result.words
            times = [time for word in result.words for time in (word.start, word.end)]
            assert times == sorted(times) and times[0] >= 0 and times[-1] <= 11.01
            assert " ".join(one.text for one in result.segments) == result.text
            assert all(one.confidence is None or 0 <= one.confidence <= 1 for one in result.words)
        assert [one.segment for one in news if one.is_final] == list(last.segments)
        assert any(not one.is_final for one in news)

    def test_silence_is_empty_text_and_not_an_error(self, engines: Any, model: str) -> None:
        if model == "fake":
            pytest.skip("fake hears words in anything")
        silence = Audio.from_pcm(bytes(32_000 * 2), 16_000)
        assert engines.get(model).transcribe(TranscribeRequest(audio=silence)).text == ""

    def test_a_language_it_does_not_know_is_refused(
        self, engines: Any, model: str, jfk: Audio
    ) -> None:
        request = TranscribeRequest(audio=jfk, options=RecognitionOptions(language="tlh"))
        with pytest.raises(NotFoundError):
            engines.get(model).transcribe(request)

    def test_a_caller_who_leaves_stops_the_work(self, engines: Any, model: str, jfk: Audio) -> None:
        def work() -> None:
            gone = threading.Event()
            gone.set()
            cancellable(gone)
            engines.get(model).transcribe(TranscribeRequest(audio=jfk))

        with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
            pool.submit(work).result()


@pytest.mark.parametrize("model", having("see"))
class TestSee:
    def test_it_finds_each_feature_it_declares_and_no_other(
        self, engines: Any, model: str, photo: Image
    ) -> None:
        engine = engines.get(model)
        assert engine.features and engine.features <= set(FEATURES)
        everything = engine.see(SeeRequest(image=photo))
        assert set(everything.features) == engine.features
        for feature in sorted(engine.features):
            result = engine.see(SeeRequest(image=photo, features=(feature,)))
            check(result, SeeResult, model)
            assert result.features == (feature,) and result.units.image_features == 1
            assert result.image == photo
            assert result.draw().size == photo.size
            for _, _, polygon in result.boxes():
                left, top, right, bottom = polygon.bounds
                assert -1 <= left <= right <= 161 and -1 <= top <= bottom <= 121

    def test_the_same_picture_gives_the_same_answer(
        self, engines: Any, model: str, photo: Image
    ) -> None:
        engine = engines.get(model)
        assert engine.see(SeeRequest(image=photo)) == engine.see(SeeRequest(image=photo))


@pytest.mark.parametrize("model", having("translate"))
def test_translations_keep_their_order(engines: Any, model: str) -> None:
    texts = ("one", "two", "three")
    request = TranslateRequest(texts=texts, target="de", source="en")
    result = engines.get(model).translate(request)
    check(result, TranslateResult, model)
    assert result.units.characters == 11
    alone = [
        engines.get(model).translate(msgspec.structs.replace(request, texts=(text,))).text
        for text in texts
    ]
    assert list(result.texts) == alone


@pytest.mark.parametrize("model", having("translate"))
def test_alternatives_are_further_translations_or_refused(engines: Any, model: str) -> None:
    request = TranslateRequest(texts=("one", "two"), target="de", source="en", alternatives=3)
    try:
        result = engines.get(model).translate(request)
    except UnsupportedOptionError:
        return
    plain = engines.get(model).translate(msgspec.structs.replace(request, alternatives=1))
    assert result.texts == plain.texts
    assert result.units == plain.units
    for one, alone in zip(result.translations, plain.translations, strict=True):
        assert len({one.text, *one.alternatives}) == 1 + len(one.alternatives) <= 3
        assert alone.alternatives == ()


@pytest.mark.parametrize("model", having("classify"))
class TestClassify:
    def test_scores_are_shares_best_first(self, engines: Any, model: str) -> None:
        labels = LABELS.get(model, ("food", "cinema", "war"))
        request = ClassifyRequest(texts=("good film", "bad soup"), labels=labels)
        result = engines.get(model).classify(request)
        check(result, ClassifyResult, model)
        for item in result.classifications:
            scores = [one.score for one in item.scores]
            assert scores == sorted(scores, reverse=True)
            assert sum(scores) == pytest.approx(1.0)
            assert {one.label for one in item.scores} == set(request.labels)

    def test_with_several_labels_each_score_stands_alone(self, engines: Any, model: str) -> None:
        if model in LABELS:
            pytest.skip("it was trained to choose one of its labels")
        request = ClassifyRequest(texts=("good film",), labels=("a", "b", "c"), multi_label=True)
        scores = engines.get(model).classify(request).classifications[0].scores
        assert all(0 <= one.score <= 1 for one in scores)


@pytest.mark.parametrize("model", having("embed"))
class TestEmbed:
    def test_vectors_have_length_one_and_keep_their_order(self, engines: Any, model: str) -> None:
        texts = tuple(f"sentence {'very ' * n}long" for n in (9, 0, 40, 3))
        result = engines.get(model).embed(EmbedRequest(texts=texts))
        check(result, EmbedResult, model)
        matrix = np.asarray(result.vectors)
        assert matrix.shape[0] == 4 and matrix.dtype == np.float32
        assert np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)
        for text, row in zip(texts, matrix, strict=True):
            alone = np.asarray(engines.get(model).embed(EmbedRequest(texts=(text,))).vectors)
            # A product's rounding depends on the batch's shape, in the fourth digit of the 8-bit
            # graph; its direction does not.
            assert float(alone[0] @ row) > 0.9999

    def test_fewer_dimensions_are_normalised_again(self, engines: Any, model: str) -> None:
        result = engines.get(model).embed(EmbedRequest(texts=("a", "b"), dimensions=8))
        assert result.vectors.dimensions == 8
        assert np.allclose(np.linalg.norm(np.asarray(result.vectors), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("text", ["🙂", "안녕 hello こんにちは مرحبا", "a" * 5000, "\t x \u200b y"])
@pytest.mark.parametrize("model", [*having("speak"), *having("embed")])
def test_strange_text_is_answered_or_refused_in_one_line(
    engines: Any, model: str, text: str
) -> None:
    engine = engines.get(model)
    try:
        if "speak" in MODELS[model]:
            assert engine.speak(SpeakRequest(text=text[:500])).audio.duration > 0
        if "embed" in MODELS[model]:
            assert len(engine.embed(EmbedRequest(texts=(text,))).vector) > 0
    except OgamError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("model", MODELS)
def test_eight_callers_at_once_get_what_one_gets_alone(
    engines: Any, model: str, photo: Image, jfk: Audio
) -> None:
    engine = engines.get(model)
    short = Audio.from_pcm(jfk.pcm(16_000, 1).data[: 16_000 * 2 * 4], 16_000)
    calls = {
        "speak": lambda: engine.speak(SpeakRequest(text="at once")).audio.data,
        "see": lambda: engine.see(SeeRequest(image=photo)).boxes(),
        "transcribe": lambda: engine.transcribe(TranscribeRequest(audio=short)).segments,
        "embed": lambda: engine.embed(EmbedRequest(texts=("at once",))).vectors,
        "classify": lambda: (
            engine.classify(
                ClassifyRequest(texts=("at once",), labels=LABELS.get(model, ("a", "b")))
            ).classifications
        ),
        "generate": lambda: engine.generate(GenerateRequest(prompt="x", seed=1)).choices,
        "translate": lambda: (
            engine.translate(TranslateRequest(texts=("x",), target="de")).translations
        ),
    }
    for capability in MODELS[model]:
        alone = calls[capability]()
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda _, one=capability: calls[one](), range(8)))
        assert all(one == alone for one in together), capability
