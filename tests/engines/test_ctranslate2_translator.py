"""The engine that serves what ``ogam train transformer`` makes, with a model made here."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ctranslate2")
pytest.importorskip("sentencepiece")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ogam import registry  # noqa: E402
from ogam.capabilities import languages  # noqa: E402
from ogam.capabilities.base import CancelledWork, cancellable  # noqa: E402
from ogam.capabilities.translation import TranslateRequest, TranslateResult  # noqa: E402
from ogam.engines.ctranslate2_translator import corrections, marks, sentences  # noqa: E402
from ogam.engines.ctranslate2_translator.model import _joined, _Way  # noqa: E402
from ogam.errors import (  # noqa: E402
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    OgamError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.training import translation, translation_settings  # noqa: E402
from ogam.training.translation_data import SentencePieceTokens  # noqa: E402
from ogam.training.translation_settings import Settings  # noqa: E402

WORDS = {
    "en": ["red", "blue", "big", "small", "dog", "cat", "bird", "fish"],
    "de": ["rot", "blau", "groß", "klein", "Hund", "Katze", "Vogel", "Fisch"],
    "fr": ["rouge", "bleu", "grand", "petit", "chien", "chat", "oiseau", "poisson"],
}


def sentence(numbers: list[int], language: str) -> str:
    return " ".join(WORDS[language][number] for number in numbers) + "."


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that translates eight words from English and French into German, and into French."""
    before = torch.get_num_threads()
    place = tmp_path_factory.mktemp("translator")
    draw = random.Random(7)
    rows = ["source\ttarget\tsource_language\tlanguage"]
    for _ in range(500):
        numbers = [draw.randrange(8) for _ in range(draw.randrange(1, 5))]
        for source, target in (("en", "de"), ("fr", "de"), ("en", "fr")):
            rows.append(
                f"{sentence(numbers, source)}\t{sentence(numbers, target)}\t{source}\t{target}"
            )
    (place / "data.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = Settings(
        train=(str(place / "data.tsv"),),
        vocabulary=110,
        max_tokens=24,
        d_model=32,
        nhead=4,
        encoder_layers=1,
        decoder_layers=1,
        feed_forward=64,
        dropout=0.0,
        lr=0.005,
        schedule="inverse-sqrt",
        warmup=40,
        batch_tokens=600,
        updates=400,
        valid_every=100,
        save_every=1000,
        average=1,
        threads=1,
        precision="float32",
    )
    done = translation.train(settings, place / "run")
    torch.set_num_threads(before)
    assert done.model is not None
    assert min(one.bleu for one in done.valid.values()) > 95
    return done.model


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Any]:
    made = registry.Registry()
    yield made.get(f"ctranslate2_translator/{folder}")
    made.close()


def ask(engine: Any, *texts: str, target: str = "de", **other: Any) -> TranslateResult:
    return engine.translate(TranslateRequest(texts=texts, target=target, **other))


def test_it_translates_each_text_in_order_and_says_what_it_did(engine: Any, folder: Path) -> None:
    texts = ("red dog.", "small blue bird.", "cat.")
    result = ask(engine, *texts, source="en")
    assert result.texts == ("rot Hund.", "klein blau Vogel.", "Katze.")
    assert result.units.characters == sum(map(len, texts))
    assert (result.engine, result.model) == (
        "ctranslate2_translator",
        f"ctranslate2_translator/{folder}",
    )
    assert [one.source for one in result.translations] == ["en"] * 3
    assert [ask(engine, text, source="en").text for text in texts] == list(result.texts)


def test_the_target_is_what_decides_the_language(engine: Any) -> None:
    assert ask(engine, "small dog.", target="fr").text == "petit chien."
    assert ask(engine, "small dog.", target="DE").text == "klein Hund."
    assert ask(engine, "petit chien.", target="de-AT", source="FR").text == "klein Hund."


def test_white_space_and_what_has_no_words_stay_as_they_are(engine: Any) -> None:
    text = "  red dog.\r\n\r\n---\n cat. \t... \n"
    made = ask(engine, text, "!\n", source="en").texts
    assert made == ("  rot Hund.\r\n\r\n---\n Katze. \t... \n", "!\n")


