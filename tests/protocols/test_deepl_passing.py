"""SDK, Ogam, Ogam as DeepL, engine: what goes through, over real sockets; and a vendor that says
what it is told to say.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepl
import httpx
import pytest
from deepl import http_client

from ogam.config import Config, Route, Routes, Server
from ogam.protocols.deepl import patient
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, scripted_vendor, spent
from .scripted import Scripted, answer

VENDOR_KEY = "the-vendors-key"
EACH = 25_000  # nano-dollars a character
GONE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "max_network_retries", 0)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    own = Server(keys=(VENDOR_KEY,), data=str(tmp_path_factory.mktemp("vendor")))
    with running(Config(routes=every, server=own), grpc=False) as address:
        yield address


def config(url: str, data: Any, translate: Any = ("deepl",)) -> Config:
    return Config(
        routes=Routes(translate=translate, generate=("fake",)),
        vendors={
            "deepl": VendorSettings(url=url, key=VENDOR_KEY),
            "dead": VendorSettings(protocol="deepl", url=GONE, key="k"),
        },
        server=Server(keys=(KEY,), data=str(data)),
    )


@pytest.fixture(scope="module")
def gateway(vendor: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(config(vendor.http, tmp_path_factory.mktemp("data")), grpc=False) as address:
        yield address


@pytest.fixture
def sdk(gateway: Address) -> deepl.DeepLClient:
    return client(gateway)


def client(address: Address) -> deepl.DeepLClient:
    return deepl.DeepLClient(KEY, server_url=f"{address.http}/")


@contextmanager
def before(
    tmp_path: Any, *answers: Any, translate: Any = ("deepl",)
) -> Iterator[tuple[Address, Scripted]]:
    """Ogam before a scripted vendor."""
    with (
        scripted_vendor(*answers) as said,
        running(config(said.url, tmp_path, translate), grpc=False) as address,
    ):
        yield address, said


def post(
    server: Address, path: str, body: bytes, kind: str = "application/json", **headers: str
) -> httpx.Response:
    given = {"authorization": f"DeepL-Auth-Key {KEY}", "content-type": kind, **headers}
    return httpx.post(f"{server.http}{path}", content=body, headers=given, timeout=30)


TRANSLATED = b'{ "translations":[{"text":"a","billed_characters":3, "new": 1.0}], "x":null }'


def test_a_translation_goes_through_and_is_written_down(
    sdk: deepl.DeepLClient, gateway: Address, vendor: Address
) -> None:
    texts = ["Hello world.", "Good <b>morning</b>"]
    got = sdk.translate_text(texts, target_lang="DE", tag_handling="xml", formality="more")
    direct = deepl.DeepLClient(VENDOR_KEY, server_url=f"{vendor.http}/")
    own = direct.translate_text(texts, target_lang="DE", tag_handling="xml", formality="more")
    assert [one.text for one in got] == [one.text for one in own]
    assert [one.billed_characters for one in got] == [12, 12]
    row = last(gateway)
    assert (row.protocol, row.capability, row.status) == ("deepl", "translate", "ok")
    assert (row.model, row.units.characters, row.cost) == ("deepl", 24, 24 * EACH)


def test_fields_that_nobody_here_knows_arrive_and_come_back(tmp_path: Any) -> None:
    body = '{"text":["안녕"],"new":{"a":[1e3, 1.50]},"target_lang":"DE","x":null}'.encode()
    reply = answer(200, TRANSLATED, content_type="application/json", x_trace_id="t1")
    with before(tmp_path, reply) as (address, said):
        got = post(address, "/v2/translate", body, cookie="c=d", **{"user-agent": "deepl-x"})
        assert got.content == TRANSLATED
        assert got.headers["x-vendor-request-id"] == "t1"
        (asked,) = said.asked
        assert (asked.path, asked.body) == ("/v2/translate", body)
        assert asked.headers["authorization"] == f"DeepL-Auth-Key {VENDOR_KEY}"
        assert asked.headers["user-agent"] == "deepl-x" and "cookie" not in asked.headers
        assert last(address).cost == 3 * EACH


def test_a_form_goes_through_too_and_is_billed_by_all_of_its_texts(tmp_path: Any) -> None:
    body = b"text=Hello&text=a%20b&target_lang=DE&new=%C3%A4+b"
    told = b'{"translations":[{"text":"x"},{"text":"y"}]}'
    with before(tmp_path, answer(200, told)) as (address, said):
        kind = "application/x-www-form-urlencoded"
        assert post(address, "/v2/translate", body, kind).content == told
        assert said.asked[0].body == body
        assert last(address).cost == 8 * EACH


@pytest.mark.parametrize(
    ("kind", "body", "made"),
    [
        (
            "application/json",
            b'{"text": [ "a" ], "target_lang":"DE","model_type":"quality_optimized"}',
            b'{"text":[ "a" ],"target_lang":"DE","model_type":"latency_optimized"}',
        ),
        (
            "application/x-www-form-urlencoded",
            b"text=a+b&target_lang=DE",
            b"text=a+b&target_lang=DE&model_type=latency_optimized",
        ),
    ],
)
def test_the_steps_kind_of_model_stands_before_the_clients(
    tmp_path: Any, kind: str, body: bytes, made: bytes
) -> None:
    route = ("deepl/latency_optimized",)
    with before(tmp_path, answer(200, TRANSLATED), translate=route) as (address, said):
        assert post(address, "/v2/translate", body, kind).is_success
        assert said.asked[0].body.replace(b'": [', b'":[') == made
        assert last(address).model == "deepl/latency_optimized"


def test_a_step_for_any_model_leaves_the_clients(tmp_path: Any) -> None:
    body = b'{"text":["a"],"target_lang":"DE","model_type":"quality_optimized"}'
    with before(tmp_path, answer(200, TRANSLATED), translate=("deepl/*",)) as (address, said):
        assert post(address, "/v2/translate", body).is_success
        assert said.asked[0].body == body


def test_a_slow_vendor_is_waited_for_while_the_connection_is_kept_alive(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "PATIENCE", 0.2)
    body = b'{"text":["a"],"target_lang":"DE"}'
    with before(tmp_path, [1.0, answer(200, TRANSLATED)]) as (address, said):
        got = post(address, "/v2/translate", body)
        assert got.content.startswith(b" ") and got.content.strip() == TRANSLATED
        assert len(said.asked) == 1
        assert last(address).cost == 3 * EACH


def test_a_budget_refuses_in_the_vendors_own_quota_error(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    with budget(gateway, 10):
        for work in (
            lambda: sdk.translate_text("Hello", target_lang="DE"),
            lambda: sdk.rephrase_text("Hello", target_lang="EN-US"),
            lambda: sdk.translate_document_upload(named(b"a", "a.txt"), target_lang="DE"),
        ):
            with pytest.raises(deepl.QuotaExceededException):
                work()
    assert not open_holds(gateway)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/translate", b'{"text":["a"],"target_lang":"DE","never_heard_of":1}', 456),
        ("/v2/translate", b'{"text":["a"],"target_lang":"DE","text":["aaaaaa"]}', 400),
        ("/v2/write/rephrase", b'{"text":["a"],"never_heard_of":1}', 456),
    ],
)
def test_what_has_no_provable_cost_is_refused_under_a_budget(
    gateway: Address, path: str, body: bytes, status: int
) -> None:
    with budget(gateway, 10**15):
        assert post(gateway, path, body).status_code == status


def test_fields_in_the_address_do_not_go_through(tmp_path: Any) -> None:
    body = b'{"text":["a"],"target_lang":"DE"}'
    with before(tmp_path, answer(200, b'{"translations":[]}')) as (address, said):
        post(address, "/v2/translate?text=more", body)
        assert all("?text" not in one.path for one in said.asked)


def test_a_form_that_says_it_is_something_else_is_sent_as_what_was_judged(tmp_path: Any) -> None:
    body = b'{"text":["a"],"target_lang":"DE"}'
    with before(tmp_path, answer(200, TRANSLATED)) as (address, said):
        assert post(address, "/v2/translate", body, "Application/X-WWW-Form-Urlencoded")
        assert said.asked[0].headers["content-type"] == "application/json"


def test_a_glossary_made_here_takes_the_ordinary_way(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    made = sdk.create_glossary("g", "EN", "DE", {"world": "Erde"})
    got = sdk.translate_text("Hello world", source_lang="EN", target_lang="DE", glossary=made)
    assert "Erde" in got.text
    row = last(gateway)
    assert (row.model, row.status) == ("deepl", "ok")
    # One of the vendor's own goes through, and is unknown there.
    body = b'{"text":["a"],"source_lang":"EN","target_lang":"DE","glossary_id":"%s"}' % (b"1" * 36)
    got = post(gateway, "/v2/translate", body)
    assert got.status_code == 404
    assert last(gateway).cost == 0
    sdk.delete_glossary(made)


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    with pytest.raises(deepl.DeepLException, match="not supported: 'XX'"):
        sdk.translate_text("Hello", target_lang="XX")
    assert last(gateway).cost == 0
    assert not open_holds(gateway)


@pytest.mark.parametrize("status", [403, 456, 503])
def test_what_is_the_operators_affair_is_no_fault_of_the_clients(
    tmp_path: Any, status: int
) -> None:
    body = b'{"text":["a"],"target_lang":"DE"}'
    refusal = answer(status, {"message": f"no {VENDOR_KEY}"})
    with before(tmp_path, refusal, refusal, translate=("deepl", "fake")) as (address, _):
        got = post(address, "/v2/translate", body)
        assert got.is_success and got.headers["x-ogam-engine"] == "fake"
        row = last(address)
        assert {one.model for one in row.attempts} == {"deepl", "fake"}
        assert row.cost == 0


def test_a_dead_vendor_is_passed_over_for_the_next_of_the_route(tmp_path: Any) -> None:
    route = Route(models=("dead", "fake"), retries=0)
    with running(config(GONE, tmp_path, route), grpc=False) as address:
        assert client(address).translate_text("Hello", target_lang="DE").text
        row = last(address)
        assert [(one.model, one.outcome) for one in row.attempts] == [
            ("dead", "failed"),
            ("fake", "answered"),
        ]
        assert document(client(address), b"Hello there.", "a.txt")
        assert not open_holds(address)


def test_what_is_found_at_fault_after_the_vendor_failed_leaves_nothing_set_aside(
    tmp_path: Any,
) -> None:
    route = Route(models=("dead", "fake"), retries=0)
    with running(config(GONE, tmp_path, route), grpc=False) as address:
        got = post(address, "/v2/translate", b'{"text":["a"],"target_lang":"XX"}')
        assert got.status_code == 400
        row = last(address)
        assert ([one.model for one in row.attempts], row.status) == (["dead"], "InvalidRequest")
        assert not open_holds(address)


def test_a_reply_that_is_cut_keeps_its_hold(tmp_path: Any) -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
    with before(tmp_path, cut) as (address, _):
        with pytest.raises(deepl.DeepLException):
            client(address).translate_text("Hello", target_lang="DE")
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", 5 * EACH)
        assert last(address).status == "Vendor"


def test_texts_are_improved_by_the_vendor_that_translates(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    got = sdk.rephrase_text("Hello there", target_lang="EN-US", style="casual")
    assert got.text
    row = last(gateway)
    assert (row.protocol, row.model, row.cost) == ("deepl", "deepl", 11 * EACH)


def test_improvements_arrive_byte_for_byte(tmp_path: Any) -> None:
    body, told = b'{"text":["ab"], "new" : 1}', b'{ "improvements":[] , "new":2 }'
    answers = (answer(200, told), answer(200, told))
    with before(tmp_path, *answers, translate=("deepl/quality_optimized",)) as (address, said):
        for path in ("/v2/write/rephrase", "/v2/write/correct"):
            assert post(address, path, body).content == told
            assert (said.asked[-1].path, said.asked[-1].body) == (path, body)
            assert last(address).cost == 2 * EACH


def named(data: bytes, name: str) -> io.BytesIO:
    """A file; the SDK sends the name that it has."""
    file = io.BytesIO(data)
    file.name = name
    return file


def document(sdk: deepl.DeepLClient, data: bytes, name: str) -> bytes:
    made = io.BytesIO()
    sdk.translate_document(named(data, name), made, target_lang="DE")
    return made.getvalue()


def office(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("word/document.xml", text)
    return made.getvalue()


def test_a_document_goes_through_and_is_settled_when_it_is_done(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    before = spent(gateway)
    assert document(sdk, b"Hello there.\n", "a.txt")
    row = last(gateway)
    assert (row.protocol, row.model, row.status) == ("deepl", "deepl", "ok")
    assert not open_holds(gateway)
    assert (row.units.characters, row.cost) == (13, 13 * EACH)
    assert spent(gateway) - before == 13 * EACH


def test_documents_are_found_and_settled_after_a_restart(tmp_path: Any) -> None:
    told = {"document_id": "../A1", "document_key": "K"}
    done = answer(200, b'{"document_id":"A1","status":"done","billed_characters":7,"new":1}')
    file = answer(
        200, b"Hallo", content_type="text/plain", content_disposition="attachment; filename=a.txt"
    )
    with scripted_vendor(answer(200, told), done, done, file) as said:
        with running(config(said.url, tmp_path), grpc=False) as address:
            upload = {"target_lang": "DE", "new_field": "x"}
            got = httpx.post(
                f"{address.http}/v2/document",
                data=upload,
                files={"file": ("a.txt", b"Hello")},
                headers={"authorization": f"DeepL-Auth-Key {KEY}"},
            )
            assert got.json() == told
            assert b'name="new_field"\r\n\r\nx\r\n' in said.asked[0].body
            (hold,) = open_holds(address)
            assert (hold.state, hold.hold.bound) == ("unknown", None)
        with running(config(said.url, tmp_path), grpc=False) as address:
            key = b'{"document_key": "K" }'
            place = "/v2/document/..%2FA1"
            got = post(address, place, key)
            assert b'"new":1' in got.content
            assert not open_holds(address)
            assert spent(address) == 7 * EACH
            assert post(address, place, key).status_code == 200
            assert spent(address) == 7 * EACH
            assert last(address).units.characters == 7
            got = post(address, f"{place}/result", key)
            assert got.content == b"Hallo"
            assert got.headers["content-disposition"] == "attachment; filename=a.txt"
        assert [one.path for one in said.asked[1:]] == [place, place, f"{place}/result"]
        assert said.asked[1].body == key


def test_what_failed_at_the_vendor_costs_nothing(tmp_path: Any) -> None:
    told = answer(200, {"document_id": "A1", "document_key": "K"})
    failed = answer(200, {"document_id": "A1", "status": "error", "message": "broken"})
    late = answer(404, {"message": "gone"})
    with before(tmp_path, told, failed, late) as (address, _):
        handle = client(address).translate_document_upload(named(b"a", "a.txt"), target_lang="DE")
        assert len(open_holds(address)) == 1
        Status = deepl.DocumentStatus.Status
        assert client(address).translate_document_get_status(handle).status == Status.ERROR
        assert not open_holds(address) and spent(address) == 0
        got = post(address, "/v2/document/A1/result", b'{"document_key":"K"}')
        assert (got.status_code, got.json()) == (404, {"message": "gone"})


@pytest.mark.parametrize(
    ("name", "data", "most"),
    [
        ("a.txt", b"Hello", 5),
        ("a.html", "안".encode(), 3),
        ("a.docx", office("a"), 1_000_000),
        ("a.txt", office("a"), 1_000_000),
        ("a.png", b"\x89PNG", 1_000_000),
    ],
)
def test_a_document_sets_aside_the_most_that_it_can_cost(
    tmp_path: Any, name: str, data: bytes, most: int
) -> None:
    told = answer(200, {"document_id": "A1", "document_key": "K"})
    with before(tmp_path, told) as (address, _):
        sdk = client(address)
        with budget(address, most * EACH - 1), pytest.raises(deepl.QuotaExceededException):
            sdk.translate_document_upload(named(data, name), target_lang="DE")
        with budget(address, most * EACH):
            sdk.translate_document_upload(named(data, name), target_lang="DE")
        (hold,) = open_holds(address)
        assert hold.hold.bound == most * EACH


def test_a_document_with_a_glossary_made_here_is_translated_here(
    sdk: deepl.DeepLClient, gateway: Address
) -> None:
    made = sdk.create_glossary("g", "EN", "DE", {"world": "Erde"})
    output = io.BytesIO()
    sdk.translate_document(
        named(b"Hello world", "a.txt"),
        output,
        source_lang="EN",
        target_lang="DE",
        glossary=made,
    )
    assert b"Erde" in output.getvalue()
    sdk.delete_glossary(made)


def test_the_usage_is_ours(sdk: deepl.DeepLClient) -> None:
    before = sdk.get_usage().character.count
    sdk.translate_text("Hello", target_lang="DE")
    assert sdk.get_usage().character.count == before + 5
