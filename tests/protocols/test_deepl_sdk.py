"""DeepL's own SDK against a server, and what it cannot send, raw."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
import types
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import Any, ClassVar

import deepl
import pytest
from deepl import http_client
from deepl.api_data import MultilingualGlossaryDictionaryEntries as Entries

from ogam import config as configuration
from ogam import registry
from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.translation import TranslateRequest, TranslateResult, Translation
from ogam.config import Config, Routes
from ogam.errors import EngineError, UnsupportedOptionError
from ogam.protocols.deepl import patient, registers, routes_documents

from .conftest import KEY, Address, running

WORDS = {
    "red": "rot",
    "house": "Haus",
    "the": "das",
    "is": "ist",
    "good": "gut",
    "morning": "Morgen",
}


class WordsEngine:
    """Word for word, English to German alone; knows no glossary and is as slow as it is told."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"translate"})
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    calls = 0
    fails = 0

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    def close(self) -> None: ...

    def languages(self) -> tuple[tuple[str, str], ...]:
        return (("en", "de"),)

    def translate(self, request: TranslateRequest) -> TranslateResult:
        type(self).calls += 1
        if request.glossary:
            raise UnsupportedOptionError("words knows no glossary.", param="glossary")
        if type(self).fails:
            type(self).fails -= 1
            raise EngineError("words is broken.")
        if any("slow" in text for text in request.texts):
            time.sleep(2.5)
        return TranslateResult(
            engine="words",
            model=self._ref.name,
            units=Units(characters=1),
            translations=tuple(
                Translation(
                    text=re.sub(r"\w+", lambda one: WORDS.get(one[0].lower(), one[0]), text),
                    source="en",
                )
                for text in request.texts
            ),
            target=request.target,
        )


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server whose translator has one pair and no glossary, its generator the starter."""
    module = types.ModuleType("ogam_test_words")
    module.WordsEngine = WordsEngine
    sys.modules["ogam_test_words"] = module
    registry.BUILT_IN["words"] = "ogam_test_words:WordsEngine"
    data = str(tmp_path_factory.mktemp("data"))
    try:
        with running(
            Config(routes=Routes(translate=("words",)), server=configuration.Server(data=data)),
            grpc=False,
        ) as address:
            yield address
    finally:
        del registry.BUILT_IN["words"], sys.modules["ogam_test_words"]


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "max_network_retries", 0)


def client(address: Address, key: str = KEY) -> deepl.DeepLClient:
    return deepl.DeepLClient(key, server_url=f"{address.http}/")


def raw(
    address: Address,
    method: str,
    path: str,
    body: bytes | None = None,
    kind: str = "application/json",
    **headers: str,
) -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(f"{address.http}{path}", body, method=method)
    request.add_header("Authorization", f"DeepL-Auth-Key {KEY}")
    request.add_header("Content-Type", kind)
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
            return (
                answer.status,
                json.loads(text) if text.strip().startswith((b"{", b"[")) else text,
                dict(answer.headers),
            )
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), dict(error.headers)


FORM = "application/x-www-form-urlencoded"


def test_texts_come_back_in_order_with_their_bill(fake_server):
    many = client(fake_server).translate_text(["One.", "Zwei\n\ndrei é"], target_lang="DE")
    assert [one.text for one in many] == ["[de] One.", "[de] Zwei\n\n[de] drei é"]
    assert [one.billed_characters for one in many] == [4, 12]
    assert [one.detected_source_lang for one in many] == ["EN", "EN"]
    assert client(fake_server).translate_text("  ", target_lang="DE").text == "  "


def test_variants_reach_the_engine_as_tags(fake_server):
    for code, tag in (("EN-US", "en-US"), ("zh-hans", "zh-Hans"), ("PT-BR", "pt-BR")):
        assert client(fake_server).translate_text("a", target_lang=code).text == f"[{tag}] a"


def test_tags_stay_around_their_words(words):
    own = client(words)
    made = own.translate_text(
        "<p>The <b>red</b> <i>house</i></p>", target_lang="DE", tag_handling="html"
    )
    assert made.text == "<p>das <b>rot</b> <i>Haus</i></p>" and made.billed_characters == 13
    made = own.translate_text(
        "<d>the <k>red</k> house</d>", target_lang="DE", tag_handling="xml", ignore_tags="k,l"
    )
    assert made.text == "<d>das <k>red</k> Haus</d>"
    with pytest.raises(deepl.DeepLException, match="do not match"):
        own.translate_text("<d>", target_lang="DE", tag_handling="xml")


def test_line_breaks_split_or_do_not(words):
    own = client(words)
    WordsEngine.calls = 0
    for split in ("0", "1", "nonewlines"):
        made = own.translate_text("the red\nhouse", target_lang="DE", split_sentences=split)
        assert made.text == "das rot\nHaus"


def test_formatting_is_preserved_where_that_is_asked(words):
    made = client(words).translate_text("The house", target_lang="DE", preserve_formatting=True)
    assert made.text == "Das Haus"


def test_model_type_and_tag_version_are_told_when_asked(fake_server):
    body = {"text": ["a"], "target_lang": "DE"}
    _, plain, headers = raw(fake_server, "POST", "/v2/translate", json.dumps(body).encode())
    assert set(plain["translations"][0]) == {"detected_source_language", "text"}
    assert headers["x-trace-id"] and headers["x-ogam-model"] == "fake"
    body |= {"model_type": "prefer_quality_optimized", "tag_handling": "xml"}
    _, told, _ = raw(fake_server, "POST", "/v2/translate", json.dumps(body).encode())
    assert told["translations"][0]["model_type_used"] == "quality_optimized"
    assert told["translations"][0]["tag_handling_version"] == "v2"


def test_forms_of_old_clients_are_answered_as_json_is(fake_server):
    fields = [
        ("text", "a, b"),
        ("text", "<x>c</x>"),
        ("target_lang", "de"),
        ("tag_handling", "xml"),
        ("ignore_tags", "x,y"),
        ("outline_detection", "0"),
        ("show_billed_characters", "1"),
    ]
    status, made, _ = raw(
        fake_server, "POST", "/v2/translate", urllib.parse.urlencode(fields).encode(), FORM
    )
    assert status == 200
    assert [one["text"] for one in made["translations"]] == ["[de] a, b", "<x>c</x>"]
    assert made["translations"][0]["billed_characters"] == 4
    bad = urllib.parse.urlencode({"text": "a", "target_lang": "de", "formality": "very"})
    assert raw(fake_server, "POST", "/v2/translate", bad.encode(), FORM)[0] == 400


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"text": []}, 400),
        ({"text": ["a"] * 51}, 400),
        ({"text": "a"}, 400),
        ({"target_lang": "XX"}, 400),
        ({"source_lang": "QQ"}, 400),
        ({"formality": "more", "target_lang": "EN-US"}, 400),
        ({"style_id": "x"}, 400),
        ({"translation_memory_id": "x"}, 400),
        ({"glossary_id": "x"}, 400),
        ({"glossary_id": "../../x", "source_lang": "EN"}, 404),
        ({"glossary_ids": ["x"] * 6, "source_lang": "EN"}, 400),
        ({"custom_instructions": ["x" * 301]}, 400),
        ({"text": ["x" * 140_000]}, 413),
        ({"text": ["a\u0000b"]}, 400),
    ],
)
def test_what_is_wrong_is_told_in_the_vendors_shape(fake_server, changes, status):
    body = {"text": ["a"], "target_lang": "DE", **changes}
    got, said, _ = raw(fake_server, "POST", "/v2/translate", json.dumps(body).encode())
    assert got == status and isinstance(said["message"], str) and "\n" not in said["message"]


def test_a_wrong_key_is_the_sdks_own_exception(fake_server):
    with pytest.raises(deepl.AuthorizationException):
        client(fake_server, "another").get_usage()


def test_languages_are_the_engines(words, fake_server):
    own = client(words)
    assert [one.code for one in own.get_source_languages()] == ["EN"]
    (only,) = own.get_target_languages()
    assert (only.code, only.name, only.supports_formality) == ("DE", "German", False)
    assert [(one.source_lang, one.target_lang) for one in own.get_glossary_languages()] == [
        ("en", "de")
    ]
    targets = [one.code for one in client(fake_server).get_target_languages()]
    assert {"EN-US", "EN-GB", "DE", "KO"} <= set(targets) and "EN" not in targets
    _, by_query, _ = raw(fake_server, "GET", "/v2/languages?type=target")
    assert [one["language"] for one in by_query] == targets
    for pair in (("EN", "FR"), ("DE", "DE")):
        with pytest.raises(deepl.DeepLException):
            own.translate_text("a", source_lang=pair[0], target_lang=pair[1])
    with pytest.raises(deepl.DeepLException, match="formality"):
        own.translate_text("a", target_lang="DE", formality="less")
    assert own.translate_text("red", target_lang="DE", formality="prefer_less").text == "rot"


def test_usage_grows_by_what_is_billed(fake_server):
    own = client(fake_server)
    before = own.get_usage().character
    own.translate_text("<b>four</b>", target_lang="DE", tag_handling="xml")
    assert own.get_usage().character.count - before.count == 4 and before.limit > before.count


def test_a_glossary_lives_on_disk_and_in_the_translation(words):
    own = client(words)
    made = own.create_glossary("mine", "EN", "DE", {"red house": "Rotbau", "Zorblax": "Quimbel"})
    try:
        again = own.get_glossary(made.glossary_id)
        assert (again.name, again.entry_count, again.ready) == ("mine", 2, True)
        assert own.get_glossary_entries(made)["red house"] == "Rotbau"
        text = own.translate_text(
            "The red house, Zorblax.", source_lang="EN", target_lang="DE", glossary=made
        )
        assert text.text == "das Rotbau, Quimbel."
        with_tags = own.translate_text(
            "<p>the <b>red house</b> is red</p>",
            source_lang="EN",
            target_lang="DE",
            glossary=made,
            tag_handling="html",
        )
        assert with_tags.text == "<p>das <b>Rotbau</b> ist rot</p>"
        assert made.glossary_id in [one.glossary_id for one in own.list_glossaries()]
    finally:
        own.delete_glossary(made)
    with pytest.raises(deepl.GlossaryNotFoundException):
        own.get_glossary(made.glossary_id)


def test_a_glossary_of_several_pairs_is_merged_replaced_and_cut(fake_server):
    own = client(fake_server)
    made = own.create_multilingual_glossary(
        "m", [Entries("EN", "DE", {"a": "b"}), Entries("DE", "EN", {"b": "a"})]
    )
    own.update_multilingual_glossary_dictionary(made, Entries("EN", "DE", {"c": "d"}))
    assert (
        own.get_multilingual_glossary_entries(made, "EN", "DE").dictionaries[0].entries
        == "a\tb\nc\td"
    )
    assert (
        own.replace_multilingual_glossary_dictionary(
            made, Entries("EN", "FR", {"x": "y"})
        ).entry_count
        == 1
    )
    assert own.update_multilingual_glossary_name(made, "n").name == "n"
    own.delete_multilingual_glossary_dictionary(made, source_lang="DE", target_lang="EN")
    left = own.get_multilingual_glossary(made.glossary_id)
    assert [(one.source_lang, one.target_lang) for one in left.dictionaries] == [
        ("EN", "DE"),
        ("EN", "FR"),
    ]
    own.delete_multilingual_glossary(made)


@pytest.mark.parametrize(
    ("entries", "form"),
    [
        ("a\tb\na\tc", "tsv"),
        ("a", "tsv"),
        ("", "tsv"),
        ("a\tb\tc", "tsv"),
        ("\tb", "tsv"),
        ('"a,b', "csv"),
    ],
)
def test_wrong_entries_are_refused(fake_server, entries, form):
    body = {
        "name": "x",
        "source_lang": "en",
        "target_lang": "de",
        "entries": entries,
        "entries_format": form,
    }
    assert raw(fake_server, "POST", "/v2/glossaries", json.dumps(body).encode())[0] == 400


def test_a_glossary_comes_as_csv_and_as_a_form_too(fake_server):
    own = client(fake_server)
    made = own.create_glossary_from_csv("c", "EN", "DE", 'one,"eins, zwei"\ntwo,zwei,en,de\n')
    assert own.get_glossary_entries(made) == {"one": "eins, zwei", "two": "zwei"}
    form = {
        "name": "f",
        "source_lang": "en",
        "target_lang": "de",
        "entries": "a\tb, c",
        "entries_format": "tsv",
    }
    status, told, _ = raw(
        fake_server, "POST", "/v2/glossaries", urllib.parse.urlencode(form).encode(), FORM
    )
    assert status == 201 and own.get_glossary_entries(told["glossary_id"]) == {"a": "b, c"}


def test_writing_goes_to_the_text_engine_or_is_refused(fake_server, words):
    made = client(fake_server).rephrase_text(["this is bad", "das ist nicht gut"], style="business")
    assert [one.detected_source_language for one in made] == ["en", "de"]
    assert client(fake_server).correct_text("helo", target_lang="EN-US").target_language == "en-US"
    with pytest.raises(deepl.DeepLException, match="follows no instructions"):
        client(words).correct_text("helo")
    for options in (
        {"style": "loud"},
        {"style": "business", "tone": "friendly"},
        {"target_lang": "XX"},
    ):
        with pytest.raises(deepl.DeepLException, match="Bad request"):
            client(fake_server).rephrase_text("a b", **options)


def test_a_slow_answer_is_sent_once(words, monkeypatch):
    monkeypatch.setattr(patient, "PATIENCE", 0.2)
    monkeypatch.setattr(http_client, "max_network_retries", 3)
    monkeypatch.setattr(http_client, "min_connection_timeout", 1.0)
    WordsEngine.calls = 0
    assert client(words).translate_text("slow house", target_lang="DE").text == "slow Haus"
    assert WordsEngine.calls == 1


def test_an_engines_failure_is_a_500_in_the_vendors_shape(words):
    WordsEngine.fails = 1
    with pytest.raises(deepl.DeepLException, match="is broken") as found:
        client(words).translate_text("red", target_lang="DE")
    assert found.value.http_status_code == 500


def docx() -> bytes:
    out = io.BytesIO()
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(
            "word/document.xml",
            f"<w:document {space}><w:body><w:p><w:r><w:t>the </w:t></w:r>"
            "<w:r><w:rPr><w:b/></w:rPr><w:t>red</w:t></w:r></w:p></w:body></w:document>",
        )
    return out.getvalue()


def test_a_document_is_translated_fetched_once_and_gone(words):
    pytest.importorskip("lxml")
    own = client(words)
    handle = own.translate_document_upload(docx(), target_lang="DE", filename="a.docx")
    status = own.translate_document_get_status(handle)
    assert status.done and status.billed_characters == 7
    out = io.BytesIO()
    own.translate_document_download(handle, out)
    with zipfile.ZipFile(out) as file:
        made = file.read("word/document.xml").decode()
    assert "das </w:t>" in made and "<w:rPr><w:b/></w:rPr><w:t>rot</w:t>" in made
    deadline = threading.Event()
    for _ in range(50):  # it is deleted once it is sent, which we may notice first
        try:
            own.translate_document_get_status(handle)
        except deepl.DeepLException as error:
            assert error.http_status_code == 404
            break
        deadline.wait(0.1)
    else:
        pytest.fail("the document is still there")


def test_a_document_obeys_a_glossary_and_needs_its_key(words):
    own = client(words)
    glossary = own.create_glossary("g", "EN", "DE", {"house": "Bau"})
    handle = own.translate_document_upload(
        "the house\n", source_lang="EN", target_lang="DE", filename="a.txt", glossary=glossary
    )
    with pytest.raises(deepl.DeepLException) as found:
        own.translate_document_get_status(deepl.DocumentHandle(handle.document_id, "0" * 64))
    assert found.value.http_status_code == 404
    assert own.translate_document_get_status(handle).done
    out = io.BytesIO()
    own.translate_document_download(handle, out)
    assert out.getvalue() == b"das Bau\n"


def test_a_document_that_fails_says_why(words):
    own = client(words)
    handle = own.translate_document_upload(
        b"PK\x03\x04rubbish", target_lang="DE", filename="a.docx"
    )
    status = own.translate_document_get_status(handle)
    assert not status.ok and "damaged" in status.error_message
    for name, data in (("a.pdf", b"%PDF-1.7"), ("a.exe", b"MZ"), ("a.txt", b"")):
        with pytest.raises(deepl.DeepLException) as found:
            own.translate_document_upload(data, target_lang="DE", filename=name)
        assert found.value.http_status_code == 400
    with pytest.raises(deepl.DeepLException, match="output_format"):
        own.translate_document_upload(
            b"a", target_lang="DE", filename="a.txt", output_format="output_format"
        )


def test_a_document_that_was_waiting_goes_on_after_a_restart(words, monkeypatch):
    # The first try ends as one that the server's stop has cut off.
    WordsEngine.fails = 1
    monkeypatch.setattr(routes_documents, "_WAIT", 5.0)
    own = client(words)
    handle = own.translate_document_upload("red", target_lang="DE", filename="a.txt")
    first = own.translate_document_get_status(handle)
    second = own.translate_document_get_status(handle)
    assert first.ok and second.done


def test_a_slow_document_is_not_ready_and_then_is(words, monkeypatch):
    monkeypatch.setattr(routes_documents, "_WAIT", 0.1)
    own = client(words)
    handle = own.translate_document_upload("slow red", target_lang="DE", filename="a.txt")
    status = own.translate_document_get_status(handle)
    assert status.status == deepl.DocumentStatus.Status.TRANSLATING
    with pytest.raises(deepl.exceptions.DocumentNotReadyException):
        own.translate_document_download(handle, io.BytesIO())
    monkeypatch.setattr(routes_documents, "_WAIT", 5.0)
    assert own.translate_document_get_status(handle).done


class TestTheStarter:
    """What the model that ships can be asked for beside plain translation."""

    def test_numbers_and_addresses_are_carried_over(self, starter_server):
        text = "Order 48213 costs 19.99 euros.\nPlease write to ann@example.org."
        made = client(starter_server).translate_text(text, source_lang="EN", target_lang="DE").text
        assert "48213" in made and "19.99" in made and "ann@example.org" in made
        assert made.count("\n") == 1

    def test_formality_is_obeyed_or_refused(self, starter_server):
        own = client(starter_server)
        languages = {one.code: one.supports_formality for one in own.get_target_languages()}
        assert languages["DE"] and languages["JA"] and not languages["EN-US"]
        ask = {"source_lang": "EN", "target_lang": "DE"}
        formal, familiar = (
            own.translate_text("Can you help me?", formality=one, **ask).text
            for one in ("more", "less")
        )
        assert "Sie" in formal and "du" in familiar.lower()
        with pytest.raises(deepl.DeepLException, match="formality"):
            own.translate_text("Hallo", target_lang="EN-US", formality="more")

    def test_japanese_and_korean_are_read(self, starter_server):
        own = client(starter_server)
        for text, source in (("私は学生です。", "JA"), ("나는 학생입니다.", "KO")):
            made = own.translate_text(text, target_lang="EN-US")
            assert made.detected_source_lang == source
            assert "student" in made.text

    def test_texts_are_corrected(self, starter_server):
        own = client(starter_server)
        assert own.correct_text("I is happy.").text in ("I am happy.", "I'm happy.")
        one, two = own.rephrase_text(["He go home.", "It is late now."], tone="friendly")
        assert one.text != "He go home." and one.detected_source_language == "en"
        assert two.text == "It's late now."
        for options in ({"tone": "confident"}, {"style": "simple"}):
            with pytest.raises(deepl.DeepLException, match="cannot be written here"):
                own.rephrase_text("It is late.", **options)
        assert own.rephrase_text("It is late.", tone="prefer_confident").text == "It is late."
        with pytest.raises(deepl.DeepLException, match="in 'it' are not corrected"):
            own.rephrase_text("Fa molto freddo oggi.", target_lang="IT")


@pytest.mark.parametrize(
    ("text", "register", "made"),
    [
        ("I am sure that it is late.", "short", "I'm sure that it's late."),
        ("Yes, I am.", "short", "Yes, I am."),
        ("Do not go. IT IS LATE.", "short", "Don't go. It's LATE."),
        ("I'm here and don't know.", "long", "I am here and do not know."),
        ("It's been long. It's late.", "long", "It's been long. It is late."),
        ("Anything", None, "Anything"),
    ],
)
def test_a_register_is_written_by_short_forms_or_without(text, register, made):
    assert registers.written(text, register) == made
