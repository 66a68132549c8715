"""SDK, Ogam, and a vendor that says what it is told to say: what of Google Vision goes through."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from PIL import Image

from ogam.config import Config, Route, Routes, Server
from ogam.protocols.google_vision import passing
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, recorded, scripted_vendor

VENDOR_KEY = "the-vendors-key"
PATH = "/v1/images:annotate"
LABEL = 1_500_000  # nano-dollars
OBJECT = 2_250_000
Type = vision.Feature.Type
LABELS = {"responses": [{"labelAnnotations": [{"description": "Cat", "score": 0.5}]}]}


def reply(body: Any = LABELS, status: int = 200, headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\nconnection: close\r\n"
    return f"{head}content-type: application/json; charset=UTF-8\r\n{headers}\r\n".encode() + data


def failed(status: int, name: str, message: str, *details: dict[str, Any]) -> bytes:
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return reply({"error": error}, status)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(buffer, "PNG")
    return buffer.getvalue()


def config(url: str, data: str, see: Any = ("google_vision",), **more: Any) -> Config:
    return Config(
        routes=Routes(see=Route(models=see, retries=0, **more)),
        names={"mine": Route(models=("google_vision/builtin/latest",), retries=0)},
        vendors={
            "google_vision": VendorSettings(url=url, key=VENDOR_KEY),
            "ours": VendorSettings(
                protocol="google_vision",
                url=url,
                key=VENDOR_KEY,
                project="my-project",
                headers={"x-goog-user-project": "my-project"},
            ),
            "dead": VendorSettings(protocol="google_vision", url="http://127.0.0.1:9", key="k"),
        },
        server=Server(keys=(KEY,), data=data),
    )


@contextmanager
def before(tmp_path: Any, *answers: bytes, **more: Any) -> Iterator[tuple[Address, Any]]:
    """Ogam before a scripted vendor."""
    with (
        scripted_vendor(*answers) as said,
        running(config(said.url, str(tmp_path), **more), grpc=False) as address,
    ):
        yield address, said


def sdk(address: Address) -> vision.ImageAnnotatorClient:
    options = {"api_endpoint": address.http, "api_key": KEY}
    return vision.ImageAnnotatorClient(transport="rest", client_options=options)


def post(address: Address, body: Any, path: str = PATH, **headers: str) -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"x-goog-api-key": KEY, "content-type": "application/json", **headers}
    return httpx.post(f"{address.http}{path}", content=data, headers=given, timeout=30)


def asked(*types: str, count: int = 1, **more: Any) -> dict[str, Any]:
    one = {
        "image": {"content": base64.b64encode(png()).decode()},
        "features": [{"type": kind, **more} for kind in types],
    }
    return {"requests": [one] * count}


def test_the_sdk_is_answered_by_the_vendor_and_it_is_written_down(tmp_path: Any) -> None:
    with before(tmp_path, reply()) as (address, said):
        found = sdk(address).label_detection(image={"content": png()})
        assert found.label_annotations[0].description == "Cat"
        (sent,) = said.asked
        assert sent.path.split("?")[0] == PATH
        assert sent.headers["x-goog-api-key"] == VENDOR_KEY
        (request,) = json.loads(sent.body)["requests"]
        assert base64.b64decode(request["image"]["content"]) == png()
        row = last(address)
        assert (row.protocol, row.capability, row.status) == ("google_vision", "see", "ok")
        assert (row.model, row.units.image_features, row.cost) == ("google_vision", 1, LABEL)
        assert not open_holds(address)


def test_fields_that_nobody_here_knows_arrive_and_come_back(tmp_path: Any) -> None:
    body = (
        '{ "requests":[{"image":{"content":"aGk=","new":1e3},"features":[{"type":"LABEL_DETECTION",'
        '"maxResults" : 3, "안녕":[1.50]}],"image_context":{"x":null}}], "another":{"a":"b"} }'
    ).encode()
    told = b'{ "responses" : [{"newAnnotation":{"deep":[1.0]}}], "more":"\\u00e9" }'
    with before(tmp_path, reply(told, headers="set-cookie: a=b\r\n")) as (address, said):
        path = f"{PATH}?key={KEY}&$alt=json;enum-encoding=int&new=%20a+b"
        got = post(address, body, path, cookie="c=d", **{"x-goog-user-project": "theirs"})
        assert got.content == told
        assert got.headers["x-ogam-model"] == "google_vision"
        assert "set-cookie" not in got.headers
    (sent,) = said.asked
    assert sent.body == body
    assert sent.path == f"{PATH}?$alt=json;enum-encoding=int&new=%20a+b"
    assert not {"cookie", "x-goog-user-project"} & set(sent.headers)
    assert KEY not in str(sent.headers)


@pytest.mark.parametrize(
    ("see", "model", "sent", "row"),
    [
        ("google_vision", "", None, "google_vision"),
        ("google_vision", "builtin/stable", "builtin/stable", "google_vision/builtin/stable"),
        ("google_vision/*", "builtin/stable", "builtin/stable", "google_vision/builtin/stable"),
        ("google_vision/*", "", None, "google_vision"),
        ("google_vision/builtin/latest", "", "builtin/latest", "google_vision/builtin/latest"),
        ("google_vision", "mine", "builtin/latest", "google_vision/builtin/latest"),
    ],
)
def test_a_steps_model_stands_before_the_clients(
    tmp_path: Any, see: str, model: str, sent: str | None, row: str
) -> None:
    body = asked("LABEL_DETECTION", "FACE_DETECTION", **({"model": model} if model else {}))
    with before(tmp_path, reply(), see=(see,)) as (address, said):
        assert post(address, body).is_success
        (request,) = json.loads(said.asked[0].body)["requests"]
        assert [one.get("model") for one in request["features"]] == [sent, sent]
        assert request["image"] == body["requests"][0]["image"]
        assert last(address).model == row


def test_each_feature_of_each_picture_that_was_answered_is_paid(tmp_path: Any) -> None:
    fine, bad = {"labelAnnotations": []}, {"error": {"code": 3, "message": "Bad image data."}}
    answers = reply({"responses": [fine, bad, fine]})
    with before(tmp_path, answers) as (address, _):
        got = post(address, asked("LABEL_DETECTION", "LOGO_DETECTION", count=3))
        assert got.json()["responses"][1] == bad
        row = last(address)
        assert (row.units.image_features, row.cost) == (4, 4 * LABEL)


def test_a_file_is_paid_by_the_pages_that_were_answered(tmp_path: Any) -> None:
    pages = [{"fullTextAnnotation": {"text": "a"}}, {"error": {"code": 13}}, {}]
    answers = reply({"responses": [{"responses": pages, "totalPages": 3, "new": 1}]})
    request = {
        "inputConfig": {"content": "JVBERi0=", "mimeType": "application/pdf"},
        "features": [{"type": "DOCUMENT_TEXT_DETECTION"}, {"type": "TEXT_DETECTION"}],
    }
    with before(tmp_path, answers, answers) as (address, said):
        with budget(address, 10 * LABEL - 1):
            got = post(address, {"requests": [request]}, "/v1/files:annotate")
            assert got.status_code == 429  # five pages might be answered
            got = post(
                address, {"requests": [{**request, "pages": [1, 2, 3]}]}, "/v1/files:annotate"
            )
        assert got.json()["responses"][0]["new"] == 1
        assert said.asked[0].path == "/v1/files:annotate"
        row = last(address)
        assert (row.units.image_features, row.cost) == (4, 4 * LABEL)


def test_money_is_set_aside_before_anything_is_sent(tmp_path: Any) -> None:
    with before(tmp_path, reply(b"{}"), reply()) as (address, said):
        body = asked("LABEL_DETECTION", "OBJECT_LOCALIZATION", "WEB_DETECTION")
        assert post(address, body).status_code == 500  # a 200 that is none of Google's
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", LABEL + OBJECT + 3_500_000)
        with budget(address, LABEL + OBJECT + 3_500_000 + LABEL - 1):
            assert post(address, asked("LABEL_DETECTION")).status_code == 429
        assert len(said.asked) == 1


def test_a_small_budget_is_googles_exhausted_quota(tmp_path: Any) -> None:
    with before(tmp_path) as (address, said):
        with budget(address, LABEL - 1), pytest.raises(exceptions.TooManyRequests) as caught:
            sdk(address).label_detection(image={"content": png()})
        assert caught.value.reason == "QUOTA_EXCEEDED"
        assert not said.asked and not open_holds(address)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"never": 1}, 429, "never"),
        ({"requests": [{"features": [{"type": "PRODUCT_SEARCH"}]}]}, 429, "product_search"),
        ({"requests": [{"features": [{"type": 99}]}]}, 429, "99"),
        (b'{"requests":[],"requests":[]}', 400, "twice"),
        (b'{"requests":[{"imageContext":{},"image_context":{}}]}', 429, "twice"),
    ],
)
def test_what_has_no_provable_cost_is_refused_under_a_budget(
    tmp_path: Any, change: Any, status: int, said: str
) -> None:
    body = change if isinstance(change, bytes) else {**asked("LABEL_DETECTION"), **change}
    with before(tmp_path) as (address, vendor), budget(address, 10**15):
        got = post(address, body)
        assert got.status_code == status and said in got.json()["error"]["message"]
        got = post(address, asked("LABEL_DETECTION"), f"{PATH}?$new=1")
        assert got.status_code == 429
        assert not vendor.asked


def test_what_has_no_price_is_kept_as_unknown(tmp_path: Any) -> None:
    with before(tmp_path, reply()) as (address, _):
        assert post(address, asked("LABEL_DETECTION", "PRODUCT_SEARCH")).is_success
        (hold,) = open_holds(address)
        assert hold.state == "unknown"


def test_over_the_budget_the_next_that_is_free_sees(tmp_path: Any) -> None:
    with before(tmp_path, see=("google_vision", "fake"), over_budget="next") as (address, said):
        with budget(address, 1):
            found = sdk(address).label_detection(image={"content": png()})
        assert found.label_annotations[0].score == pytest.approx(0.7)
        assert not said.asked
        assert last(address).engine == "fake"


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(tmp_path: Any) -> None:
    wrong = failed(400, "INVALID_ARGUMENT", "Bad thing.", {"@type": "type/x", "new": [1]})
    with before(tmp_path, wrong, wrong, see=("google_vision", "fake")) as (address, _):
        with pytest.raises(exceptions.BadRequest, match="Bad thing"):
            sdk(address).label_detection(image={"content": png()})
        got = post(address, {"requests": [{"features": [{"type": "LABEL_DETECTION"}]}]})
        assert got.content == wrong.partition(b"\r\n\r\n")[2]
        row = last(address)
        assert row.cost == 0 and [one.outcome for one in row.attempts] == ["refused"]
        assert not open_holds(address)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (failed(403, "PERMISSION_DENIED", "off"), False),
        (failed(429, "RESOURCE_EXHAUSTED", "quota"), False),
        (failed(400, "INVALID_ARGUMENT", "key", {"reason": "API_KEY_INVALID"}), False),
        (failed(500, "INTERNAL", "oh"), True),
        (reply(b"<html>", 404), False),
        (reply(b"<html>"), True),
    ],
)
def test_what_is_not_the_requests_fault_leads_to_the_next_model(
    tmp_path: Any, answer: bytes, kept: bool
) -> None:
    with before(tmp_path, answer, answer, see=("google_vision", "dead", "fake")) as (address, said):
        found = sdk(address).label_detection(image={"content": png()})
        assert found.label_annotations[0].score == pytest.approx(0.7)
        row = last(address)
        assert [one.model for one in row.attempts] == ["google_vision", "dead", "fake"]
        assert len(said.asked) == 1
        assert [one.state for one in open_holds(address)] == ["unknown"] * kept


def test_with_nothing_behind_it_the_sdk_has_its_typed_error(tmp_path: Any) -> None:
    key = {"reason": "API_KEY_INVALID"}
    answers = (
        failed(429, "RESOURCE_EXHAUSTED", "quota"),
        failed(400, "INVALID_ARGUMENT", f"{VENDOR_KEY} is wrong", key),
    )
    with before(tmp_path, *answers) as (address, _):
        for _ in answers:
            with pytest.raises(exceptions.InternalServerError):
                sdk(address).label_detection(image={"content": png()})


def test_conditions_are_about_the_features_and_languages(tmp_path: Any) -> None:
    from ogam.routes import Step, When

    see = (
        Step(model="google_vision", when=When(features=("text",), languages=("ko",))),
        "fake",
    )
    body = asked("TEXT_DETECTION")
    korean = {"requests": [{**body["requests"][0], "imageContext": {"languageHints": ["ko"]}}]}
    with before(tmp_path, reply(), see=see) as (address, said):
        for one in (body, asked("TEXT_DETECTION", "LOGO_DETECTION")):
            assert post(address, one).headers["x-ogam-model"] == "fake"
        assert post(address, korean).headers["x-ogam-model"] == "google_vision"
        assert len(said.asked) == 1


def test_what_stands_in_storage_is_not_asked_of_the_operators_bucket(tmp_path: Any) -> None:
    source = {"source": {"gcs_image_uri": "gs://bucket/a.png"}}
    file = {"inputConfig": {"gcsSource": {"uri": "gs://bucket/a.pdf"}, "mimeType": "image/gif"}}
    with before(tmp_path, reply()) as (address, said):
        features = [{"type": "LABEL_DETECTION"}]
        for path, one in ((PATH, {"image": source}), ("/v1/files:annotate", file)):
            got = post(address, {"requests": [{**one, "features": features}]}, path)
            assert got.json()["responses"][0]["error"]["code"] == 5
        assert not said.asked
        image = {"source": {"imageUri": "https://example.org/a.png"}}
        assert post(address, {"requests": [{"image": image, "features": features}]}).is_success
        (request,) = json.loads(said.asked[0].body)["requests"]
        assert request["image"] == image


def test_what_stands_in_a_project_stands_in_the_operators(tmp_path: Any) -> None:
    body = {**asked("LABEL_DETECTION"), "parent": "projects/theirs/locations/eu"}
    path = "/v1/projects/theirs/locations/eu/images:annotate"
    with before(tmp_path, reply(), reply(), see=("ours",)) as (address, said):
        assert post(address, body, path, **{"x-goog-user-project": "theirs"}).is_success
        (sent,) = said.asked
        assert sent.path == "/v1/projects/my-project/locations/eu/images:annotate"
        assert json.loads(sent.body) == {**body, "parent": "projects/my-project/locations/eu"}
        assert sent.headers["x-goog-user-project"] == "my-project"


@pytest.mark.parametrize(
    "request_",
    [
        {"features": [{"type": "LABEL_DETECTION"}] * 65},
        {"features": [], "pages": [1] * 6, "inputConfig": {}},
        {"features": [{"model": "builtin/a"}, {"model": "builtin/b"}]},
    ],
)
def test_more_than_google_takes_is_counted_by_nobody(tmp_path: Any, request_: Any) -> None:
    asked_ = passing.Asked({"requests": [request_]}, passing.IMAGES)
    assert asked_.too_many or len(asked_.models) > 1
    with before(tmp_path) as (address, said):
        post(address, {"requests": [{"image": {"content": "aGk="}, **request_}]})
        assert not said.asked


@pytest.mark.parametrize("query", ["alt=proto", "callback=f", "$httpHeaders=a", "$req=b"])
def test_an_address_that_changes_what_is_asked_does_not_go_through(
    tmp_path: Any, query: str
) -> None:
    with before(tmp_path, reply()) as (address, said):
        assert post(address, {**asked("LABEL_DETECTION"), "labels": {}}, f"{PATH}?{query}")
        assert all("?" not in one.path for one in said.asked)


def test_what_is_kept_holds_pictures_by_their_hash(tmp_path: Any) -> None:
    with before(tmp_path, reply(), record=True) as (address, _):
        assert post(address, {**asked("LABEL_DETECTION"), "new": "a"}).is_success
        request, answer = recorded(address, last(address).id)
        assert request["new"] == "a" and answer == LABELS
        content = request["requests"][0]["image"]["content"]
        assert content == {"sha256": sha256(png()).hexdigest()}
