"""Ogam before a vendor that goes on after its reply: operations of Speech-to-Text and Vision."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
import pytest
from google.cloud import speech_v1, vision
from google.longrunning import operations_pb2
from google.protobuf import any_pb2

from ogam.config import Config, Route, Routes, Server
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, scripted_vendor
from .test_google_grpc_passing import SECOND, UNKNOWN, Vendor
from .test_google_speech_sdk import PCM, RATE
from .test_google_vision_passing import failed, reply

BEGIN = "/v1/speech:longrunningrecognize"
LABEL = 1_500_000
NAME = "8461390245"
GOING = {"name": NAME, "metadata": {"@type": "t/LongRunningRecognizeMetadata", "new": [1.0]}}
DONE = {**GOING, "done": True, "response": {"@type": "t/x", "totalBilledTime": "3s", "new": 1}}
SOUND = {"content": base64.b64encode(PCM).decode()}
CONFIG = {"encoding": "LINEAR16", "sampleRateHertz": RATE, "languageCode": "en-US"}


def config(data: str, vendor: VendorSettings, **more: Any) -> Config:
    return Config(
        routes=Routes(
            transcribe=Route(models=("google_speech",), retries=0, **more),
            see=Route(models=("google_vision",), retries=0, **more),
        ),
        vendors={
            "google_speech": vendor,
            "google_vision": vendor,
        },
        server=Server(keys=(KEY, "another-good-key"), data=data),
    )


@contextmanager
def before(tmp_path: Any, *answers: bytes, **more: Any) -> Iterator[tuple[Address, Any]]:
    """Ogam before a vendor that speaks HTTP, whose bucket is "theirs"."""
    with scripted_vendor(*answers) as said:
        settings = VendorSettings(
            url=said.url, key="the-vendors-key", project="my-project", buckets=("theirs*",)
        )
        made = config(str(tmp_path), settings, **more)
        with running(made, grpc=False) as address:
            yield address, said


def ask(
    address: Address, method: str, path: str, body: Any = None, key: str = KEY
) -> httpx.Response:
    headers = {"x-goog-api-key": key, "content-type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    return httpx.request(
        method, f"{address.http}{path}", content=content, headers=headers, timeout=30
    )


def test_an_operation_is_the_vendors_own_and_is_paid_once_it_is_done(tmp_path: Any) -> None:
    asked = {"config": CONFIG, "audio": SOUND}
    with before(tmp_path, reply(GOING), reply(GOING), reply(DONE), reply(DONE)) as (address, said):
        assert ask(address, "POST", BEGIN, asked).json() == GOING
        assert (said.asked[0].path, said.asked[0].json()) == (BEGIN, asked)
        (hold,) = open_holds(address)
        assert hold.hold.bound == 3 * SECOND
        assert ask(address, "GET", f"/v1/operations/{NAME}").json() == GOING
        assert len(open_holds(address)) == 1
        assert ask(address, "GET", f"/v1/operations/{NAME}").json() == DONE
        assert said.asked[2].headers["x-goog-api-key"] == "the-vendors-key"
        assert not open_holds(address)
        row = last(address)
        assert (row.model, row.units.audio_ms, row.cost) == ("google_speech", 3000, 3 * SECOND)
        assert ask(address, "GET", f"/v1/operations/{NAME}").json() == DONE
        assert last(address).cost == 3 * SECOND


def test_fields_that_nobody_here_knows_arrive(tmp_path: Any) -> None:
    asked = {"config": {**CONFIG, "new": {"a": [1.0]}}, "audio": SOUND, "later": 1.50}
    with before(tmp_path, reply(GOING)) as (address, said):
        assert ask(address, "POST", BEGIN, asked).json() == GOING
        assert said.asked[0].json() == asked


def test_it_outlives_the_server(tmp_path: Any) -> None:
    asked = {"config": CONFIG, "audio": SOUND}
    with before(tmp_path, reply(GOING)) as (address, _):
        ask(address, "POST", BEGIN, asked)
    with before(tmp_path, reply(DONE)) as (address, _):
        assert len(open_holds(address)) == 1
        assert ask(address, "GET", f"/v1/operations/{NAME}").json() == DONE
        assert not open_holds(address)
        assert last(address).cost == 3 * SECOND


def test_one_that_failed_costs_nothing(tmp_path: Any) -> None:
    wrong = {**GOING, "done": True, "error": {"code": 3, "message": "no sound"}}
    with before(tmp_path, reply(GOING), reply(wrong)) as (address, _):
        ask(address, "POST", BEGIN, {"config": CONFIG, "audio": SOUND})
        assert ask(address, "GET", f"/v1/operations/{NAME}").json() == wrong
        assert not open_holds(address)
        assert last(address).cost == 0


def test_what_the_vendor_refuses_is_no_operation(tmp_path: Any) -> None:
    refusal = failed(400, "INVALID_ARGUMENT", "Inline audio exceeds duration limit.")
    with before(tmp_path, refusal) as (address, _):
        found = ask(address, "POST", BEGIN, {"config": CONFIG, "audio": SOUND})
        assert found.status_code == 400
        assert found.json()["error"]["message"] == "Inline audio exceeds duration limit."
        assert not open_holds(address)


def test_only_who_began_it_may_ask(tmp_path: Any) -> None:
    with before(tmp_path, reply(GOING), reply({})) as (address, said):
        ask(address, "POST", BEGIN, {"config": CONFIG, "audio": SOUND})
        for method, path in (("GET", ""), ("POST", ":cancel"), ("DELETE", "")):
            where = f"/v1/operations/{NAME}{path}"
            assert ask(address, method, where, key="another-good-key").status_code == 404
        assert len(said.asked) == 1
        assert ask(address, "POST", f"/v1/operations/{NAME}:cancel", {}).json() == {}
        assert (said.asked[1].method, said.asked[1].path) == (
            "POST",
            f"/v1/operations/{NAME}:cancel",
        )


@pytest.mark.parametrize(
    ("uri", "passes"), [("gs://theirs-2/a.wav", True), ("gs://other/a.wav", False)]
)
def test_what_lies_in_the_vendors_buckets_is_named_to_it(
    tmp_path: Any, uri: str, passes: bool
) -> None:
    asked = {"config": CONFIG, "audio": {"uri": uri}, "outputConfig": {"gcsUri": uri}}
    with before(tmp_path, *[reply(GOING)] * 2) as (address, said):
        found = ask(address, "POST", BEGIN, asked)
        if passes:
            assert said.asked[0].json() == asked
            with budget(address, 10**15):
                refused = ask(address, "POST", BEGIN, asked)
            assert refused.status_code == 429  # how long it is nobody knows
            assert len(said.asked) == 1
        else:
            assert found.status_code == 404 and not said.asked


def test_version_two_names_files_and_stands_in_the_operators_project(tmp_path: Any) -> None:
    name = "projects/my-project/locations/us/operations/a1"
    done = {"name": name, "done": True, "response": {"totalBilledDuration": "2s"}}
    asked = {
        "config": {"autoDecodingConfig": {}, "model": "long", "languageCodes": ["en-US"]},
        "files": [{"uri": "gs://theirs/a.wav"}],
        "recognitionOutputConfig": {"gcsOutputConfig": {"uri": "gs://theirs/out"}},
    }
    path = "/v2/projects/local/locations/global/recognizers/_:batchRecognize"
    with before(tmp_path, reply({"name": name}), reply(done)) as (address, said):
        assert ask(address, "POST", path, asked).json() == {"name": name}
        assert said.asked[0].path == path.replace("local", "my-project")
        assert ask(address, "GET", f"/v2/{name}").json() == done
        assert said.asked[1].path == f"/v2/{name}"
        row = last(address)
        assert (row.model, row.units.audio_ms) == ("google_speech/v2/long", 2000)
        assert row.cost == 2 * 16_000_000 // 60 + 1


def test_files_with_models_of_their_own_take_the_ordinary_way(tmp_path: Any) -> None:
    path = "/v2/projects/local/locations/global/recognizers/_:batchRecognize"
    asked = {
        "config": {"autoDecodingConfig": {}, "model": "long", "languageCodes": ["en-US"]},
        "files": [{"uri": "gs://theirs/a.wav", "config": {"model": "short"}}],
        "recognitionOutputConfig": {"inlineResponseConfig": {}},
    }
    with before(tmp_path) as (address, said):
        ask(address, "POST", path, asked)
        assert not said.asked


def test_pictures_are_paid_when_they_are_taken(tmp_path: Any) -> None:
    name = "projects/my-project/operations/f00"
    one = {
        "image": {"source": {"imageUri": "gs://theirs/a.png"}},
        "features": [{"type": "LABEL_DETECTION"}],
    }
    asked = {
        "requests": [one, one],
        "outputConfig": {"gcsDestination": {"uri": "gs://theirs/out/"}, "batchSize": 2},
    }
    path = "/v1/images:asyncBatchAnnotate"
    done = {"name": name, "done": True, "response": {"outputConfig": {}}}
    with before(tmp_path, reply({"name": name}), reply(done)) as (address, said):
        with budget(address, 2 * LABEL - 1):
            assert ask(address, "POST", path, asked).status_code == 429
        assert ask(address, "POST", path, asked).json() == {"name": name}
        assert said.asked[0].json() == asked
        row = last(address)
        assert (row.capability, row.units.image_features, row.cost) == ("see", 2, 2 * LABEL)
        assert not open_holds(address)
        assert ask(address, "GET", f"/v1/{name}").json() == done
        assert last(address).cost == 2 * LABEL


def test_pages_that_nobody_counts_stay_set_aside(tmp_path: Any) -> None:
    one = {
        "inputConfig": {"gcsSource": {"uri": "gs://theirs/a.pdf"}, "mimeType": "application/pdf"},
        "features": [{"type": "DOCUMENT_TEXT_DETECTION"}],
        "outputConfig": {"gcsDestination": {"uri": "gs://theirs/out/"}},
    }
    with before(tmp_path, reply({"name": "operations/1"})) as (address, _):
        ask(address, "POST", "/v1/files:asyncBatchAnnotate", {"requests": [one]})
        (hold,) = open_holds(address)
        assert (hold.hold.bound, hold.state) == (2000 * LABEL, "unknown")


@contextmanager
def over_grpc(tmp_path: Any, *answers: Any) -> Iterator[tuple[Address, Vendor]]:
    """Ogam before a vendor that speaks gRPC."""
    vendor = Vendor(*answers)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((vendor,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    settings = VendorSettings(
        url="http://127.0.0.1:9", grpc_url=f"http://127.0.0.1:{port}", key="k", buckets=("theirs",)
    )
    try:
        with running(config(str(tmp_path), settings)) as address:
            yield address, vendor
    finally:
        server.stop(None)


def test_over_grpc_every_byte_is_the_vendors(tmp_path: Any) -> None:
    answer = any_pb2.Any()
    answer.Pack(speech_v1.LongRunningRecognizeResponse.pb()(total_billed_time={"seconds": 3}))
    going = operations_pb2.Operation(name=NAME).SerializeToString() + UNKNOWN
    done = operations_pb2.Operation(name=NAME, done=True, response=answer)
    told = done.SerializeToString() + UNKNOWN
    asked = speech_v1.LongRunningRecognizeRequest(
        config={"encoding": "LINEAR16", "sample_rate_hertz": RATE, "language_code": "en-US"},
        audio={"content": PCM},
    )
    sent = type(asked).serialize(asked) + UNKNOWN
    get = operations_pb2.GetOperationRequest(name=NAME).SerializeToString()
    with (
        over_grpc(tmp_path, going, told) as (address, vendor),
        grpc.insecure_channel(address.grpc) as channel,
    ):

        def call(method: str, data: bytes) -> bytes:
            keyed = (("x-goog-api-key", KEY),)
            return channel.unary_unary(method)(data, metadata=keyed, timeout=30)

        assert call("/google.cloud.speech.v1.Speech/LongRunningRecognize", sent) == going
        assert vendor.asked[0][1] == sent
        assert len(open_holds(address)) == 1
        assert call("/google.longrunning.Operations/GetOperation", get) == told
        (method, data, headers) = vendor.asked[1]
        assert (method, data) == ("/google.longrunning.Operations/GetOperation", get)
        assert headers["x-goog-api-key"] == "k"
        assert not open_holds(address)
        assert last(address).cost == 3 * SECOND


def test_pictures_over_grpc(tmp_path: Any) -> None:
    going = operations_pb2.Operation(name="projects/p/operations/1").SerializeToString()
    asked = vision.AsyncBatchAnnotateImagesRequest(
        requests=[
            {
                "image": {"source": {"image_uri": "gs://theirs/a.png"}},
                "features": [{"type_": vision.Feature.Type.LABEL_DETECTION}],
            }
        ],
        output_config={"gcs_destination": {"uri": "gs://theirs/out/"}},
    )
    sent = type(asked).serialize(asked)
    with (
        over_grpc(tmp_path, going) as (address, vendor),
        grpc.insecure_channel(address.grpc) as channel,
    ):
        method = "/google.cloud.vision.v1.ImageAnnotator/AsyncBatchAnnotateImages"
        found = channel.unary_unary(method)(sent, metadata=(("x-goog-api-key", KEY),), timeout=30)
        assert (found, vendor.asked[0][1]) == (going, sent)
        assert last(address).cost == LABEL