def test_a_long_text_is_cut_where_the_model_must(engine: Any) -> None:
    words = [WORDS["en"][n % 8] for n in range(120)]
    made = ask(engine, " ".join(words) + ".", source="en").text
    assert len(made.split()) > 24, "more words than the model can write at a time"
    assert set(WORDS["de"]) <= {word.strip(".") for word in made.split()}


@pytest.mark.parametrize(
    ("target", "source", "told"),
    [("ko", None, "'ko'"), ("fr", "fr", "'fr' into 'fr'"), ("de", "ja", "'ja' into 'de'")],
)
def test_a_pair_it_has_not_is_refused_and_those_it_has_are_named(
    engine: Any, target: str, source: str | None, told: str
) -> None:
    with pytest.raises(UnknownLanguageError, match=told) as caught:
        ask(engine, "x", target=target, source=source)
    assert "en-de, en-fr, fr-de" in caught.value.hint


def test_the_source_is_found_out_where_there_are_several(engine: Any) -> None:
    result = ask(engine, "the dog is small and this is that.", "le chien est petit et la nuit")
    assert [one.source for one in result.translations] == ["en", "fr"]


def test_formality_is_refused_unless_only_preferred(engine: Any) -> None:
    for wanted in ("more", "less"):
        with pytest.raises(UnsupportedOptionError, match="formality"):
            ask(engine, "red dog.", formality=wanted)
    assert ask(engine, "red dog.", source="en", formality="prefer_more").text == "rot Hund."


