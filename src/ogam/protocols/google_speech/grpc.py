"""The same over gRPC, and streams: google.cloud.speech.v1.Speech and v2.Speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from ogam.errors import InvalidRequestError
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys
from ogam.protocols.google import protojson
from ogam.protocols.google.grpc import (
    Rpc,
    Streaming,
    Unary,
    from_message,
    parsed,
)
from ogam.protocols.google.grpc import service as make
from ogam.protocols.google.grpc import types as load
from ogam.protocols.google.grpc_operations import as_message, longrunning
from ogam.protocols.google_speech import (
    convert,
    convert_v2,
    jobs,
    passing,
    passing_stream,
    recognizers,
    wire,
    wire_v2,
)
from ogam.protocols.google_speech.recognizing import content, recognize, request_id
from ogam.protocols.google_speech.routes import PROTOCOL
from ogam.protocols.google_speech.streaming import News, Wishes, listen

T = TypeVar("T")
_TYPES = {1: "google.cloud.speech_v1.types", 2: "google.cloud.speech_v2.types"}


def services(gateway: Gateway, keys: Keys) -> Sequence[Any]:
    """The handlers (grpc.GenericRpcHandler) of this protocol's services."""
    v1: dict[str, Unary] = {
        "Recognize": _passing(
            passing.RECOGNIZE[0], _answer(1, wire.RecognizeRequest, _recognize_v1)
        ),
        "LongRunningRecognize": _passing(
            passing.BEGIN[0], _begin(1, wire.LongRunningRecognizeRequest, jobs.long_running)
        ),
    }
    v2: dict[str, Unary] = {
        "Recognize": _passing(
            passing.RECOGNIZE[1], _answer(2, wire_v2.RecognizeRequest, _recognize_v2)
        ),
        "BatchRecognize": _passing(
            passing.BEGIN[1], _begin(2, wire_v2.BatchRecognizeRequest, _batch)
        ),
        "GetRecognizer": _answer(2, _Named, _get, "GetRecognizerRequest"),
        "ListRecognizers": _answer(2, _Listed, _list, "ListRecognizersRequest"),
    }
    streaming_v1: dict[str, Streaming] = {"StreamingRecognize": _live(1, _stream_v1)}
    streaming_v2: dict[str, Streaming] = {"StreamingRecognize": _live(2, _stream_v2)}
    name = "google.cloud.speech"
    return (
        make(f"{name}.v1.Speech", gateway, keys, PROTOCOL, unary=v1, streaming=streaming_v1),
        make(f"{name}.v2.Speech", gateway, keys, PROTOCOL, unary=v2, streaming=streaming_v2),
        longrunning(gateway, keys, PROTOCOL),
    )


class _Named(protojson.Message):
    name: str = ""


class _Listed(protojson.Message):
    parent: str = ""
    page_size: int = 0
    page_token: str = ""
    show_deleted: bool = False


async def _recognize_v1(rpc: Rpc, body: wire.RecognizeRequest) -> wire.RecognizeResponse:
    asked, audio = convert.asked(body.config), body.audio or wire.RecognitionAudio()
    data = await content(rpc, audio.content, audio.uri)
    return jobs.v1_response(await recognize(rpc, asked, data))


async def _recognize_v2(rpc: Rpc, body: wire_v2.RecognizeRequest) -> wire_v2.RecognizeResponse:
    recognizers.parent_of(body.recognizer)
    asked = convert_v2.asked(body.config)
    data = await content(rpc, body.content, body.uri)
    return jobs.v2_response(await recognize(rpc, asked, data, version=2))


async def _batch(rpc: Rpc, body: wire_v2.BatchRecognizeRequest) -> Any:
    return await jobs.batch(rpc, body, recognizers.parent_of(body.recognizer))


async def _get(_: Rpc, body: _Named) -> wire_v2.Recognizer:
    return recognizers.get(body.name)


async def _list(_: Rpc, body: _Listed) -> wire_v2.ListRecognizersResponse:
    return recognizers.listed(body.parent)


