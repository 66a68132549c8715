"""Live sound to Google Speech-to-Text over gRPC, and what it hears back. Versions 1 and 2.

https://cloud.google.com/speech-to-text/docs/reference/rpc/google.cloud.speech.v1
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeResult,
)
from ogam.errors import InvalidRequestError
from ogam.protocols.google import client_errors, generated, protojson
from ogam.protocols.google.client_api import Api
from ogam.protocols.google.client_exchange import Exchange
from ogam.protocols.google.client_rpc import Connection
from ogam.protocols.google_speech import convert, convert_v2, wire, wire_v2
from ogam.protocols.google_speech.client_wishes import RATE, Model, asked, heard, text_of
from ogam.vendors import Vendor

# Bytes of sound in a message. Version 1 takes 25,600 and version 2 15,360.
# https://cloud.google.com/speech-to-text/quotas
_MOST = 12_800


async def listen(
    ref: ModelRef, model: Model, api: Api, pcm: Iterator[bytes], options: RecognitionOptions
) -> AsyncGenerator[PartialTranscript | TranscribeResult]:
    """Send ``pcm`` as it comes; yield what is heard, and the whole result last."""
    wanted = asked(model, options, "LINEAR16")
    name = model.recognizer(await api.auth.project()) if model.version == 2 else ""
    headers = await api.auth.headers()
    types = f"google.cloud.speech_v{model.version}.types"
    google = await asyncio.to_thread(generated.load, types)
    sound = _Sound(pcm, google, _first(model.version, wanted, name))
    exchange = Exchange(sound.messages(), api.vendor)
    segments: list[Segment] = []
    billed, code = "", ""
    method = f"/google.cloud.speech.v{model.version}.Speech/StreamingRecognize"
    if name:
        headers.append(("x-goog-request-params", f"recognizer={quote(name, safe='')}"))
    async with _channel(api.vendor) as channel:
        source = exchange.replies(channel.stream_stream(method), headers)
        async with aclosing(_told(source, api.vendor)) as replies:
            async for data in replies:
                answer = _answer(model.version, google, data, api)
                billed = answer.total_billed_time or billed
                finals = [one for one in answer.results if one.is_final]
                try:
                    found = heard(options, finals)
                except InvalidRequestError as error:  # a time that is none
                    raise api.odd(error.message) from None
                for one in found:
                    yield PartialTranscript(text=one.text, segment=one)
                segments += found
                code = next((one.language_code for one in finals if one.language_code), code)
                guessed = (
                    one.alternatives[0].transcript.strip()
                    for one in answer.results
                    if not one.is_final and one.alternatives
                )
                if text := " ".join(part for part in guessed if part):
                    yield PartialTranscript(text=text)
    seconds = sound.sent / (2 * RATE)
    told = protojson.seconds(billed, "totalBilledTime") if billed else convert.billed(seconds, 1)
    yield TranscribeResult(
        engine=ref.engine,
        model=ref.name,
        units=Units(audio_ms=math.ceil(told * 1000)),
        text=text_of(segments),
        segments=tuple(segments),
        duration=seconds,
        language=convert.spelled(code) if code else options.language,
    )


def _first(version: int, wanted: convert.Asked, recognizer: str) -> msgspec.Struct:
    """The message that says how to listen."""
    if version == 1:
        config = wire.StreamingRecognitionConfig(
            config=convert.config(wanted), interim_results=True
        )
        return wire.StreamingRecognizeRequest(streaming_config=config)
    features = wire_v2.StreamingRecognitionFeatures(interim_results=True)
    return wire_v2.StreamingRecognizeRequest(
        recognizer=recognizer,
        streaming_config=wire_v2.StreamingRecognitionConfig(
            config=convert_v2.config(wanted), streaming_features=features
        ),
    )


def _answer(version: int, google: Any, data: bytes, api: Api) -> wire.StreamingRecognizeResponse:
    """A reply as version 1's, whichever it is of; what it says went wrong is raised."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    try:
        message = google.StreamingRecognizeResponse.pb().FromString(data)
    except DecodeError as error:
        raise api.odd(error) from None
    said = json_format.MessageToDict(message)
    if said.get("error"):
        raise client_errors.of_inner(api.vendor.name, said["error"])
    try:
        if version == 1:
            return protojson.taken(said, wire.StreamingRecognizeResponse)
        answer = protojson.taken(said, wire_v2.StreamingRecognizeResponse)
    except msgspec.ValidationError as error:
        raise api.odd(error) from None
    results: list[wire.StreamingRecognitionResult] = []
    for one in answer.results:
        made = convert.final(convert_v2.result_of(one))
        made.is_final = one.is_final
        results.append(made)
    return wire.StreamingRecognizeResponse(
        results=results, total_billed_time=answer.metadata.total_billed_duration
    )


class _Sound:
    """The messages of a stream. ``sent`` counts the bytes of sound."""

    def __init__(self, pcm: Iterator[bytes], google: Any, first: msgspec.Struct) -> None:
        self._pcm, self._first = pcm, first
        self._request: Any = google.StreamingRecognizeRequest.pb()
        self._field = (
            "audio" if isinstance(first, wire_v2.StreamingRecognizeRequest) else "audio_content"
        )
        self.sent = 0

    def messages(self) -> Iterator[bytes]:
        """How to listen, then the sound as it comes. Blocking."""
        from google.protobuf import json_format

        first = json_format.ParseDict(msgspec.to_builtins(self._first), self._request())
        yield first.SerializeToString()
        for block in self._pcm:
            for at in range(0, len(block), _MOST):
                piece = block[at : at + _MOST]
                self.sent += len(piece)
                yield self._request(**{self._field: piece}).SerializeToString()


async def _told(replies: AsyncGenerator[bytes], vendor: Vendor) -> AsyncGenerator[bytes]:
    """The same; what Google finds wrong as Ogam's errors."""
    from grpc import RpcError

    try:
        async with aclosing(replies):
            async for data in replies:
                yield data
    except RpcError as error:
        raise client_errors.of_rpc(vendor.name, error) from None


@asynccontextmanager
async def _channel(vendor: Vendor) -> AsyncGenerator[Any]:
    """A connection, made. VendorError (``sent`` False) where there is none to be had."""
    connection = Connection(vendor)
    try:
        yield await connection.channel()
    finally:
        connection.close()
