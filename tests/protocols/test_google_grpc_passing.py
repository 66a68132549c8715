"""SDK, Ogam, and a vendor over gRPC: what of Vision's and Speech's messages goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import speech_v1, speech_v2, vision
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcTransport as Speech1
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcTransport as Speech2
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from google.rpc import error_details_pb2, status_pb2

from ogam.config import Config, Route, Routes, Server
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, recorded
from .test_google_speech_sdk import PCM, RATE
from .test_google_vision_passing import LABEL, png

VENDOR_KEY = "the-vendors-key"
REC = "projects/local/locations/europe-west4/recognizers/_"
SEE = "/google.cloud.vision.v1.ImageAnnotator/BatchAnnotateImages"
HEAR = "/google.cloud.speech.v{}.Speech/Recognize"
# A field that no type of Google's has: number 5000, a text.
UNKNOWN = b"\xc2\xb8\x02\x03new"
LABELS = vision.BatchAnnotateImagesResponse(
    responses=[{"label_annotations": [{"description": "Cat"}]}, {"error": {"code": 3}}]
)
SECOND = 400_000
Answer = bytes | grpc.StatusCode


class Vendor(grpc.GenericRpcHandler):
    """Answers each call with the next of ``answers``, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[tuple[str, bytes, dict[str, Any]]] = []
        self._answers = list(answers)

    def service(self, handler_call_details: Any) -> Any:
        def answer(data: bytes, context: Any) -> bytes:
            headers = dict(context.invocation_metadata())
            self.asked.append((handler_call_details.method, data, headers))
            told = self._answers.pop(0)
            if isinstance(told, bytes):
                return told
            detail = error_details_pb2.ErrorInfo(reason="NEW", domain="d")
            status = status_pb2.Status(code=told.value[0], message=f"It says {told.name}.")
            status.details.add().Pack(detail)
            packed = status.SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", packed),))
            context.abort(told, f"It says {told.name}.")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def before(
    tmp_path: Any,
    *answers: Answer,
    models: Callable[[str], Any] = lambda name: (name,),
    **more: Any,
) -> Iterator[tuple[Address, Vendor]]:
    """Ogam before a vendor that says what it is told to say."""
    vendor = Vendor(*answers)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((vendor,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    nowhere = "http://127.0.0.1:9"
    settings = {
        name: VendorSettings(
            url=nowhere, grpc_url=f"http://127.0.0.1:{port}", key=VENDOR_KEY, project="my-project"
        )
        for name in ("google_vision", "google_speech")
    } | {
        "dead_speech": VendorSettings(
            protocol="google_speech", url=nowhere, grpc_url=nowhere, key="k", connect_timeout=1
        )
    }
    made = Config(
        routes=Routes(
            see=Route(models=models("google_vision"), retries=0, **more),
            transcribe=Route(models=models("google_speech"), retries=0, **more),
        ),
        vendors=settings,
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    try:
        with running(made) as address:
            yield address, vendor
    finally:
        server.stop(None)


class _WithKey(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        own = [*(details.metadata or ()), ("x-goog-api-key", KEY)]
        return continuation(details._replace(metadata=own), request)


@contextmanager
def sdk(address: Address, client: Any, transport: Any) -> Iterator[Any]:
    with grpc.insecure_channel(address.grpc) as plain:
        yield client(transport=transport(channel=grpc.intercept_channel(plain, _WithKey())))


def raw(address: Address, method: str, data: bytes) -> bytes:
    with grpc.insecure_channel(address.grpc) as channel:
        metadata = (("x-goog-api-key", KEY), ("x-goog-user-project", "theirs"))
        return channel.unary_unary(method)(data, metadata=metadata, timeout=30)


def picture(*types: Any, **more: Any) -> vision.BatchAnnotateImagesRequest:
    features = [{"type_": one, **more} for one in types or (vision.Feature.Type.LABEL_DETECTION,)]
    one = {"image": {"content": png()}, "features": features}
    return vision.BatchAnnotateImagesRequest(requests=[one, one])


def heard(**config: Any) -> dict[str, Any]:
    given = {"encoding": "LINEAR16", "sample_rate_hertz": RATE, "language_code": "en-US"}
    return {"config": {**given, **config}, "audio": {"content": PCM}}


def test_pictures_go_through_and_are_paid(tmp_path: Any) -> None:
    answer = type(LABELS).serialize(LABELS)
    with (
        before(tmp_path, answer, record=True) as (address, vendor),
        sdk(address, vision.ImageAnnotatorClient, ImageAnnotatorGrpcTransport) as client,
    ):
        asked = picture()
        assert client.batch_annotate_images(asked) == LABELS
        (method, data, headers) = vendor.asked[0]
        assert (method, data) == (SEE, type(asked).serialize(asked))
        assert headers["x-goog-api-key"] == VENDOR_KEY
        row = last(address)
        assert (row.protocol, row.capability, row.status) == ("google_vision", "see", "ok")
        assert (row.model, row.units.image_features, row.cost) == ("google_vision", 1, LABEL)
        assert not open_holds(address)
        request, reply = recorded(address, row.id)
        assert "sha256" in request["requests"][0]["image"]["content"]
        assert reply["media_type"] == "application/grpc"


@pytest.mark.parametrize("model", ["", "/builtin/latest"])
def test_fields_that_nobody_here_knows_arrive_and_come_back(tmp_path: Any, model: str) -> None:
    kind = vision.BatchAnnotateImagesRequest
    inside = kind.pb(picture())
    feature = inside.requests[0].features[0]
    feature.MergeFromString(UNKNOWN)
    data = inside.SerializeToString() + UNKNOWN
    answer = type(LABELS).serialize(LABELS) + UNKNOWN
    with before(tmp_path, answer, models=lambda name: (name + model,)) as (address, vendor):
        assert raw(address, SEE, data) == answer
        (_, sent, headers) = vendor.asked[0]
        assert "x-goog-user-project" not in headers
        if not model:
            assert sent == data
            return
        assert sent.count(UNKNOWN) == 2
        feature.model = inside.requests[1].features[0].model = "builtin/latest"
        assert kind.pb().FromString(sent) == kind.pb().FromString(
            inside.SerializeToString() + UNKNOWN
        )


def test_version_one_goes_through_and_is_paid(tmp_path: Any) -> None:
    told = speech_v1.RecognizeResponse(
        results=[{"alternatives": [{"transcript": "hi"}]}], total_billed_time={"seconds": 15}
    )
    answer = type(told).serialize(told)
    with (
        before(tmp_path, answer, answer) as (address, vendor),
        sdk(address, speech_v1.SpeechClient, Speech1) as client,
    ):
        asked = heard(model="video", enable_spoken_emojis=True)
        assert client.recognize(**asked) == told
        sent = speech_v1.RecognizeRequest.deserialize(vendor.asked[0][1])
        assert sent == speech_v1.RecognizeRequest(**asked)
        row = last(address)
        assert (row.model, row.units.audio_ms) == ("google_speech/video", 15_000)
        assert row.cost == 15 * SECOND
        data = speech_v1.RecognizeRequest.serialize(speech_v1.RecognizeRequest(**asked)) + UNKNOWN
        assert raw(address, HEAR.format(1), data) == answer
        assert vendor.asked[1][:2] == (HEAR.format(1), data)


def test_version_two_stands_in_the_operators_project(tmp_path: Any) -> None:
    told = speech_v2.RecognizeResponse(metadata={"total_billed_duration": {"seconds": 3}})
    with (
        before(tmp_path, type(told).serialize(told)) as (address, vendor),
        sdk(address, speech_v2.SpeechClient, Speech2) as client,
    ):
        config = {"auto_decoding_config": {}, "model": "long", "language_codes": ["en-US"]}
        asked = speech_v2.RecognizeRequest(recognizer=REC, config=config, content=PCM)
        assert client.recognize(asked) == told
        (_, data, headers) = vendor.asked[0]
        asked.recognizer = "projects/my-project/locations/global/recognizers/_"
        assert speech_v2.RecognizeRequest.deserialize(data) == asked
        wanted = "recognizer=projects%2Fmy-project%2Flocations%2Fglobal%2Frecognizers%2F_"
        assert headers["x-goog-request-params"] == wanted
        row = last(address)
        assert (row.model, row.cost) == ("google_speech/v2/long", 800_000)


def test_a_budget_is_kept_before_anything_is_sent(tmp_path: Any) -> None:
    with before(tmp_path) as (address, vendor), ExitStack() as stack:
        see = stack.enter_context(
            sdk(address, vision.ImageAnnotatorClient, ImageAnnotatorGrpcTransport)
        )
        hear = stack.enter_context(sdk(address, speech_v1.SpeechClient, Speech1))
        with budget(address, 2 * LABEL - 1), pytest.raises(exceptions.ResourceExhausted) as caught:
            see.batch_annotate_images(picture())
        assert caught.value.reason == "QUOTA_EXCEEDED"
        with budget(address, 3 * SECOND - 1), pytest.raises(exceptions.ResourceExhausted):
            hear.recognize(**heard(), retry=None)
        # A field that is not known may cost anything.
        data = type(picture()).serialize(picture()) + UNKNOWN
        with budget(address, 10**15), pytest.raises(grpc.RpcError) as refused:
            raw(address, SEE, data)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "not known" in refused.value.details()
        assert not vendor.asked and not open_holds(address)


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(tmp_path: Any) -> None:
    codes = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    with (
        before(tmp_path, *codes, models=lambda name: (name, "fake")) as (address, _),
        sdk(address, speech_v1.SpeechClient, Speech1) as client,
    ):
        for code in codes:
            with pytest.raises(exceptions.ClientError) as caught:
                client.recognize(**heard(), retry=None)
            assert (caught.value.message, caught.value.reason) == (f"It says {code.name}.", "NEW")
            assert caught.value.grpc_status_code is code
            assert last(address).cost == 0
        assert not open_holds(address)


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (grpc.StatusCode.INTERNAL, True),
        (b"\xff\xff", True),
    ],
)
def test_what_is_not_the_requests_fault_leads_to_the_next_model(
    tmp_path: Any, code: Answer, kept: bool
) -> None:
    route = ("google_speech", "dead_speech", "fake")
    with (
        before(tmp_path, code, models=lambda _: route) as (address, _),
        sdk(address, speech_v1.SpeechClient, Speech1) as client,
    ):
        assert client.recognize(**heard()).results
        row = last(address)
        assert [one.model for one in row.attempts] == list(route)
        assert [one.state for one in open_holds(address)] == ["unknown"] * kept


def test_a_call_found_at_fault_behind_the_vendor_is_written_down(tmp_path: Any) -> None:
    with before(tmp_path, grpc.StatusCode.UNAVAILABLE, models=lambda name: (name, "fake")) as (
        address,
        _,
    ):
        asked = vision.BatchAnnotateImagesRequest(requests=[{"image": {"content": png()}}])
        with pytest.raises(grpc.RpcError):
            raw(address, SEE, vision.BatchAnnotateImagesRequest.serialize(asked))
        row = last(address)
        assert [one.model for one in row.attempts] == ["google_vision"]
        assert row.status != "ok"


def test_a_vendor_that_is_not_known_to_answer_grpc_is_asked_over_rest(
    tmp_path: Any, fake_server: Address
) -> None:
    settings = VendorSettings(url=fake_server.http, key=fake_server.key)
    made = Config(
        routes=Routes(transcribe=("google_speech",)),
        vendors={"google_speech": settings},
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    with running(made) as address, sdk(address, speech_v1.SpeechClient, Speech1) as client:
        assert client.recognize(**heard()).results
        assert last(address).cost == 3 * SECOND


def test_a_vendor_may_be_an_ogam_over_grpc(tmp_path: Any, fake_server: Address) -> None:
    grpc_url = f"http://{fake_server.grpc}"
    settings = VendorSettings(url="http://127.0.0.1:9", grpc_url=grpc_url, key=fake_server.key)
    made = Config(
        routes=Routes(see=("google_vision",)),
        vendors={"google_vision": settings},
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    asked = picture()
    with (
        running(made) as address,
        sdk(address, vision.ImageAnnotatorClient, ImageAnnotatorGrpcTransport) as client,
        sdk(fake_server, vision.ImageAnnotatorClient, ImageAnnotatorGrpcTransport) as direct,
    ):
        assert client.batch_annotate_images(asked) == direct.batch_annotate_images(
            asked, metadata=[("x-goog-api-key", fake_server.key)]
        )
        assert last(address).cost == 2 * LABEL
