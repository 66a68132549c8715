"""Google Speech-to-Text called live: Ogam's own server, and vendors that misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from ogam import errors
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeResult,
)
from ogam.gateway.feed import Feed
from ogam.protocols.google_speech.client import GoogleSpeechEngine

from .conftest import Address
from .scripted import run
from .test_google_speech_client import ENGLISH, FAKE, KEY, PCM, RATE, engine, request, same


def blocks(pcm: bytes = PCM, size: int = 3200) -> Iterator[bytes]:
    return (pcm[at : at + size] for at in range(0, len(pcm), size))


async def listened(
    one: GoogleSpeechEngine, pcm: Iterator[bytes], options: RecognitionOptions = ENGLISH
) -> list[PartialTranscript | TranscribeResult]:
    async with aclosing(one.transcribe_stream(pcm, options)) as pieces:
        return [piece async for piece in pieces]


@pytest.mark.parametrize("model", ["", "v2/long"])
def test_live_sound_comes_back_as_the_vendor_heard_it(fake_server: Address, model: str) -> None:
    one = engine(fake_server.http, model, fake_server.grpc, key=fake_server.key)
    *partial, found = run(listened(one, blocks()))
    own = list(FAKE.transcribe_stream(blocks(), ENGLISH))
    assert isinstance(found, TranscribeResult)
    same(found, own[-1])
    assert found.units.audio_ms == 3000
    assert [piece.text for piece in partial] == [piece.text for piece in own[:-1]]
    assert [piece.is_final for piece in partial] == [piece.is_final for piece in own[:-1]]


def test_live_sound_is_heard_while_it_is_said(fake_server: Address) -> None:
    """The rest of the sound waits until something of the first was heard."""
    go_on = threading.Event()

    def spoken() -> Iterator[bytes]:
        yield PCM[:40_000]
        assert go_on.wait(30)
        yield PCM[40_000:]

    async def work() -> TranscribeResult:
        one = engine(fake_server.http, "", fake_server.grpc, key=fake_server.key)
        async with aclosing(one.transcribe_stream(spoken(), ENGLISH)) as pieces:
            async for piece in pieces:
                go_on.set()
                last = piece
        assert isinstance(last, TranscribeResult)
        return last

    same(run(work()), FAKE.transcribe(request()))


def test_sound_that_arrives_asynchronously_is_fed(fake_server: Address) -> None:
    async def arriving() -> AsyncIterator[bytes]:
        for block in blocks():
            await asyncio.sleep(0)
            yield block

    async def work() -> Any:
        one = engine(fake_server.http, "", fake_server.grpc, key=fake_server.key)
        async with Feed(arriving()) as feed:
            return (await listened(one, feed))[-1]

    same(run(work()), FAKE.transcribe(request()))


def test_who_leaves_early_leaves_nothing_behind(fake_server: Address) -> None:
    async def arriving() -> AsyncIterator[bytes]:
        while True:
            yield PCM[:32_000]
            await asyncio.sleep(0.01)

    before = set(threading.enumerate())

    def waiting() -> list[str]:
        """The threads that are here for the stream, of the client's and of grpc's."""
        names = [one.name for one in set(threading.enumerate()) - before]
        return [name for name in names if "heard" in name or "_run" in name]

    async def work() -> None:
        one = engine(fake_server.http, "", fake_server.grpc, key=fake_server.key)
        async with (
            Feed(arriving()) as feed,
            aclosing(one.transcribe_stream(feed, ENGLISH)) as pieces,
        ):
            assert isinstance(await anext(pieces), PartialTranscript)
            assert len(waiting()) >= 2
        for _ in range(500):
            if not waiting():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(waiting())

    run(work())


def test_what_the_source_raises_is_raised(fake_server: Address) -> None:
    def spoken() -> Iterator[bytes]:
        yield PCM[:32_000]
        raise errors.InvalidMediaError("The audio is damaged.")

    one = engine(fake_server.http, "", fake_server.grpc, key=fake_server.key)
    with pytest.raises(errors.InvalidMediaError, match="damaged"):
        run(listened(one, spoken()))


def test_an_error_of_the_server_is_raised_as_what_it_is(fake_server: Address) -> None:
    one = engine(fake_server.http, "", fake_server.grpc, key="wrong")
    with pytest.raises(errors.VendorError) as caught:
        run(listened(one, blocks()))
    assert caught.value.status == 401
    one = engine(fake_server.http, "", fake_server.grpc, key=fake_server.key)
    with pytest.raises(errors.UnknownLanguageError):
        run(listened(one, blocks(), RecognitionOptions(language="fr")))


def test_nobody_listening_means_nothing_was_sent() -> None:
    one = engine("http://127.0.0.1:1", "", "127.0.0.1:1")
    with pytest.raises(errors.VendorError, match="reached") as caught:
        run(listened(one, blocks()))
    assert caught.value.sent is False


@asynccontextmanager
async def listening(handler: Callable[..., Any]) -> AsyncIterator[str]:
    """A gRPC server whose streams are what ``handler(requests, context)`` yields, as bytes."""
    server = grpc.aio.server()
    method = grpc.stream_stream_rpc_method_handler(handler)
    name = "google.cloud.speech.v1.Speech"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"StreamingRecognize": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def streamed(handler: Callable[..., Any], **more: Any) -> Any:
    async def work() -> Any:
        async with listening(handler) as address:
            return await listened(engine("http://127.0.0.1:1", "", address, **more), blocks())

    return run(work())


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequestError, None),
        (grpc.StatusCode.OUT_OF_RANGE, errors.InvalidRequestError, None),
        (grpc.StatusCode.NOT_FOUND, errors.UnknownModelError, None),
        (grpc.StatusCode.UNAUTHENTICATED, errors.VendorError, 401),
        (grpc.StatusCode.PERMISSION_DENIED, errors.VendorError, 403),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.VendorError, 429),
        (grpc.StatusCode.UNAVAILABLE, errors.VendorError, 503),
        (grpc.StatusCode.INTERNAL, errors.VendorError, 500),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.VendorError, 504),
        (grpc.StatusCode.UNIMPLEMENTED, errors.VendorError, 501),
    ],
)
def test_a_stream_that_fails_in_the_middle_is_told_by_kind(
    code: grpc.StatusCode, kind: type[Exception], status: int | None
) -> None:
    from google.cloud.speech_v1 import types
    from google.protobuf import any_pb2
    from google.rpc import error_details_pb2, status_pb2

    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.FromMilliseconds(1500)
    packed = any_pb2.Any()
    packed.Pack(wait)
    details = status_pb2.Status(code=8, details=[packed]).SerializeToString()

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        await anext(aiter(requests))
        result = types.StreamingRecognitionResult(alternatives=[{"transcript": "so far"}])
        yield types.StreamingRecognizeResponse.serialize({"results": [result]})
        await context.abort(code, "oh", (("grpc-status-details-bin", details),))

    with pytest.raises(errors.OgamError) as caught:
        streamed(handler)
    error = caught.value
    assert type(error) is kind
    assert "oh" in error.message
    if isinstance(error, errors.VendorError):
        assert (error.status, error.sent) == (status, True)
        assert error.retry_after == (None if status in (401, 403) else 1.5)


def test_an_error_inside_a_reply_and_a_reply_that_is_none() -> None:
    from google.cloud.speech_v1 import types

    def replies(data: bytes) -> Callable[..., Any]:
        async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
            yield data

        return handler

    inner = types.StreamingRecognizeResponse.serialize({"error": {"code": 3, "message": "no"}})
    with pytest.raises(errors.InvalidRequestError, match="no"):
        streamed(replies(inner))
    with pytest.raises(errors.VendorError, match="no answer"):
        streamed(replies(b"\xff\xff\xff"))


def test_a_server_that_never_answers_after_the_sound_is_given_up() -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            pass
        await asyncio.sleep(60)
        yield b""

    with pytest.raises(errors.VendorError, match="after the end of the sound"):
        streamed(handler, timeout=0.3)


def test_what_is_sent_live_is_the_configuration_and_then_sound_in_small_messages() -> None:
    from google.cloud.speech_v1 import types

    got: list[Any] = []

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        got.append(dict(context.invocation_metadata()))
        got.extend([types.StreamingRecognizeRequest.deserialize(one) async for one in requests])
        yield types.StreamingRecognizeResponse.serialize({"total_billed_time": "7s"})

    async def work() -> Any:
        async with listening(handler) as address:
            one = engine("http://127.0.0.1:1", "command_and_search", address)
            return await listened(one, iter([PCM]), RecognitionOptions(phrases=("ogam",)))

    (found,) = run(work())
    assert found.units.audio_ms == 7000
    metadata, first, *rest = got
    assert metadata["x-goog-api-key"] == KEY
    config = first.streaming_config
    assert config.interim_results
    assert config.config.encoding.name == "LINEAR16"
    assert (config.config.sample_rate_hertz, config.config.language_code) == (RATE, "en-US")
    assert config.config.model == "command_and_search"
    assert list(config.config.speech_contexts[0].phrases) == ["ogam"]
    assert b"".join(one.audio_content for one in rest) == PCM
    assert max(len(one.audio_content) for one in rest) <= 15_360
