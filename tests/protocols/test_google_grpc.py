"""gRPC calls that no SDK would send: each ends in a code that says whose fault it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.cloud import speech_v2
from google.longrunning import operations_pb2

from ogam.protocols.google import generated

from .conftest import Address

SPEECH = "/google.cloud.speech.v{}.Speech/{}"
VISION, OPERATIONS = "/google.cloud.vision.v1.ImageAnnotator/", "/google.longrunning.Operations/"
METHODS = (
    *(SPEECH.format(1, one) for one in ("Recognize", "LongRunningRecognize")),
    *(SPEECH.format(2, one) for one in ("Recognize", "BatchRecognize", "GetRecognizer")),
    *(f"{VISION}{one}" for one in ("BatchAnnotateImages", "AsyncBatchAnnotateFiles")),
    *(f"{OPERATIONS}{one}Operation" for one in ("Get", "Wait", "Cancel", "Delete")),
    f"{OPERATIONS}ListOperations",
)


@pytest.fixture(scope="module")
def channel(fake_server: Address) -> Iterator[Any]:
    with grpc.insecure_channel(fake_server.grpc) as one:
        yield one


def code(channel: Any, server: Address, method: str, *messages: bytes, stream: bool = False) -> Any:
    """How a call ends."""
    key = (("x-goog-api-key", server.key),)
    try:
        if stream:
            list(channel.stream_stream(method)(iter(messages), metadata=key, timeout=30))
        else:
            channel.unary_unary(method)(messages[0], metadata=key, timeout=30)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x0a\xff\xff\x7f", b"\x0a\x04\xff\xfe\xc0\x80"])
@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message_are_the_clients_fault(
    channel: Any, fake_server: Address, method: str, data: bytes
) -> None:
    assert code(channel, fake_server, method, data) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("version", [1, 2])
def test_bytes_that_are_no_message_end_a_stream_as_the_clients_fault(
    channel: Any, fake_server: Address, version: int
) -> None:
    method = SPEECH.format(version, "StreamingRecognize")
    found = code(channel, fake_server, method, b"\xff" * 20, stream=True)
    assert found == "INVALID_ARGUMENT"


@pytest.mark.parametrize("path", ["UPPER", "a__b", "_a"])
def test_a_field_mask_that_is_none_is_the_clients_fault(
    channel: Any, fake_server: Address, path: str
) -> None:
    asked = speech_v2.RecognizeRequest(recognizer="projects/p/locations/global/recognizers/_")
    asked.config_mask = {"paths": [path]}
    data = speech_v2.RecognizeRequest.serialize(asked)
    assert code(channel, fake_server, SPEECH.format(2, "Recognize"), data) == "INVALID_ARGUMENT"


def test_a_time_that_is_none_is_the_clients_fault(channel: Any, fake_server: Address) -> None:
    asked = operations_pb2.WaitOperationRequest(name="operations/" + "0" * 32)
    asked.timeout.seconds = 2**62
    found = code(channel, fake_server, f"{OPERATIONS}WaitOperation", asked.SerializeToString())
    assert found == "INVALID_ARGUMENT"


def test_googles_packages_are_imported_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They import each other in circles: two first calls at once must not meet in one."""
    go, at_work, most = threading.Barrier(4), [], []

    def slow(package: str) -> str:
        at_work.append(package)
        most.append(len(at_work))
        time.sleep(0.02)
        at_work.remove(package)
        return package

    def load(package: str) -> None:
        go.wait()
        generated.load(package)

    monkeypatch.setattr(generated.importlib, "import_module", slow)
    threads = [threading.Thread(target=load, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1, 1, 1, 1]
