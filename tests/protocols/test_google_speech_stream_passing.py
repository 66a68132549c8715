"""SDK, Ogam, and a vendor over gRPC: live sound that goes through while it is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.cloud import speech_v1, speech_v2
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcTransport as Speech2

from ogam.config import Config, Route, Routes, Server
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, recorded
from .test_google_grpc_passing import SECOND, UNKNOWN
from .test_google_speech_sdk import PCM, RATE

METHOD = "/google.cloud.speech.v{}.Speech/StreamingRecognize"
REC = "projects/local/locations/europe-west4/recognizers/_"
KEYED = [("x-goog-api-key", KEY), ("x-goog-user-project", "theirs")]
# What the vendor says to one message: replies, or the code by which it ends the call.
Say = Callable[[int, bytes], Sequence[bytes | grpc.StatusCode]]


class Vendor(grpc.GenericRpcHandler):
    """Answers messages by ``say``, which is told each and its number; keeps what came."""

    def __init__(self, say: Say) -> None:
        self.heard: list[bytes] = []
        self.headers: dict[str, Any] = {}
        self.method = ""
        self.left = threading.Event()
        self._say = say

    def service(self, handler_call_details: Any) -> Any:
        def answer(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
            self.method = handler_call_details.method
            self.headers = dict(context.invocation_metadata())
            context.add_callback(self.left.set)
            for number, data in enumerate(messages):
                self.heard.append(data)
                yield from self._told(self._say(number, data), context)
            yield from self._told(self._say(-1, b""), context)

        return grpc.stream_stream_rpc_method_handler(answer)

    def _told(self, said: Sequence[bytes | grpc.StatusCode], context: Any) -> Iterator[bytes]:
        for one in said:
            if isinstance(one, grpc.StatusCode):
                context.abort(one, f"It says {one.name}.")
            else:
                yield one


@contextmanager
def before(
    tmp_path: Any, say: Say, models: Sequence[str] = ("google_speech",), **more: Any
) -> Iterator[tuple[Address, Vendor]]:
    """Ogam before a vendor that says what ``say`` does."""
    vendor = Vendor(say)
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((vendor,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    nowhere = "http://127.0.0.1:9"
    found = {
        "google_speech": VendorSettings(
            url=nowhere,
            grpc_url=f"http://127.0.0.1:{port}",
            key="the-vendors-key",
            project="my-project",
            timeout=5,
        ),
        "dead_speech": VendorSettings(
            protocol="google_speech", url=nowhere, grpc_url=nowhere, key="k", connect_timeout=1
        ),
    }
    made = Config(
        routes=Routes(transcribe=Route(models=tuple(models), retries=0, **more)),
        vendors=found,
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    try:
        with running(made) as address:
            yield address, vendor
    finally:
        server.stop(None)


def at_the_end(*replies: bytes | grpc.StatusCode) -> Say:
    return lambda number, _: replies if number == -1 else ()


def reply(text: str = "", *, billed: int = 0, final: bool = True) -> bytes:
    made = speech_v1.StreamingRecognizeResponse(
        results=[{"alternatives": [{"transcript": text}], "is_final": final}] if text else [],
        total_billed_time={"seconds": billed} if billed else None,
    )
    return type(made).serialize(made)


def first(version: int = 1, **config: Any) -> bytes:
    """The message that says how to listen."""
    if version == 2:
        own = {"auto_decoding_config": {}, "model": "long", "language_codes": ["en-US"], **config}
        made: Any = speech_v2.StreamingRecognizeRequest(
            recognizer=REC, streaming_config={"config": own}
        )
    else:
        own = {"encoding": "LINEAR16", "sample_rate_hertz": RATE, "language_code": "en-US"}
        made = speech_v1.StreamingRecognizeRequest(
            streaming_config={"config": {**own, **config}, "interim_results": True}
        )
    return type(made).serialize(made)


def sound(data: bytes = PCM) -> bytes:
    made = speech_v1.StreamingRecognizeRequest(audio_content=data)
    return type(made).serialize(made)


def talk(address: Address, *messages: bytes, version: int = 1) -> list[bytes]:
    with grpc.insecure_channel(address.grpc) as channel:
        method = channel.stream_stream(METHOD.format(version))
        return list(method(iter(messages), metadata=KEYED, timeout=30))


def test_messages_and_replies_arrive_byte_for_byte(tmp_path: Any) -> None:
    said = [reply("hi", final=False) + UNKNOWN, reply("hi there"), reply(billed=15) + UNKNOWN]
    with before(tmp_path, at_the_end(*said)) as (address, vendor):
        sent = [first(enable_spoken_emojis=True) + UNKNOWN, sound(), sound() + UNKNOWN]
        assert talk(address, *sent) == said
        assert vendor.heard == sent
        assert vendor.method == METHOD.format(1)
        assert vendor.headers["x-goog-api-key"] == "the-vendors-key"
        assert "x-goog-user-project" not in vendor.headers
        row = last(address)
        assert (row.protocol, row.capability, row.status) == ("google_speech", "transcribe", "ok")
        assert (row.model, row.units.audio_ms, row.cost) == ("google_speech", 15_000, 15 * SECOND)
        assert row.first_ms is not None
        assert not open_holds(address)


def test_a_reply_is_there_before_the_sound_has_ended(tmp_path: Any) -> None:
    told = threading.Event()

    def sent() -> Iterator[bytes]:
        yield first()
        yield sound()
        assert told.wait(20)
        yield sound()

    said: list[bytes] = [b"", reply("one", final=False), reply("one two", billed=3)]
    with (
        before(
            tmp_path, lambda number, _: said[1:2] if number == 1 else said[2:] * (number < 0)
        ) as (address, _),
        grpc.insecure_channel(address.grpc) as channel,
    ):
        call = channel.stream_stream(METHOD.format(1))(sent(), metadata=KEYED, timeout=30)
        assert next(call) == said[1]
        told.set()
        assert list(call) == said[2:]


def test_the_route_names_the_model(tmp_path: Any) -> None:
    with before(tmp_path, at_the_end(reply(billed=1)), ["google_speech/video"]) as (
        address,
        vendor,
    ):
        talk(address, first() + UNKNOWN, sound())
        (head, one) = vendor.heard
        kind = speech_v1.StreamingRecognizeRequest
        assert kind.deserialize(head) == kind.deserialize(first(model="video") + UNKNOWN)
        assert head.count(UNKNOWN) == 1 and one == sound()
        assert last(address).model == "google_speech/video"


def test_version_two_stands_in_the_operators_project(tmp_path: Any) -> None:
    told = speech_v2.StreamingRecognizeResponse(
        results=[{"alternatives": [{"transcript": "hi"}], "is_final": True}],
        metadata={"total_billed_duration": {"seconds": 4}},
    )
    audio = speech_v2.StreamingRecognizeRequest(audio=PCM)
    with before(tmp_path, at_the_end(type(told).serialize(told))) as (address, vendor):
        with grpc.insecure_channel(address.grpc) as plain:
            client = speech_v2.SpeechClient(transport=Speech2(channel=plain))
            asked = speech_v2.StreamingRecognizeRequest.deserialize(first(2))
            found = client.streaming_recognize(iter([asked, audio]), metadata=KEYED)
            assert list(found) == [told]
        asked.recognizer = "projects/my-project/locations/global/recognizers/_"
        assert speech_v2.StreamingRecognizeRequest.deserialize(vendor.heard[0]) == asked
        wanted = "recognizer=projects%2Fmy-project%2Flocations%2Fglobal%2Frecognizers%2F_"
        assert vendor.headers["x-goog-request-params"] == wanted
        row = last(address)
        assert (row.model, row.units.audio_ms) == ("google_speech/v2/long", 4000)


def test_what_the_vendor_does_not_tell_is_measured(tmp_path: Any) -> None:
    with before(tmp_path, at_the_end(reply("hi"))) as (address, _):
        talk(address, first(), sound(bytes(2 * RATE)), sound(bytes(2 * RATE + 2)))
        row = last(address)
        # Two seconds and a little; Google rounds up to whole ones.
        assert (row.units.audio_ms, row.cost) == (3000, 3 * SECOND)
        # Of sound that is not read here nobody knows; what was set aside stays.
        talk(address, first(encoding="FLAC"), sound(b"fLaC"))
        assert [one.state for one in open_holds(address)] == ["unknown"]


def test_a_budget_holds_for_all_that_a_stream_can_be(tmp_path: Any) -> None:
    whole = 305 * SECOND
    with before(tmp_path, at_the_end(reply("hi", billed=2))) as (address, vendor):
        with budget(address, whole - 1), pytest.raises(grpc.RpcError) as refused:
            talk(address, first(), sound())
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with budget(address, 10**15), pytest.raises(grpc.RpcError) as refused:
            talk(address, first() + UNKNOWN, sound())
        assert "not known" in refused.value.details()
        assert not vendor.heard and not open_holds(address)
        with budget(address, whole):
            assert talk(address, first(), sound())
            assert last(address).cost == 2 * SECOND
            with pytest.raises(grpc.RpcError):  # two seconds of it are gone
                talk(address, first(), sound())


def test_more_than_a_stream_may_be_is_cut_off(tmp_path: Any) -> None:
    with before(tmp_path, at_the_end(reply("hi", billed=305))) as (address, vendor):
        minute = sound(bytes(2 * 8000 * 60))
        with pytest.raises(grpc.RpcError) as refused:
            talk(address, first(sample_rate_hertz=8000), *[minute] * 6)
        assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
        assert vendor.heard[1:] == [minute] * 5
        assert last(address).cost == 305 * SECOND


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(tmp_path: Any) -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    with before(tmp_path, lambda *_: [code], ["google_speech", "fake"]) as (address, _):
        with pytest.raises(grpc.RpcError) as refused:
            talk(address, first(), sound())
        assert refused.value.code() is code
        assert refused.value.details() == "It says INVALID_ARGUMENT."
        assert last(address).cost == 0 and not open_holds(address)


def test_a_stream_that_breaks_off_keeps_its_hold(tmp_path: Any) -> None:
    code = grpc.StatusCode.INTERNAL

    def say(number: int, _: bytes) -> Sequence[bytes | grpc.StatusCode]:
        return [reply("hi")] if number == 1 else [code] if number < 0 else []

    with before(tmp_path, say, ["google_speech", "fake"]) as (address, _):
        with pytest.raises(grpc.RpcError) as broken:
            talk(address, first(), sound())
        assert broken.value.code() is not grpc.StatusCode.UNKNOWN
        assert [one.state for one in open_holds(address)] == ["unknown"]
        assert last(address).status != "ok"


def test_who_cannot_be_reached_is_passed_over_with_nothing_lost(tmp_path: Any) -> None:
    route = ["dead_speech", "google_speech"]
    with before(tmp_path, at_the_end(reply("hi", billed=1)), route) as (address, vendor):
        assert talk(address, first(), sound()) == [reply("hi", billed=1)]
        assert vendor.heard == [first(), sound()]
        assert [one.model for one in last(address).attempts] == route


def test_behind_the_vendor_stands_an_engine(tmp_path: Any) -> None:
    with before(tmp_path, at_the_end(), ["dead_speech", "fake"]) as (address, _):
        found = talk(address, first(), *[sound()] * 3)
        heard = [speech_v1.StreamingRecognizeResponse.deserialize(one) for one in found]
        assert any(one.results for one in heard)
        row = last(address)
        assert [one.model for one in row.attempts] == ["dead_speech", "fake"]
        assert (row.engine, row.cost) == ("fake", 0)


def test_what_is_to_be_recorded_is_read_here(tmp_path: Any) -> None:
    said = at_the_end(reply("hi", billed=1) + UNKNOWN)
    with before(tmp_path, said, record=True) as (address, _):
        found = talk(address, first(), sound())
        assert found and UNKNOWN not in b"".join(found)
        assert recorded(address, last(address).id)[1]["text"] == "hi"


def test_who_leaves_takes_the_vendors_stream_along(tmp_path: Any) -> None:
    def sent() -> Iterator[bytes]:
        yield first()
        yield sound()
        threading.Event().wait(20)

    with (
        before(tmp_path, lambda number, _: [reply("hi")] * (number == 1)) as (address, vendor),
        grpc.insecure_channel(address.grpc) as channel,
    ):
        call = channel.stream_stream(METHOD.format(1))(sent(), metadata=KEYED, timeout=30)
        assert next(call) == reply("hi")
        call.cancel()
        assert vendor.left.wait(10)


def test_a_vendor_may_be_an_ogam(tmp_path: Any, fake_server: Address) -> None:
    settings = VendorSettings(
        url="http://127.0.0.1:9", grpc_url=f"http://{fake_server.grpc}", key=fake_server.key
    )
    made = Config(
        routes=Routes(transcribe=("google_speech",)),
        vendors={"google_speech": settings},
        server=Server(keys=(KEY,), data=str(tmp_path)),
    )
    with running(made) as address:
        found = talk(address, first(), *[sound()] * 3)
        heard = [speech_v1.StreamingRecognizeResponse.deserialize(one) for one in found]
        assert any(result.is_final for one in heard for result in one.results)
        billed = heard[-1].total_billed_time.total_seconds()
        assert last(address).units.audio_ms == 1000 * billed > 0
