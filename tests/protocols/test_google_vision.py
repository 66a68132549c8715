"""Google Cloud Vision through Google's own SDK, over HTTP and over gRPC."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.request

import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from google.longrunning import operations_pb2, operations_pb2_grpc
from PIL import Image

from ogam.config import Config, Routes, Server

from .conftest import KEY, running

Type = vision.Feature.Type


def rest(address, key=None):
    return vision.ImageAnnotatorClient(
        transport="rest",
        client_options={"api_endpoint": address.http, "api_key": key or address.key},
    )


@pytest.fixture(scope="module")
def channel(fake_server):
    with grpc.insecure_channel(fake_server.grpc) as channel:
        yield channel


def over_grpc(channel):
    return vision.ImageAnnotatorClient(transport=ImageAnnotatorGrpcTransport(channel=channel))


def png(width=64, height=48, color="white"):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def asked(data, *types, **more):
    return {"image": {"content": data}, "features": [{"type_": one, **more} for one in types]}


def post(address, path, body, key=KEY):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{address.http}{path}", data, {"content-type": "application/json", "x-goog-api-key": key}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def get(address, path, key=KEY):
    with urllib.request.urlopen(f"{address.http}{path}?key={key}") as answer:
        return json.load(answer)


EVERY = [one for one in Type if one != Type.TYPE_UNSPECIFIED]


def test_every_feature_is_answered_the_same_over_http_and_grpc(fake_server, channel):
    request = {"requests": [asked(png(), *EVERY), asked(png(color="red"), *EVERY)]}
    http = rest(fake_server).batch_annotate_images(request)
    grpc_ = over_grpc(channel).batch_annotate_images(request, metadata=[("x-goog-api-key", KEY)])
    assert http == grpc_
    found = http.responses[0]
    assert found.face_annotations[0].landmarks[0].type_.name == "LEFT_EYE"
    assert found.label_annotations[0].score == pytest.approx(0.7)
    assert found.localized_object_annotations[0].bounding_poly.normalized_vertices
    assert found.image_properties_annotation.dominant_colors.colors[0].color.blue == 30
    assert found.crop_hints_annotation.crop_hints[0].importance_fraction == 1
    assert not found.landmark_annotations
    assert not found.logo_annotations
    assert not found.web_detection.web_entities


def test_text_is_whole_first_then_word_by_word(fake_server):
    found = rest(fake_server).text_detection(image={"content": png()})
    whole, *words = found.text_annotations
    assert whole.description == found.full_text_annotation.text
    assert [word.description for word in words] == whole.description.split()
    symbols = [
        symbol
        for block in found.full_text_annotation.pages[0].blocks
        for paragraph in block.paragraphs
        for word in paragraph.words
        for symbol in word.symbols
    ]
    assert "".join(symbol.text for symbol in symbols) == "".join(whole.description.split())


def test_what_was_not_asked_is_not_answered(fake_server):
    found = rest(fake_server).label_detection(image={"content": png()})
    assert found.label_annotations
    assert not found.text_annotations
    assert not found.face_annotations
    assert "safe_search_annotation" not in found


def test_nothing_that_may_be_unsafe_is_cleared(fake_server):
    found = rest(fake_server).safe_search_detection(image={"content": png()})
    assert found.safe_search_annotation.adult == vision.Likelihood.POSSIBLE


@pytest.mark.parametrize("data", [b"no image", png()[:40], b"%PDF-1.4"], ids=len)
def test_a_bad_image_is_an_error_of_its_own_inside_a_200(fake_server, channel, data):
    requests = [asked(data, Type.WEB_DETECTION), asked(png(), Type.LABEL_DETECTION)]
    bad, good = rest(fake_server).batch_annotate_images(requests=requests).responses
    assert bad.error.code == 3
    assert bad.error.message.startswith("Bad image data.")
    assert good.label_annotations
    same = over_grpc(channel).batch_annotate_images(
        requests=requests, metadata=[("x-goog-api-key", KEY)]
    )
    assert same.responses[0] == bad


@pytest.mark.parametrize(
    "requests",
    [
        [asked(png(), Type.LABEL_DETECTION)] * 17,
        [asked(png())],
        [asked(b"", Type.LABEL_DETECTION)],
        [asked(png(), Type.TYPE_UNSPECIFIED)],
        [asked(png(), Type.LABEL_DETECTION, max_results=-1)],
        [asked(png(), Type.LABEL_DETECTION, model="no-such-model")],
    ],
)
def test_a_wrong_request_is_an_invalid_argument(fake_server, channel, requests):
    with pytest.raises(exceptions.BadRequest) as http:
        rest(fake_server).batch_annotate_images(requests=requests)
    with pytest.raises(exceptions.InvalidArgument) as other:
        over_grpc(channel).batch_annotate_images(
            requests=requests, metadata=[("x-goog-api-key", KEY)]
        )
    assert other.value.message
    assert http.value.message.endswith(other.value.message)


def test_a_wrong_key_is_no_401_and_says_so(fake_server, channel):
    with pytest.raises(exceptions.BadRequest) as http:
        rest(fake_server, "wrong").label_detection(image={"content": png()})
    assert http.value.reason == "API_KEY_INVALID"
    for metadata in ([], [("x-goog-api-key", "wrong")], [("authorization", "Bearer wrong")]):
        with pytest.raises(exceptions.InvalidArgument) as other:
            over_grpc(channel).label_detection(image={"content": png()}, metadata=metadata)
        assert other.value.reason == "API_KEY_INVALID"


def test_the_key_may_come_in_each_of_its_places(fake_server, channel):
    get(fake_server, "/v1/operations")
    client = over_grpc(channel)
    for metadata in ([("x-goog-api-key", KEY)], [("authorization", f"Bearer {KEY}")]):
        client.label_detection(image={"content": png()}, metadata=metadata)


def test_anonymous_credentials_suffice_where_no_key_is_wanted(tmp_path):
    config = Config(routes=Routes(see=("fake",)), server=Server(data=str(tmp_path)))
    with running(config, grpc=False) as address:
        client = vision.ImageAnnotatorClient(
            transport="rest",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": address.http},
        )
        assert client.label_detection(image={"content": png()}).label_annotations


@pytest.mark.parametrize("parent", ["", "/projects/p", "/projects/p/locations/eu"])
def test_every_form_of_proto_json_is_read(fake_server, parent):
    content = base64.urlsafe_b64encode(png(color="#fbefff")).decode().rstrip("=")
    image = {"content": content, "source": None}
    for features in ([{"type": "LABEL_DETECTION"}], [{"type": 4, "max_results": "3"}]):
        body = {"requests": [{"image": image, "features": features}]}
        status, found = post(fake_server, f"/v1{parent}/images:annotate", body)
        assert status == 200
        assert found["responses"][0]["labelAnnotations"][0]["description"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Invalid JSON payload received."),
        (b"\xff", "Invalid JSON payload received."),
        ({"request": []}, 'Unknown name "request": Cannot find field.'),
        ({"requests": [{"features": [{"type": "NO_SUCH"}]}]}, "NO_SUCH"),
        ({"requests": [{"image": {"content": "%%%"}}]}, "requests[0].image.content"),
        ({"requests": [], "parent": "nowhere"}, "parent"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_place(fake_server, body, said):
    status, found = post(fake_server, "/v1/images:annotate", body)
    assert (status, found["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert said in found["error"]["message"]


def test_a_payload_over_googles_limit_is_refused_in_googles_words(fake_server):
    status, found = post(fake_server, "/v1/images:annotate", b" " * 41_943_041)
    assert status == 400
    assert found["error"]["message"].startswith("Request payload size exceeds the limit: 41943040")


def test_an_uri_that_is_not_allowed_is_the_images_error(fake_server):
    request = {"features": [{"type_": Type.LABEL_DETECTION}]}
    for name, code in (("http://127.0.0.1:9/a.png", 7), ("gs://bucket/none.png", 5)):
        request["image"] = {"source": {"image_uri": name}}
        found = rest(fake_server).annotate_image(request)
        assert found.error.code == code
        assert found.error.message


def test_images_are_seen_later_and_written_to_storage(fake_server):
    store = fake_server.server.config.server.data
    operation = rest(fake_server).async_batch_annotate_images(
        requests=[asked(png(), Type.LABEL_DETECTION)] * 3,
        output_config={"gcs_destination": {"uri": "gs://bucket/out/"}, "batch_size": 2},
    )
    answer = operation.result(timeout=30)
    assert answer.output_config.gcs_destination.uri == "gs://bucket/out/"
    assert operation.metadata.state.name == "DONE"
    name = operation.operation.name
    assert name.startswith("projects/local/operations/")
    with open(f"{store}/google/storage/bucket/out/output-3-to-3.json", "rb") as file:
        found = vision.BatchAnnotateImagesResponse.from_json(file.read())
    assert found.responses[0].label_annotations
    assert name in [
        one["name"] for one in get(fake_server, "/v1/projects/local/operations")["operations"]
    ]
    assert post(fake_server, f"/v1/{name}:cancel", {}) == (200, {})


def test_operations_are_asked_for_over_grpc(fake_server, channel):
    metadata = [("x-goog-api-key", KEY)]
    operation = over_grpc(channel).async_batch_annotate_images(
        requests=[asked(png(), Type.LABEL_DETECTION)],
        output_config={"gcs_destination": {"uri": "gs://bucket/grpc/"}},
        metadata=metadata,
    )
    name = operation.operation.name
    stub = operations_pb2_grpc.OperationsStub(channel)
    asked_for = operations_pb2.WaitOperationRequest(name=name)
    found = stub.WaitOperation(asked_for, metadata=metadata)
    assert found.done
    answer = vision.AsyncBatchAnnotateImagesResponse.pb()()
    assert found.response.Unpack(answer)
    assert answer.output_config.gcs_destination.uri == "gs://bucket/grpc/"
    listed = operations_pb2.ListOperationsRequest(name="projects/local")
    assert name in [one.name for one in stub.ListOperations(listed, metadata=metadata).operations]
    one = operations_pb2.DeleteOperationRequest(name=name)
    stub.DeleteOperation(one, metadata=metadata)
    with pytest.raises(grpc.RpcError) as gone:
        stub.GetOperation(operations_pb2.GetOperationRequest(name=name), metadata=metadata)
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["x", "0" * 32, "..%2F..%2Fkeys", "0" * 31 + "g"])
def test_an_unknown_operation_is_a_404(fake_server, name):
    with pytest.raises(urllib.error.HTTPError) as found:
        get(fake_server, f"/v1/projects/p/operations/{name}")
    with found.value as error:
        assert error.code == 404
        assert json.load(error)["error"]["status"] == "NOT_FOUND"


def test_an_overloaded_server_answers_429_once(fake_server, channel, monkeypatch):
    from ogam.errors import OverloadedError

    tried = []

    async def full(*_):
        tried.append(1)
        raise OverloadedError("Too much is waiting.")

    monkeypatch.setattr(fake_server.server.gateway, "answer", full)
    with pytest.raises(exceptions.TooManyRequests):
        rest(fake_server).label_detection(image={"content": png()})
    with pytest.raises(exceptions.ResourceExhausted):
        over_grpc(channel).label_detection(
            image={"content": png()}, metadata=[("x-goog-api-key", KEY)]
        )
    assert len(tried) == 2


def test_an_engine_that_fails_is_the_images_error(fake_server, monkeypatch):
    from ogam.errors import EngineError

    async def broken(*_):
        raise EngineError("It broke.")

    monkeypatch.setattr(fake_server.server.gateway, "answer", broken)
    found = rest(fake_server).label_detection(image={"content": png()})
    assert found.error.code == 13
    assert "It broke." in found.error.message


def test_the_work_stops_when_the_client_leaves(fake_server, channel, monkeypatch):
    import asyncio

    ended = []

    async def slow(*_):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    monkeypatch.setattr(fake_server.server.gateway, "answer", slow)
    with pytest.raises(exceptions.DeadlineExceeded):
        over_grpc(channel).batch_annotate_images(
            requests=[asked(png(), Type.LABEL_DETECTION)],
            metadata=[("x-goog-api-key", KEY)],
            retry=None,
            timeout=0.5,
        )
    with pytest.raises(Exception, match="timed out"):
        rest(fake_server).batch_annotate_images(
            requests=[asked(png(), Type.LABEL_DETECTION)], retry=None, timeout=0.5
        )
    until = time.monotonic() + 10
    while len(ended) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(ended) == 2


def test_the_starters_see_a_face_and_label_what_they_find(starter_server, samples):
    photo = (samples / "photos" / "astronaut.jpg").read_bytes()
    client = rest(starter_server)
    request = asked(photo, Type.FACE_DETECTION, Type.LOGO_DETECTION, Type.PRODUCT_SEARCH)
    found = client.batch_annotate_images(requests=[request]).responses[0]
    landmarks = {one.type_.name for one in found.face_annotations[0].landmarks}
    assert "LEFT_EYE" in landmarks
    assert found.face_annotations[0].joy_likelihood >= vision.Likelihood.POSSIBLE


def test_the_starters_read_and_label_a_text(starter_server, samples):
    picture = (samples / "ocr" / "short.png").read_bytes()
    request = asked(picture, Type.DOCUMENT_TEXT_DETECTION, Type.LABEL_DETECTION, max_results=1)
    found = rest(starter_server).batch_annotate_images(requests=[request]).responses[0]
    assert found.full_text_annotation.text
    assert [one.description for one in found.label_annotations] == ["Text"]