async def _stream_v1(rpc: Rpc, data: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    google = await load(_TYPES[1])
    identity = str(request_id())
    requests = _requests(google, wire.StreamingRecognizeRequest, data)
    first = await anext(requests, None)
    if first is None or first.streaming_config is None:
        raise _no_config()
    config = first.streaming_config
    convert.refuse("voiceActivityTimeout", config.voice_activity_timeout is not None)
    wishes = Wishes(
        interim=config.interim_results,
        single=config.single_utterance,
        events=config.enable_voice_activity_events,
    )

    async def chunks() -> AsyncIterator[bytes]:
        async for one in requests:
            if one.streaming_config is not None:
                raise _second_config()
            yield one.audio_content

    def message(news: News) -> wire.StreamingRecognizeResponse:
        for one in news.results:
            one.language_code = one.language_code.lower()
        billed = news.billed
        return wire.StreamingRecognizeResponse(
            results=list(news.results),
            speech_event_type=news.event or 0,
            speech_event_time=protojson.duration(news.at) if news.event else "",
            total_billed_time="" if billed is None else protojson.duration(billed),
            request_id=identity,
        )

    asked = convert.asked(config.config)
    async for news in listen(rpc, asked, wishes, chunks()):
        yield _bytes(google.StreamingRecognizeResponse, message(news))


async def _stream_v2(rpc: Rpc, data: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    google = await load(_TYPES[2])
    identity = str(request_id())
    requests = _requests(google, wire_v2.StreamingRecognizeRequest, data)
    first = await anext(requests, None)
    if first is None or first.streaming_config is None:
        raise _no_config()
    recognizers.parent_of(first.recognizer)
    config = first.streaming_config
    features = config.streaming_features or wire_v2.StreamingRecognitionFeatures()
    convert.refuse("voiceActivityTimeout", features.voice_activity_timeout is not None)
    wishes = Wishes(interim=features.interim_results, events=features.enable_voice_activity_events)

    async def chunks() -> AsyncIterator[bytes]:
        async for one in requests:
            if one.streaming_config is not None:
                raise _second_config()
            yield one.audio

    def message(news: News) -> wire_v2.StreamingRecognizeResponse:
        return wire_v2.StreamingRecognizeResponse(
            results=[convert_v2.streamed(one) for one in news.results],
            speech_event_type=news.event or 0,
            speech_event_offset=protojson.duration(news.at) if news.event else "",
            metadata=convert_v2.metadata(identity, news.billed),
        )

    asked = convert_v2.asked(config.config)
    async for news in listen(rpc, asked, wishes, chunks()):
        yield _bytes(google.StreamingRecognizeResponse, message(news))


def _no_config() -> InvalidRequestError:
    return InvalidRequestError(
        "Malformed first message: it must hold a streaming_config and no audio.",
        param="streamingConfig",
    )


def _second_config() -> InvalidRequestError:
    return InvalidRequestError(
        "Malformed message: only the first may hold a streaming_config.",
        param="streamingConfig",
    )


async def _requests(google: Any, kind: type[T], data: AsyncIterator[bytes]) -> AsyncGenerator[T]:
    message = getattr(google, kind.__name__).pb()
    async for one in data:
        yield protojson.convert(from_message(parsed(message, one)), kind)


async def _read(version: int, kind: type[T], name: str, data: bytes) -> tuple[Any, T]:
    google = await load(_TYPES[version])

    def read() -> T:
        message = parsed(getattr(google, name or kind.__name__).pb(), data)
        return protojson.convert(from_message(message), kind)

    return google, await asyncio.to_thread(read)


def _bytes(kind: Any, value: Any) -> bytes:
    """A wire type as bytes of the protocol buffer ``kind``."""
    from google.protobuf import json_format

    message = kind.pb()()
    return json_format.ParseDict(msgspec.to_builtins(value), message).SerializeToString()


def _answer(
    version: int, kind: type[T], work: Callable[[Rpc, T], Awaitable[Any]], name: str = ""
) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        google, body = await _read(version, kind, name, data)
        found = await work(rpc, body)
        return await asyncio.to_thread(_bytes, getattr(google, type(found).__name__), found)

    return answer


def _passing(method: passing.Method, otherwise: Unary) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        passed = await passing.message(rpc, method, data)
        return await otherwise(rpc, data) if passed is None else passed

    return answer


def _live(version: int, otherwise: Streaming) -> Streaming:
    async def answer(rpc: Rpc, data: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for first in data:
            passed = await passing_stream.live(rpc, version, first, data)
            found = passed or otherwise(rpc, _behind(first, data))
            async with aclosing(found) as pieces:
                async for piece in pieces:
                    yield piece
            return
        raise _no_config()

    return answer


async def _behind(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for one in rest:
        yield one


def _begin(version: int, kind: type[T], work: Callable[[Rpc, T], Awaitable[Any]]) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        _, body = await _read(version, kind, "", data)
        return (await as_message(await work(rpc, body))).SerializeToString()

    return answer