@pytest.fixture(scope="module")
def grown(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The model above, gone on with: Japanese, politeness, corrections and marks besides."""
    before = torch.get_num_threads()
    place = tmp_path_factory.mktemp("grown")
    draw = random.Random(8)
    japanese = ["赤い", "青い", "大きい", "小さい", "犬", "猫", "鳥", "魚"]
    rows = ["source\ttarget\tsource_language\tlanguage"]
    for _ in range(400):
        numbers = [draw.randrange(8) for _ in range(draw.randrange(1, 5))]
        english, german = sentence(numbers, "en"), sentence(numbers, "de")
        one, two = marks.MARKS[:2]
        twice = german.replace(" ", " als als ", 1)
        rows += [
            f"{english}\t{german}\ten\tde",
            f"{english}\tBitte {german}\ten\tde-x-formal",
            f"{english}\t{''.join(japanese[one] for one in numbers)}。\ten\tja",
            f"{one} {english}\t{one} {german}\ten\tde",
            f"{one} {two} {english}\t{one} {two} {german}\ten\tde",
            f"{twice}\t{german}\tde\tde-x-correct",
        ]
    (place / "data.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = msgspec.structs.replace(
        translation_settings.settings_of(folder.parent),
        train=(str(place / "data.tsv"),),
        start=str(folder.parent),
        vocabulary=140,
        updates=400,
        max_tokens=24,
    )
    done = translation.train(settings, place / "run")
    torch.set_num_threads(before)
    assert done.model is not None
    made = registry.Registry()
    yield made.get(f"ctranslate2_translator/{done.model}")
    made.close()


def test_a_run_begun_from_another_learns_and_keeps(grown: Any, folder: Path) -> None:
    assert ask(grown, "red dog.", source="en").text == "rot Hund."
    assert ask(grown, "red dog.", target="ja").text == "赤い犬。"
    assert grown.languages() == (("en", "de"), ("en", "ja")), "a manner is no language"
    own, first = (
        SentencePieceTokens(Path(one) / "spm.model").vocabulary
        for one in (grown._ref.folder, folder)
    )
    assert own[: len(first)] == first, "numbers stay"


def test_manners_are_asked_for(grown: Any) -> None:
    assert grown.formal == ["de"]
    assert grown.corrected == ["de"]
    for wanted in ("more", "prefer_more"):
        assert ask(grown, "red dog.", formality=wanted).text == "Bitte rot Hund."
    assert ask(grown, "red dog.", source="en", formality="prefer_less").text == "rot Hund."
    with pytest.raises(UnsupportedOptionError, match="formality in 'de'"):
        ask(grown, "red dog.", formality="less")
    with pytest.raises(UnsupportedOptionError, match="formality in 'ja'"):
        ask(grown, "red dog.", target="ja", formality="more")
    fixed = ask(grown, "rot als als Hund.", target="de-x-correct")
    assert (fixed.text, fixed.translations[0].source) == ("rot Hund.", "de")
    assert ask(grown, "rot Hund.", source="de", target="de-x-correct").text == "rot Hund."
    for target, source in (("ja-x-correct", None), ("de-x-correct", "en"), ("de-x-formal", "en")):
        with pytest.raises(UnknownLanguageError, match=f"into '{target}'"):
            ask(grown, "red dog.", target=target, source=source)


def test_numbers_are_carried_over(grown: Any) -> None:
    texts = ("48213 red dog.", "red dog.", "12:30 big cat. 2024 fish.")
    assert ask(grown, *texts, source="en").texts == (
        "48213 rot Hund.",
        "rot Hund.",
        "12:30 groß Katze. 2024 Fisch.",
    )
    (one,) = ask(grown, "48213 red dog.", source="en", alternatives=3).translations
    assert all("48213" in text and "\ue000" not in text for text in (one.text, *one.alternatives))
    # Where the model does not put the marks as they should be, it gets the text as it is.
    lost = ask(grown, "red 48213 dog 48214 cat 48215 fish 48216 bird 48217.", source="en").text
    assert lost and not re.search("[\ue000-\ue00f]", lost)


@given(st.text())
def test_marks_stand_for_what_was_there(text: str) -> None:
    masked, kept = marks.masked(text)
    assert marks.filled(masked, kept) == text
    assert marks.masked(masked) == ((masked, []) if kept else (masked, kept))


def test_what_is_marked() -> None:
    masked, kept = marks.masked("Mail a.b@c.org 3 times, {name}: 19.99 or 1,234.50 in AB-1234, x1.")
    assert kept == ["a.b@c.org", "{name}", "19.99", "1,234.50", "AB-1234"]
    assert masked == "Mail \ue000 3 times, \ue001: \ue002 or \ue003 in \ue004, x1."
    assert marks.filled("\ue001 \ue000", ["1", "2"]) == "2 1"
    for lost in ("", "\ue000", "\ue000\ue000", "\ue000\ue001\ue002"):
        assert marks.filled(lost, ["1", "2"]) is None


@pytest.mark.parametrize(
    ("text", "corrected", "taken"),
    [
        (
            "this is a sentense with erors",
            "This is a teacher with him.",
            "This is a sentense with erors",
        ),
        ("this is a sentense", "This is a sentence.", "This is a sentence."),
        ("She don't like it.", "She doesn't like it.", "She doesn't like it."),
        ("He go home.", "He goes home.", "He goes home."),
        ("we was at the beech", "We were at the bee.", "We were at the beech."),
        ("A short text", "A short text about something", "A short text"),
        ("Hello", "", "Hello"),
    ],
)
def test_a_correction_is_like_what_it_corrects(text: str, corrected: str, taken: str) -> None:
    assert corrections.taken(text, corrected).rstrip(" .") == taken.rstrip(" .")


@given(st.text())
def test_what_needs_no_correction_stays(text: str) -> None:
    assert corrections.taken(text, text) == text


def test_a_beginning_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    run = folder.parent
    settings = translation_settings.settings_of(run)
    other = msgspec.structs.replace(settings, start=str(run), d_model=64)
    with pytest.raises(InvalidRequestError, match="d_model is 64, and 32 in the run"):
        translation.train(other, tmp_path / "run")
    nowhere = msgspec.structs.replace(settings, start=str(tmp_path / "none"))
    with pytest.raises(InvalidRequestError, match="holds no run"):
        translation.train(nowhere, tmp_path / "run")
    alone = msgspec.structs.replace(settings, keep=0.5)
    with pytest.raises(InvalidRequestError, match="no weights to keep"):
        translation.train(alone, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_without_the_one_it_began_from(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(folder.parent, first)
    begun = msgspec.structs.replace(
        translation_settings.settings_of(first), start=str(first), updates=2, save_every=1
    )
    translation.train(begun, second)
    shutil.rmtree(first)
    longer = translation_settings.settings_of(second, updates=3)
    assert translation.train(longer, second, resume=True).update == 3


def test_a_glossary_is_kept_or_refused(engine: Any) -> None:
    terms = (("dog", "Köter"), ("horse", "Pferd"), ("cat", "Katze"))
    made = ask(engine, "red dog.", "cat.", "bigdog.", source="en", glossary=terms)
    assert made.texts[:2] == ("rot Köter.", "Katze.")
    assert "Köter" not in made.texts[2], "only whole words are terms"
    with pytest.raises(UnsupportedOptionError, match="'Mops'"):
        # The two fight for one word.
        ask(engine, "red dog.", source="en", glossary=(("red dog", "Mops"), ("dog", "Rex")))


@pytest.mark.parametrize("count", [2, 4, 20])
def test_alternatives_are_other_texts_the_best_first(engine: Any, count: int) -> None:
    texts = ("red dog.", "  cat.\n\nbig blue fish. ", "!")
    plain = ask(engine, *texts, source="en")
    result = ask(engine, *texts, source="en", alternatives=count)
    if count <= 4:
        assert result.texts == plain.texts
    for one in result.translations[:2]:
        assert 1 <= len(one.alternatives) < count
        assert len({one.text, *one.alternatives}) == 1 + len(one.alternatives)
    _, second, marks = result.translations
    assert len(second.alternatives) == count - 1, "two sentences have many ways together"
    assert all(one.startswith("  ") and one.endswith(" ") for one in second.alternatives)
    assert all("\n\n" in one for one in second.alternatives)
    assert (marks.text, marks.alternatives) == ("!", ())
    assert result.units == plain.units


def test_the_best_joined_texts_are_those_of_the_highest_sums() -> None:
    draw = random.Random(4)
    pieces = [[_Way(f"{at}{n} ", -draw.random()) for n in range(3)] for at in "abcd"]
    every = sorted(itertools.product(*pieces), key=lambda ways: -sum(one.score for one in ways))
    wanted = ["".join(one.text for one in ways) for ways in every]
    assert _joined(pieces, 1) == wanted[:1]
    assert _joined(pieces, 20) == wanted[:20]
    assert _joined([], 3) == [""]


def test_a_glossary_holds_for_the_alternatives_too(engine: Any) -> None:
    (made,) = ask(
        engine, "red dog.", source="en", alternatives=4, glossary=(("dog", "Köter"),)
    ).translations
    assert made.text == "rot Köter."
    assert all("Köter" in one for one in made.alternatives)
    assert len({made.text, *made.alternatives}) == 1 + len(made.alternatives)


def test_marks_in_a_text_do_not_steer_the_model(engine: Any) -> None:
    for mark in ("<2fr>", "</s>", "<s>"):
        made = ask(engine, f"{mark} red dog.", source="en").text
        assert "rouge" not in made and "chien" not in made


@pytest.mark.parametrize(
    "text", ["🙂", "안녕 hello こんにちは مرحبا", "a" * 3000, "\t x \u200b y", "."]
)
def test_strange_text_is_answered_or_refused_in_one_line(engine: Any, text: str) -> None:
    try:
        assert isinstance(ask(engine, text, source="en").text, str)
    except OgamError as error:
        assert "\n" not in str(error)


def test_eight_callers_at_once_get_what_one_gets_alone(engine: Any) -> None:
    alone = ask(engine, "red dog.", "big blue fish.", source="en")
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(ask, engine, "red dog.", "big blue fish.", source="en") for _ in range(16)
        ]
        assert all(one.result() == alone for one in calls)


def test_a_caller_who_leaves_stops_the_work(engine: Any) -> None:
    def work() -> None:
        gone = threading.Event()
        gone.set()
        cancellable(gone)
        ask(engine, "red dog.")

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()


def test_making_one_loads_nothing_and_closing_it_lets_go(folder: Path) -> None:
    ref = registry.parse(f"ctranslate2_translator/{folder}")
    made = registry.engine_class(ref.engine)(ref)
    made.close()
    assert ask(made, "red dog.", source="en").text == "rot Hund."
    made.close()
    made.close()


def test_a_name_without_a_folder_and_a_folder_without_a_model_are_refused(
    tmp_path: Path, folder: Path
) -> None:
    bare = registry.parse("ctranslate2_translator")
    with pytest.raises(NotConfiguredError, match="names no model"):
        ask(registry.engine_class(bare.engine)(bare), "x")
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "model.bin").write_bytes(b"nothing")
    half = tmp_path / "half"
    half.mkdir()
    (half / "model.json").write_text(json.dumps({"name": "x"}))
    for place in (tmp_path, half, damaged):
        ref = registry.parse(f"ctranslate2_translator/{place}")
        with pytest.raises(ConfigurationError) as caught:
            ask(registry.engine_class(ref.engine)(ref), "x")
        assert "\n" not in str(caught.value)


# Sentences and languages


@given(st.text(alphabet=st.sampled_from("aB.!?… \n\r\t\"'。！3-)»"), max_size=60))
def test_splitting_loses_nothing(text: str) -> None:
    pieces = sentences.split(text)
    assert "".join(one.text + one.space for one in pieces) == text
    assert all(one.text == one.text.strip() for one in pieces)


@given(st.text(alphabet=st.sampled_from("ab ,;、"), min_size=1, max_size=80), st.integers(1, 20))
def test_halving_loses_nothing_and_fits(text: str, limit: int) -> None:
    pieces = sentences.halve(text, lambda part: len(part) <= limit)
    assert "".join(one.text + one.space for one in pieces) == text
    assert all(len(one.text) <= limit for one in pieces)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Mr. Smith met J. R. Brown at 3 p.m. Yesterday.", 1),
        ("It costs 19.99 euros. Fine.", ["It costs 19.99 euros.", "Fine."]),
        ("Er kam z.B. Montag. „Ja.“ Gut.", ["Er kam z.B. Montag.", "„Ja.“", "Gut."]),
        ("好的。你好！", ["好的。", "你好！"]),
        ("wait... what", 1),
        ("a\nb", ["a", "b"]),
    ],
)
def test_sentences_end_where_they_should(text: str, parts: Any) -> None:
    found = [one.text for one in sentences.split(text) if one.text]
    assert found == ([text] if parts == 1 else parts)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Guten Morgen, wie geht es Ihnen heute?", "de"),
        ("Bonjour, comment allez-vous ce matin ?", "fr"),
        ("The weather is nice today.", "en"),
        ("¿Dónde está la biblioteca?", "es"),
        ("오늘은 날씨가 좋다.", "ko"),
        ("今日はいい天気です。", "ja"),
        ("今天天气很好。", "zh"),
        ("Сегодня хорошая погода.", "ru"),
    ],
)
def test_the_language_of_a_sentence_is_guessed(text: str, language: str) -> None:
    assert languages.guess(text, ["en", "de", "fr", "es", "ko", "ja", "zh", "ru"]) == language


def test_tags_are_found_in_any_case_and_by_their_base() -> None:
    known = ["en", "pt-BR", "zh-Hans", "zh-Hant"]
    assert languages.find("EN-us", known) == "en"
    assert languages.find("pt", known) == "pt-BR" == languages.find("PT-br", known)
    assert languages.find("pt-PT", known) is None
    assert languages.find("zh", known) is None


def test_the_manifest_says_what_the_engine_needs(folder: Path) -> None:
    about = msgspec.json.decode((folder / "model.json").read_bytes())
    assert about["engine"] == "ctranslate2_translator" and about["capabilities"] == ["translate"]
    assert about["target_tokens"] == {"de": "<2de>", "fr": "<2fr>"}
    assert set(about["files"]) == {
        path.name for path in folder.iterdir() if path.name != "model.json"
    }
