"""Google Vision called: against Ogam's own server, and against vendors that misbehave."""

from __future__ import annotations

import asyncio
import base64
import datetime
import io
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from ogam import errors
from ogam.capabilities import vision as see
from ogam.capabilities.base import ModelRef
from ogam.engines.fake import FakeEngine
from ogam.media import Image
from ogam.protocols.google.client_auth import Auth
from ogam.protocols.google_vision import convert, wire
from ogam.protocols.google_vision.client import GoogleVisionEngine
from ogam.vendors import Vendor

from .conftest import Address
from .scripted import answer, connected, failure, run, scripted

KEY = "a-secret-key"


def picture(size: tuple[int, int] = (64, 48)) -> Image:
    buffer = io.BytesIO()
    PILImage.new("RGB", size, (1, 2, 3)).save(buffer, "PNG")
    return Image(buffer.getvalue())


def engine(url: str, model: str = "", **more: Any) -> GoogleVisionEngine:
    vendor = Vendor(name="google_vision", protocol="google_vision", url=url, **{"key": KEY, **more})
    name = f"google_vision/{model}".rstrip("/")
    ref = ModelRef(name=name, engine="google_vision", model=model)
    return GoogleVisionEngine(ref, vendor, connected(url))


def seen(reply: bytes, request: see.SeeRequest | None = None, **more: Any) -> see.SeeResult:
    """What comes of one scripted reply."""

    async def work() -> see.SeeResult:
        async with scripted(reply, again=True) as vendor:
            asked = request or see.SeeRequest(image=picture(), features=("labels",))
            return await engine(vendor.url, **more).see(asked)

    return run(work())


def test_every_feature_comes_back_as_the_vendor_found_it(fake_server: Address) -> None:
    features = tuple(one for one in see.FEATURES if one in GoogleVisionEngine.features)
    request = see.SeeRequest(image=picture(), features=features)
    found = run(engine(fake_server.http, key=fake_server.key).see(request))
    own = FakeEngine(ModelRef(name="fake", engine="fake")).see(request)
    for field in ("document", "faces", "objects", "labels", "colors", "crop_hints", "features"):
        assert getattr(found, field) == getattr(own, field), field
    assert found.text == own.text != ""
    assert (found.engine, found.model) == ("google_vision", "google_vision")
    # Of text and document_text only the latter is sent: both would be billed.
    assert found.units.image_features == len(features) - 1


def test_without_features_all_that_google_has_are_asked_for() -> None:
    async def work() -> None:
        async with scripted(answer(200, {"responses": [{}]}), again=True) as vendor:
            found = await engine(vendor.url).see(see.SeeRequest(image=picture()))
            (sent,) = vendor.asked[0].json()["requests"]
            names = {one["type"] for one in sent["features"]}
            assert names == set(convert.FEATURES) - {"TEXT_DETECTION"}
            assert found.units.image_features == len(names)
            assert set(found.features) == GoogleVisionEngine.features

    run(work())


def test_the_key_goes_in_a_header_and_never_into_the_url() -> None:
    async def work() -> None:
        async with scripted(answer(200, {"responses": [{}]}), again=True) as vendor:
            one = engine(vendor.url, "builtin/latest", headers={"X-Goog-User-Project": "p"})
            request = see.SeeRequest(
                image=picture(), features=("crop_hints",), aspect_ratios=(1.5,), languages=("ko",)
            )
            await one.see(request)
            (asked,) = vendor.asked
            assert asked.path == "/v1/images:annotate"
            assert asked.headers["x-goog-api-key"] == KEY
            assert asked.headers["x-goog-user-project"] == "p"
            (sent,) = asked.json()["requests"]
            assert sent["features"] == [
                {"type": "CROP_HINTS", "maxResults": 100, "model": "builtin/latest"}
            ]
            assert sent["imageContext"] == {
                "languageHints": ["ko"],
                "cropHintsParams": {"aspectRatios": [1.5]},
            }

    run(work())


def test_what_google_has_not_is_refused_before_anything_is_sent() -> None:
    assert "barcodes" not in GoogleVisionEngine.features
    request = see.SeeRequest(image=picture(), features=("barcodes",))
    with pytest.raises(errors.UnsupportedOptionError, match="barcodes"):
        run(engine("http://127.0.0.1:1").see(request))


@pytest.mark.parametrize("size", [20 * 1024 * 1024 + 1, 8 * 1024 * 1024])
def test_a_picture_too_large_is_refused_before_anything_is_sent(size: int) -> None:
    # The second fits a file's limit, and in base64 not the request's.
    image = Image(picture().data + bytes(size))
    request = see.SeeRequest(image=image, features=("labels",))
    with pytest.raises(errors.TooLargeError, match="takes"):
        run(engine("http://127.0.0.1:1").see(request))


