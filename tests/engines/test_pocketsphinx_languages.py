"""transcribe by PocketSphinx with a folder's words: German and Spanish, said by eSpeak NG."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ogam import Ogam, registry
from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_recognition import (
    Keyword,
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.engines.espeak import EspeakEngine
from ogam.engines.pocketsphinx import PocketSphinxEngine
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.gateway import routing
from ogam.gateway.caller import Caller
from ogam.media import Audio
from ogam.routes import Routes

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")
pytest.importorskip("ogam_starter")

COMMANDS = "#JSGF V1.0; grammar c; public <c> = "
GERMAN = COMMANDS + (
    "(mach das LICHT an | öffne die Tür | schließe das Fenster | wie wird das Wetter morgen);"
)
SPANISH = COMMANDS + (
    "(enciende la luz | abre la puerta | cierra la ventana | qué tiempo hace mañana);"
)


@pytest.fixture(scope="module")
def speaker() -> Iterator[EspeakEngine]:
    one = EspeakEngine(ModelRef(name="espeak", engine="espeak"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, PocketSphinxEngine]]:
    found = {
        code: PocketSphinxEngine(registry.parse(f"starter/speech-{code}")) for code in ("de", "es")
    }
    yield found
    for one in found.values():
        one.close()


def said(speaker: EspeakEngine, text: str, voice: str) -> Audio:
    return speaker.speak(SpeakRequest(text=text, voice=voice, rate=0.9)).audio


def hear(engine: PocketSphinxEngine, audio: Audio, **options: object) -> TranscribeResult:
    return engine.transcribe(
        TranscribeRequest(audio=audio, options=RecognitionOptions(**options))  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("code", "grammar", "text", "tag"),
    [
        ("de", GERMAN, "öffne die Tür", "de-DE"),
        ("de", GERMAN, "wie wird das Wetter morgen", "de-DE"),
        ("es", SPANISH, "qué tiempo hace mañana", "es-ES"),
        ("es", SPANISH, "cierra la ventana", "es-ES"),
    ],
)
def test_a_grammar_is_heard_and_written_as_the_language_is_written(
    engines: dict[str, PocketSphinxEngine],
    speaker: EspeakEngine,
    code: str,
    grammar: str,
    text: str,
    tag: str,
) -> None:
    result = hear(engines[code], said(speaker, text, f"{code}+f2"), grammar=grammar)
    assert (result.text, result.language) == (text, tag)
    assert [word.text for word in result.words] == text.split()


def test_a_stream_ends_in_the_words_of_the_file(
    engines: dict[str, PocketSphinxEngine], speaker: EspeakEngine
) -> None:
    audio = said(speaker, "Ich habe heute keine Zeit, aber morgen können wir sprechen.", "de+f2")
    data = audio.pcm(16_000, 1).data
    whole = hear(engines["de"], Audio.from_pcm(data, 16_000), alternatives=3, language="de_AT")
    news = list(engines["de"].transcribe_stream(iter([data]), RecognitionOptions(alternatives=3)))
    assert whole.text
    assert isinstance(news[-1], TranscribeResult)
    assert news[-1].segments == whole.segments
    assert any(isinstance(one, PartialTranscript) and not one.is_final for one in news)
    readings = [one.text for segment in whole.segments for one in segment.alternatives]
    assert len(set(readings)) > 1
    edges = [edge for word in whole.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[-1] <= whole.duration


def test_keywords_and_phrases_take_any_case(
    engines: dict[str, PocketSphinxEngine], speaker: EspeakEngine
) -> None:
    audio = said(speaker, "gute Nacht", "de+f2")
    keywords = (Keyword(phrase="GUTE nacht", threshold=1e-50),)
    assert hear(engines["de"], audio, keywords=keywords).text == "gute Nacht"
    assert hear(engines["de"], audio, phrases=("Gute NACHT",)).text == "gute Nacht"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"grammar": COMMANDS + "zzgrb;"}, InvalidRequestError),
        ({"keywords": (Keyword(phrase="die zzgrb"),)}, InvalidRequestError),
        ({"phrases": ("die zzgrb",)}, UnsupportedOptionError),
    ],
)
def test_a_word_that_the_dictionary_lacks_is_named(
    engines: dict[str, PocketSphinxEngine],
    speaker: EspeakEngine,
    options: dict[str, object],
    error: type[Exception],
) -> None:
    with pytest.raises(error, match="no pronunciation of 'zzgrb'") as caught:
        hear(engines["de"], said(speaker, "öffne die Tür", "de+f2"), **options)
    assert "most frequent words" in (caught.value.hint or "")  # type: ignore[attr-defined]


def test_another_language_is_refused(engines: dict[str, PocketSphinxEngine]) -> None:
    with pytest.raises(UnknownLanguageError, match="'en-US'"):
        hear(engines["de"], Audio.from_pcm(bytes(3200), 16_000), language="en-US")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "model.json").unlink(), "model.json is missing"),
        (lambda folder: (folder / "model.json").write_text("{}"), "no.* a recogniser's manifest"),
        (lambda folder: (folder / "words.lm").unlink(), "words.lm missing"),
    ],
)
def test_a_folder_without_a_model_is_told(tmp_path: Path, change: object, why: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(str(registry.parse("starter/speech-es").folder), folder)
    change(folder)  # type: ignore[operator]
    engine = PocketSphinxEngine(ModelRef(name="x/y", engine="pocketsphinx", folder=folder))
    with pytest.raises(ConfigurationError, match=why):
        hear(engine, Audio.from_pcm(bytes(3200), 16_000))
    engine.close()


@pytest.mark.parametrize(
    ("language", "first"),
    [
        ("de", "starter/speech-de"),
        ("de-AT", "starter/speech-de"),
        ("es_MX", "starter/speech-es"),
        ("en-US", "pocketsphinx"),
        ("ko", "pocketsphinx"),
        (None, "pocketsphinx"),
    ],
)
def test_the_default_route_goes_by_the_language(language: str | None, first: str) -> None:
    about = routing.Facts(languages=None if language is None else (language,))
    plan = routing.plan(Routes().of("transcribe").steps, about, Caller())
    assert plan.steps[0].model == first


def test_the_library_hears_german_with_nothing_but_the_language(speaker: EspeakEngine) -> None:
    with Ogam() as ogam:
        result = ogam.transcribe(said(speaker, "Guten Morgen", "de+f2"), language="de")
        assert (result.model, result.language) == ("starter/speech-de", "de-DE")
        data = said(speaker, "Guten Morgen", "de+f2").pcm(16_000, 1).data
        with ogam.transcribe_stream(iter([data]), language="de") as news:
            *_, last = news
        assert last.segment is not None
        assert news.result.segments
        assert news.result.model == "starter/speech-de"
        with pytest.raises(UnknownLanguageError):
            ogam.transcribe(said(speaker, "Guten Morgen", "de+f2"), language="tlh")


@pytest.mark.parametrize("code", ["de", "es"])
def test_a_model_knows_its_own_files(code: str) -> None:
    folder = registry.parse(f"starter/speech-{code}").folder
    assert folder is not None
    told = json.loads((folder / "model.json").read_bytes())
    lines = (folder / "words.dict").read_text(encoding="utf-8").splitlines()
    words = {line.split()[0].lower() for line in lines}
    text = (folder / "words.lm").read_text(encoding="utf-8")
    unigrams = text.partition("\\1-grams:\n")[2].partition("\n\n")[0].splitlines()
    assert {line.split()[1] for line in unigrams} == words | {"<s>", "</s>"}
    assert told["understands"] == [code]
