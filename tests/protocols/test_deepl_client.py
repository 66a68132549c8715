"""DeepL called: Ogam's own server is the vendor, and one that says what it was told to say."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.translation import TranslateRequest
from ogam.engines.fake import FakeEngine
from ogam.errors import (
    InvalidRequestError,
    NotConfiguredError,
    TooLargeError,
    UnknownModelError,
    UnsupportedOptionError,
    VendorError,
)
from ogam.net import Client
from ogam.protocols.deepl import convert, convert_asked, languages, wire, wire_answers
from ogam.protocols.deepl.client import DeepLEngine
from ogam.vendors import Vendor

from .scripted import answer, scripted

FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))


@asynccontextmanager
async def engine(url: str, key: str = "k", model: str = "", patience: float = 20.0):
    http = Client(url)
    vendor = Vendor(name="deepl", protocol="deepl", url=url, key=key, timeout=patience)
    name = f"deepl/{model}" if model else "deepl"
    made = DeepLEngine(ModelRef(name=name, engine="deepl", model=model), vendor, http)
    try:
        yield made
    finally:
        await made.aclose()
        made.close()
        http.close()


def said(*texts: str, source: str = "EN") -> bytes:
    told = [
        {"detected_source_language": source, "text": text, "billed_characters": 7} for text in texts
    ]
    return answer(200, {"translations": told})


def translate(url: str, request: TranslateRequest, **options):
    async def run():
        async with engine(url, **options) as deepl:
            return await deepl.translate(request)

    return asyncio.run(run())


def failing(reply, request: TranslateRequest | None = None, **options) -> Exception:
    """What a translation raises when the vendor replies so."""

    async def run():
        replies = reply if isinstance(reply, list) else [reply]
        asked = request or TranslateRequest(texts=("a",), target="de")
        async with scripted(*replies) as vendor, engine(vendor.url, **options) as deepl:
            with pytest.raises(Exception) as raised:
                await deepl.translate(asked)
            return raised.value

    return asyncio.run(run())


def test_a_translation_through_a_server_is_the_engine_s_own(fake_server):
    request = TranslateRequest(texts=("Hello world.", "Zwei"), target="ko", source="en")
    got = translate(fake_server.http, request, key=fake_server.key)
    own = FAKE.translate(request)
    assert (got.translations, got.units, got.target) == (own.translations, own.units, "ko")
    assert (got.engine, got.model) == ("deepl", "deepl")


def test_more_texts_than_a_request_takes_come_back_in_order(fake_server):
    request = TranslateRequest(texts=tuple(f"text {n}" for n in range(120)), target="de")
    got = translate(fake_server.http, request, key=fake_server.key)
    assert got.texts == FAKE.translate(request).texts


def test_a_glossary_is_made_used_and_deleted(fake_server):
    request = TranslateRequest(
        texts=("Hello world.",), target="de", source="en", glossary=(("world", "Erde"),)
    )

    async def run():
        async with engine(fake_server.http, fake_server.key) as deepl:
            first, second = await deepl.translate(request), await deepl.translate(request)
            calls = deepl._calls
            kept = await calls.ask("/v3/glossaries", wire_answers.Glossaries)
            await deepl.aclose()
            return first, second, kept, await calls.ask("/v3/glossaries", wire_answers.Glossaries)

    first, second, kept, left = asyncio.run(run())
    assert first.text == second.text == FAKE.translate(request).text
    assert len([one for one in kept.glossaries if one.name.startswith("ogam-")]) == 1
    assert not [one for one in left.glossaries if one.name.startswith("ogam-")]


def test_a_glossary_that_a_killed_process_left_is_used_again():
    request = TranslateRequest(texts=("a",), target="de", source="en", glossary=(("a", "b"),))

    async def run():
        made = answer(201, {"glossary_id": "first", "name": "x"})
        none = answer(200, {"glossaries": []})
        async with scripted(none, made, said("b")) as vendor, engine(vendor.url) as deepl:
            await deepl.translate(request)
            name = vendor.asked[1].json()["name"]
            assert vendor.asked[2].json()["glossary_id"] == "first"
        listed = answer(200, {"glossaries": [{"glossary_id": "left", "name": name}]})
        async with scripted(listed, said("b")) as vendor, engine(vendor.url) as deepl:
            await deepl.translate(request)
            assert vendor.asked[1].json()["glossary_id"] == "left"

    asyncio.run(run())


def test_glossaries_beyond_the_most_are_deleted_but_not_one_in_use():
    async def run():
        made = [answer(201, {"glossary_id": f"g{n}"}) for n in range(9)]
        listed = answer(200, {"glossaries": []})
        replies = [listed, *made[:8], answer(204), made[8]]
        async with scripted(*replies) as vendor, engine(vendor.url) as deepl:
            held = deepl._glossaries

            def terms(n):
                return wire.DictionaryBody(source_lang="en", target_lang="de", entries=f"{n}\tb")

            async with held.holding(terms(0)):
                for n in range(1, 9):
                    async with held.holding(terms(n)):
                        pass
            return [(one.method, one.path) for one in vendor.asked]

    asked = asyncio.run(run())
    assert [one for one in asked[:11] if one[0] == "DELETE"] == [("DELETE", "/v3/glossaries/g1")]


@pytest.mark.parametrize("status", [400, 456, 429])
def test_a_glossary_that_is_not_taken_is_an_option_that_is_not_there(status):
    request = TranslateRequest(texts=("a",), target="de", source="en", glossary=(("a", "b"),))
    error = failing([answer(200, {"glossaries": []}), answer(status, {"message": "no"})], request)
    assert isinstance(error, UnsupportedOptionError)
    assert error.param == "glossary"


@pytest.mark.parametrize("pair", [("a\tb", "c"), ("", "c"), ("a", "b\nc")])
def test_terms_that_no_glossary_holds_are_refused_before_anything_is_sent(pair):
    request = TranslateRequest(texts=("a",), target="de", source="en", glossary=(pair,))
    assert isinstance(failing([], request), InvalidRequestError)


def test_a_glossary_needs_a_source():
    request = TranslateRequest(texts=("a",), target="de", glossary=(("a", "b"),))
    error = failing([], request)
    assert isinstance(error, UnsupportedOptionError)
    assert error.param == "glossary"


def test_a_document_is_sent_waited_for_and_fetched(fake_server):
    async def run():
        async with engine(fake_server.http, fake_server.key) as deepl:
            return await deepl.document(b"Hello world.\n", "a.txt", target="de", source="en")

    made = asyncio.run(run())
    assert made.data == b"[de] Hello world.\n"
    assert made.characters == 13


def test_a_document_that_cannot_be_translated_says_why():
    async def run():
        handle = answer(200, {"document_id": "D", "document_key": "K"})
        broken = {"document_id": "D", "status": "error", "message": "Languages are equal."}
        replies = [handle, answer(200, {"document_id": "D", "status": "queued"})]
        async with scripted(*replies, answer(200, broken)) as vendor:
            async with engine(vendor.url) as deepl:
                with pytest.raises(InvalidRequestError, match="Languages are equal"):
                    await deepl.document(b"x", "a.txt", target="de")
            assert vendor.asked[1].path == "/v2/document/D"
            assert vendor.asked[1].json() == {"document_key": "K"}
            assert b'name="target_lang"\r\n\r\nDE' in vendor.asked[0].body

    asyncio.run(run())


def test_languages_are_pairs_and_usage_is_a_count(fake_server):
    async def run():
        async with engine(fake_server.http, fake_server.key) as deepl:
            return await deepl.languages(), deepl.formal, await deepl.usage()

    pairs, formal, count = asyncio.run(run())
    assert ("en", "de") in pairs and ("ko", "pt-BR") in pairs
    assert ("de", "de") not in pairs
    assert "de" in formal and "ko" not in formal
    assert count >= 0


def test_the_body_names_what_is_asked_and_nothing_else():
    async def run():
        async with scripted(said("b")) as vendor, engine(vendor.url, "secret") as deepl:
            request = TranslateRequest(
                texts=("a",), target="en-us", source="de-AT", formality="more", context="c"
            )
            result = await deepl.translate(request)
            return vendor.asked[0], result

    asked, result = asyncio.run(run())
    assert (asked.method, asked.path) == ("POST", "/v2/translate")
    assert asked.headers["authorization"] == "DeepL-Auth-Key secret"
    assert asked.json() == {
        "text": ["a"],
        "target_lang": "EN-US",
        "source_lang": "DE",
        "formality": "more",
        "context": "c",
        "show_billed_characters": True,
    }
    assert result.units == Units(characters=7)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (403, VendorError),
        (404, VendorError),
        (413, TooLargeError),
        (429, VendorError),
        (456, VendorError),
        (500, VendorError),
        (529, VendorError),
    ],
)
def test_a_status_is_an_error_with_the_vendor_s_words_and_without_the_key(status, kind):
    body = {"message": "Nothing doing with secret", "detail": "Because."}
    error = failing(answer(status, body, retry_after="3"), key="secret")
    assert isinstance(error, kind)
    assert "Nothing doing with ***. Because." in error.message
    assert "secret" not in str(error)
    if isinstance(error, VendorError):
        assert (error.status, error.retry_after) == (status, 3.0)


def test_a_bad_key_of_the_operator_s_is_told_by_the_server_itself(fake_server):
    with pytest.raises(VendorError, match="key") as raised:
        translate(fake_server.http, TranslateRequest(texts=("a",), target="de"), key="wrong")
    assert raised.value.status == 403


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b"<html>"),
        answer(200, b"\xff"),
        answer(200, {"translations": []}),
        answer(200, {"translations": [{"text": 1}]}),
        [answer(200, b'{"translations":', content_length="999")],
    ],
)
def test_an_answer_that_is_none_is_the_vendor_s_failure_and_may_be_billed(reply):
    error = failing([reply])
    assert isinstance(error, VendorError)
    assert error.sent
    assert error.status is None


def test_a_vendor_that_drips_is_given_up_in_time():
    drip = [answer(200, b"", content_length="100"), *([b" ", 0.1] * 50)]
    error = failing([drip], patience=0.5)
    assert isinstance(error, VendorError)
    assert error.sent


def test_nothing_is_sent_where_nobody_listens():
    with pytest.raises(VendorError) as raised:
        translate("http://127.0.0.1:9", TranslateRequest(texts=("a",), target="de"))
    assert not raised.value.sent


def test_after_a_first_part_was_translated_no_failure_passes_for_a_free_one():
    request = TranslateRequest(texts=("a",) * 51, target="de")
    error = failing([said(*"a" * 50), answer(429, {"message": "slower"})], request)
    assert isinstance(error, VendorError)
    assert (error.status, error.sent) == (None, True)
    assert "50 texts before were translated" in error.message


def test_nothing_is_sent_twice():
    async def run():
        async with scripted(answer(503), said("b")) as vendor, engine(vendor.url) as deepl:
            with pytest.raises(VendorError):
                await deepl.translate(TranslateRequest(texts=("a",), target="de"))
            return len(vendor.asked)

    assert asyncio.run(run()) == 1


def test_without_a_key_the_vendor_s_own_address_is_not_asked():
    with pytest.raises(NotConfiguredError, match="DEEPL_AUTH_KEY"):
        translate("https://api.deepl.com", TranslateRequest(texts=("a",), target="de"), key="")


@pytest.mark.parametrize(
    ("request_", "model", "kind"),
    [
        (TranslateRequest(texts=("a",), target="de", alternatives=2), "", UnsupportedOptionError),
        (TranslateRequest(texts=("a",), target="de"), "best", UnknownModelError),
        (TranslateRequest(texts=("ä" * 70_000,), target="de"), "", TooLargeError),
    ],
)
def test_what_deepl_cannot_do_is_refused_before_anything_is_sent(request_, model, kind):
    assert isinstance(failing([], request_, model=model), kind)


texts = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=40
).filter(str.strip)
tags = st.sampled_from([languages.tag(code) for code in languages.NAMES])
terms = st.text("abc한 ", min_size=1, max_size=6).filter(lambda one: one == one.strip() != "")


@given(st.lists(texts, min_size=1, max_size=120), tags, st.none() | tags, texts | st.just(""))
def test_the_parts_hold_every_text_once_and_none_is_too_large(given_, target, source, context):
    request = TranslateRequest(texts=tuple(given_), target=target, source=source, context=context)
    bodies = convert_asked.bodies(request, "")
    assert [one for body in bodies for one in body.text] == given_
    for body in bodies:
        convert.check(body)  # what the serving side takes
        assert len(convert_asked.encoded(body)) <= convert_asked.MOST_BYTES
        assert languages.tag(body.target_lang) == target
        assert convert.context(body) == context
        assert body.source_lang == (source and languages.base(source))


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=12))
def test_parts_of_long_texts_stay_within_the_limit(lengths):
    request = TranslateRequest(texts=tuple("ä" * one for one in lengths), target="de", context="x")
    bodies = convert_asked.bodies(request, "latency_optimized")
    assert sum(len(body.text) for body in bodies) == len(lengths)
    assert all(len(convert_asked.encoded(body)) <= convert_asked.MOST_BYTES for body in bodies)


@given(st.dictionaries(terms, terms, min_size=1, max_size=8))
def test_a_glossary_goes_out_and_comes_back(pairs):
    request = TranslateRequest(
        texts=("a",), target="en-GB", source="ko", glossary=tuple(pairs.items())
    )
    body = convert_asked.dictionary(request)
    assert (body.source_lang, body.target_lang) == ("ko", "en")
    assert convert.entries(body.entries, body.entries_format) == pairs


@given(texts, tags)
def test_an_answer_as_it_is_served_comes_back(text, tag):
    code = languages.base(tag)
    served = wire.Translation(detected_source_language=code, text=text, billed_characters=3)
    told = wire_answers.Translation(
        text=served.text, detected_source_language=code, billed_characters=3
    )
    made = convert_asked.translation(told, None)
    assert (made.text, made.source) == (text, languages.tag(code))
    assert convert_asked.billed(told, text) == 3


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de-AT", "DE"), ("pt_br", "PT-BR"), ("zh-TW", "ZH-HANT"), ("no", "NB"), ("ga", "GA")],
)
def test_a_target_is_deepl_s_nearest(tag, code):
    assert convert_asked.target(tag) == code