def test_fields_that_google_adds_later_do_not_break_an_answer() -> None:
    color = {"color": {"red": 7, "alpha": 0.5}, "score": 0.5, "pixelFraction": 0.25, "new": [{}]}
    reply = {
        "responses": [
            {
                "imagePropertiesAnnotation": {"dominantColors": {"colors": [color]}},
                "labelAnnotations": [{"description": "Cat", "score": 1, "x": None}],
                "faceAnnotations": [{"joyLikelihood": 5}, {"joyLikelihood": 99}],
                "aNewAnnotation": {"deep": [1]},
            }
        ],
        "another": True,
    }
    found = seen(answer(200, reply))
    assert found.colors == (see.Color(red=7, green=0, blue=0, score=0.5, pixel_fraction=0.25),)
    assert found.labels == (see.Label(name="Cat", score=1.0),)
    assert [one.smile for one in found.faces] == ["very_likely", "unknown"]


def test_breaks_between_words_and_places_in_parts_become_text_and_pixels() -> None:
    def word(letters: str, kind: str) -> dict[str, Any]:
        symbols: list[dict[str, Any]] = [{"text": one} for one in letters]
        symbols[-1]["property"] = {"detectedBreak": {"type": kind}}
        return {"symbols": symbols}

    corner = {"normalizedVertices": [{}, {"x": 0.5}, {"x": 0.5, "y": 0.25}, {"y": 0.25}]}
    words = [word("Hi", "SPACE"), word("wor", "HYPHEN"), word("ld", "LINE_BREAK")]
    paragraphs = [{"words": words}]
    page = {"width": 64, "height": 48, "blocks": [{"paragraphs": paragraphs}]}
    reply = {
        "fullTextAnnotation": {"pages": [page], "text": "Hi wor-\nld\n"},
        "localizedObjectAnnotations": [{"name": "Cup", "score": 0.5, "boundingPoly": corner}],
    }
    found = seen(answer(200, {"responses": [reply]}))
    assert found.text == "Hi wor-\nld\n"
    assert found.document is not None
    assert found.document.pages[0].blocks[0].paragraphs[0].text == "Hi wor\nld"
    (cup,) = found.objects
    assert cup.polygon == see.Polygon.box(0, 0, 32, 12)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 3, "message": "Bad image data."}, errors.InvalidMediaError),
        ({"code": 7, "message": "no"}, errors.VendorError),
        ({"code": 14, "message": "later"}, errors.VendorError),
        ({"code": 77}, errors.VendorError),
    ],
)
def test_an_error_of_the_picture_stands_inside_a_good_reply(
    error: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        seen(answer(200, {"responses": [{"error": error}]}))
    assert type(caught.value) is kind
    assert error.get("message", "UNKNOWN") in str(caught.value)


def test_a_damaged_picture_is_the_callers_fault_at_the_real_server(fake_server: Address) -> None:
    image = Image(picture().data[:60])
    request = see.SeeRequest(image=image, features=("labels",))
    with pytest.raises(errors.InvalidMediaError, match="Bad image data"):
        run(engine(fake_server.http, key=fake_server.key).see(request))


INFO = "type.googleapis.com/google.rpc"


@pytest.mark.parametrize(
    ("reply", "kind", "status", "retry_after"),
    [
        (failure(400, "INVALID_ARGUMENT", "bad"), errors.InvalidRequestError, None, None),
        (failure(400, "OUT_OF_RANGE", "bad"), errors.InvalidRequestError, None, None),
        (failure(404, "NOT_FOUND", "none"), errors.UnknownModelError, None, None),
        (failure(401, "UNAUTHENTICATED", "who"), errors.VendorError, 401, None),
        (failure(403, "PERMISSION_DENIED", "no"), errors.VendorError, 403, None),
        (
            failure(400, "INVALID_ARGUMENT", "key", {"reason": "API_KEY_INVALID"}),
            errors.VendorError,
            401,
            None,
        ),
        (
            failure(
                429,
                "RESOURCE_EXHAUSTED",
                "quota",
                {"@type": f"{INFO}.RetryInfo", "retryDelay": "7.5s"},
            ),
            errors.VendorError,
            429,
            7.5,
        ),
        (failure(500, "INTERNAL", "oh"), errors.VendorError, 500, None),
        (failure(501, "UNIMPLEMENTED", "oh"), errors.VendorError, 501, None),
        (failure(504, "DEADLINE_EXCEEDED", "oh"), errors.VendorError, 504, None),
        (answer(503, {"error": 5}, retry_after="3"), errors.VendorError, 503, 3.0),
        (answer(404, b"<html>"), errors.VendorError, 404, None),
        (answer(502, b"[" * 5000), errors.VendorError, 502, None),
        (answer(413, b""), errors.TooLargeError, None, None),
        (answer(200, b"no json"), errors.VendorError, None, None),
        (answer(200, b""), errors.VendorError, None, None),
        (answer(200, []), errors.VendorError, None, None),
        (answer(200, {"responses": []}), errors.VendorError, None, None),
        (answer(200, {"responses": [{}, {}]}), errors.VendorError, None, None),
        (answer(200, {"responses": [{"labelAnnotations": 5}]}), errors.VendorError, None, None),
        (answer(200, {"responses": [{}]}, cut=3), errors.VendorError, None, None),
        (b"HTTP/1.1", errors.VendorError, None, None),
    ],
)
def test_what_goes_wrong_at_the_vendor_is_told_by_kind(
    reply: bytes, kind: type[Exception], status: int | None, retry_after: float | None
) -> None:
    with pytest.raises(errors.OgamError) as caught:
        seen(reply)
    error = caught.value
    assert type(error) is kind
    assert KEY not in str(error)
    assert "\n" not in str(error)
    if isinstance(error, errors.VendorError):
        assert (error.status, error.retry_after, error.sent) == (status, retry_after, True)


def test_the_field_at_fault_is_named() -> None:
    detail = {"fieldViolations": [{"field": "image", "description": "x"}]}
    with pytest.raises(errors.InvalidRequestError) as caught:
        seen(failure(400, "INVALID_ARGUMENT", "Bad field.", detail))
    assert caught.value.param == "image"
    assert "Bad field." in str(caught.value)


@given(st.binary(max_size=80), st.sampled_from([b'{"error":', b'{"error":{"details":[', b""]))
def test_any_bytes_of_a_failed_reply_make_one_error(data: bytes, start: bytes) -> None:
    from ogam.protocols.google.client_errors import of_reply

    assert isinstance(of_reply("google", 400, start + data, None), errors.OgamError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["reason", "fieldViolations", "field", "a"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=3))
def test_any_details_make_one_error(details: list[Any]) -> None:
    from ogam.protocols.google.client_errors import Said, of_status

    assert of_status("google", Said("INVALID_ARGUMENT", "x", details)).message == "google: x"


@given(
    st.dictionaries(
        st.sampled_from(list(wire.AnnotateImageResponse.__struct_encode_fields__)), json_values
    )
)
def test_any_json_is_a_response_or_is_refused(value: dict[str, Any]) -> None:
    import msgspec

    from ogam.protocols.google import protojson

    try:
        found = protojson.read(json.dumps(value).encode(), wire.AnnotateImageResponse)
    except msgspec.MsgspecError:
        return
    assert convert.found_of(found, (4, 4)).keys() >= {"faces", "document"}


# Credentials.


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account(private_key: rsa.RSAPrivateKey, url: str) -> dict[str, str]:
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "me@my-project.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }


def token_of(
    private_key: rsa.RSAPrivateKey, tokens: list[dict[str, Any]], lives: int = 3600
) -> Any:
    """Answers with a token where what is sent was signed by the key."""

    def reply(asked: Any) -> bytes:
        form = parse_qs(asked.body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        head, claims, signature = (
            base64.urlsafe_b64decode(part + "==") for part in form["assertion"][0].split(".")
        )
        assert json.loads(head)["alg"] == "RS256"
        signed = form["assertion"][0].rpartition(".")[0].encode()
        private_key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        tokens.append(json.loads(claims))
        return answer(200, {"access_token": f"token-{len(tokens)}", "expires_in": lives})

    return reply


def test_a_service_accounts_token_is_fetched_once_and_used(
    private_key: rsa.RSAPrivateKey, tmp_path: Any
) -> None:
    tokens: list[dict[str, Any]] = []

    async def work() -> None:
        async with (
            scripted(token_of(private_key, tokens), again=True) as issuer,
            scripted(answer(200, {"responses": [{}]}), again=True) as vendor,
        ):
            file = tmp_path / "account.json"
            file.write_text(json.dumps(account(private_key, issuer.url)))
            one = engine(vendor.url, key="", credentials=str(file))
            request = see.SeeRequest(image=picture(), features=("labels",))
            await asyncio.gather(*(one.see(request) for _ in range(8)))
            assert {asked.headers["authorization"] for asked in vendor.asked} == {"Bearer token-1"}

    run(work())
    (claims,) = tokens
    assert claims["iss"] == "me@my-project.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_a_token_that_soon_ends_serves_while_the_next_is_fetched(
    private_key: rsa.RSAPrivateKey, tmp_path: Any
) -> None:
    tokens: list[dict[str, Any]] = []

    async def work() -> None:
        # 100 seconds are within the time in which a token is renewed, and not its end.
        async with scripted(token_of(private_key, tokens, lives=100), again=True) as issuer:
            file = tmp_path / "account.json"
            file.write_text(json.dumps(account(private_key, issuer.url)))
            auth = Auth(
                Vendor(name="v", protocol="google_vision", url="http://x", credentials=str(file))
            )
            assert dict(await auth.headers())["authorization"] == "Bearer token-1"
            assert dict(await auth.headers())["authorization"] == "Bearer token-1"
            await auth._work
            assert dict(await auth.headers())["authorization"] == "Bearer token-2"
            assert await auth.project() == "my-project"
            await auth._work
            # One whose time is over is waited for, by all callers together.
            auth._account.expiry = datetime.datetime(2000, 1, 1)
            before = len(tokens)
            got = await asyncio.gather(*(auth.headers() for _ in range(5)))
            assert len(tokens) == before + 1
            assert all(dict(one)["authorization"] == f"Bearer token-{before + 1}" for one in got)

    run(work())


def test_one_caller_that_gives_up_leaves_the_token_to_the_others(
    private_key: rsa.RSAPrivateKey, tmp_path: Any
) -> None:
    tokens: list[dict[str, Any]] = []

    async def work() -> None:
        async with scripted(token_of(private_key, tokens), again=True) as issuer:
            file = tmp_path / "account.json"
            file.write_text(json.dumps(account(private_key, issuer.url)))
            auth = Auth(
                Vendor(name="v", protocol="google_vision", url="http://x", credentials=str(file))
            )
            first = asyncio.create_task(auth.headers())
            await asyncio.sleep(0)
            second = asyncio.create_task(auth.headers())
            await asyncio.sleep(0)
            first.cancel()
            assert dict(await second)["authorization"] == "Bearer token-1"

    run(work())
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT"}), 401),
        (answer(401, b"no"), 401),
        (answer(200, {"nothing": 1}), 401),
    ],
)
def test_no_token_means_nothing_was_sent(
    private_key: rsa.RSAPrivateKey, tmp_path: Any, reply: bytes, status: int
) -> None:
    async def work() -> errors.VendorError:
        async with (
            scripted(reply, again=True) as issuer,
            scripted(answer(200, {}), again=True) as vendor,
        ):
            file = tmp_path / "account.json"
            file.write_text(json.dumps(account(private_key, issuer.url)))
            one = engine(vendor.url, key="", credentials=str(file))
            with pytest.raises(errors.VendorError) as caught:
                await one.see(see.SeeRequest(image=picture(), features=("labels",)))
            assert not vendor.asked
            return caught.value

    error = run(work())
    assert (error.status, error.sent) == (status, False)
    assert "PRIVATE KEY" not in str(error)
    assert "\n" not in str(error)


def test_a_credentials_file_that_is_none_is_told_in_one_line(
    private_key: rsa.RSAPrivateKey, tmp_path: Any
) -> None:
    good = account(private_key, "http://127.0.0.1:1")
    short = {name: good[name] for name in good if name != "token_uri"}
    broken = {**good, "private_key": good["private_key"][:200]}
    file = tmp_path / "account.json"
    for content in (
        None,
        b"{",
        b"\xff\xfe",
        b"[]",
        b"5",
        b'{"type":"authorized_user"}',
        short,
        broken,
    ):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )
        one = engine("http://127.0.0.1:1", key="", credentials=str(file))
        with pytest.raises(errors.ConfigurationError) as caught:
            run(one.see(see.SeeRequest(image=picture(), features=("labels",))))
        said = str(caught.value)
        assert "GOOGLE_APPLICATION_CREDENTIALS" in said
        assert str(file) in said
        assert "MII" not in said
        assert "\n" not in said
    assert "token_uri" in _said(tmp_path, short)


def _said(folder: Any, content: dict[str, str]) -> str:
    file = folder / "other.json"
    file.write_text(json.dumps(content))
    one = engine("http://127.0.0.1:1", key="", credentials=str(file))
    with pytest.raises(errors.ConfigurationError) as caught:
        run(one.see(see.SeeRequest(image=picture(), features=("labels",))))
    return str(caught.value)


def test_google_itself_is_never_called_without_credentials() -> None:
    one = engine("https://vision.googleapis.com", key="")
    with pytest.raises(errors.NotConfiguredError, match="GOOGLE_VISION_API_KEY"):
        run(one.see(see.SeeRequest(image=picture(), features=("labels",))))


def test_a_server_of_ones_own_may_need_no_key(starter_server: Address) -> None:
    request = see.SeeRequest(image=picture(), features=("image_properties",))
    found = run(engine(starter_server.http, key="").see(request))
    assert (found.colors[0].red, found.colors[0].blue) == (1, 3)


def test_nobody_listening_is_told_apart_from_an_answer_that_broke_off() -> None:
    request = see.SeeRequest(image=picture(), features=("labels",))
    with pytest.raises(errors.VendorError) as caught:
        run(engine("http://127.0.0.1:1").see(request))
    assert caught.value.sent is False
