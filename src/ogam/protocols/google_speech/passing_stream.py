"""Live sound that goes through to a vendor that speaks Speech-to-Text's protocol, over gRPC.

The first message says how to listen: its model changes, where the route names one, and version 2's
recogniser. Every other message arrives as it was sent, and so does every reply.

How long a stream goes on is not known before it is sent, but no vendor takes more than
``MAX_SECONDS`` of one, and so much is set aside; what the vendor says that it billed is settled.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import chain
from typing import Any, cast

from ogam.capabilities.base import Units
from ogam.errors import InvalidRequestError, VendorError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.feed import Feed
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding
from ogam.protocols.forwarding import Flow, Head
from ogam.protocols.google import client_errors, passing_rpc, protojson
from ogam.protocols.google.client_exchange import Exchange
from ogam.protocols.google.grpc import Rpc, from_message, parsed, types
from ogam.protocols.google.passing import field, text
from ogam.protocols.google_speech import convert, wire, wire_v2
from ogam.protocols.google_speech.passing import Asked, named, recogniser, spoken
from ogam.protocols.google_speech.streaming import MAX_SECONDS, too_long

# Bytes a sample of sound without a header.
_SAMPLE = {"LINEAR16": 2, "MULAW": 1, "ALAW": 1}


async def live(
    rpc: Rpc, version: int, first: bytes, rest: AsyncIterator[bytes]
) -> AsyncGenerator[bytes] | None:
    """The vendor's own replies to a stream, where the route leads to one that has them; None
    where the call is for others, or is to be recorded, and ``rest`` is as it was.
    """
    if not rpc.gateway.forwards(rpc.protocol.name):
        return None
    google = await types(f"google.cloud.speech_v{version}.types")
    sent = await asyncio.to_thread(parsed, google.StreamingRecognizeRequest.pb(), first)
    body = from_message(sent)
    config = field(field(body, "streamingConfig"), "config")
    if config is None or (version == 2 and not sent.recognizer.endswith("/recognizers/_")):
        return None
    asked = Asked({"config": config}, version)
    target = spoken(rpc.gateway, rpc.protocol, rpc.model(asked.model or None), asked)
    if target is None or target.record or not passing_rpc.answered(rpc, "transcribe", target):
        return None
    stream = _Stream(rpc, asked, sent, rest, google)
    response = await forwarding.through(cast(Any, rpc), "transcribe", target, stream)
    if response is None:
        return None
    return _replies(rpc, stream, cast(AsyncGenerator[bytes], cast(Any, response).body_iterator))


async def _replies(
    rpc: Rpc, stream: _Stream, pieces: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    """What the vendor says, without what stands for the open stream; its refusal ends the call."""
    async with aclosing(pieces):
        await anext(pieces)
        async for piece in pieces:
            yield piece
    await passing_rpc.refuse(rpc, stream.refused)


class _Stream(forwarding.Whole):
    """Sound on its way, and what is heard in it."""

    streamed = True
    promised: tuple[str, ...] | None = None

    def __init__(
        self, rpc: Rpc, asked: Asked, first: Any, rest: AsyncIterator[bytes], google: Any
    ) -> None:
        self._rpc, self.asked, self._first, self._rest = rpc, asked, first, rest
        self._version = asked.version
        self._request: Any = type(first)
        self.answer: Any = google.StreamingRecognizeResponse.pb()
        self.refused: Any = None
        encoding, rate, channels = asked.raw
        self._rate = rate * (channels or 1) * _SAMPLE.get(encoding, 0)
        self._bytes = 0

    def facts(self) -> Facts:
        """Its language."""
        return self.asked.facts()

    async def prove(self, price: Price) -> Billing | Unprovable:
        """As much as a stream can be."""
        kind = wire if self._version == 1 else wire_v2
        odd = passing_rpc.odd(self._first, kind.StreamingRecognizeRequest)
        if odd is not None:
            return odd
        if not self.asked.billed_channels:
            return Unprovable(
                reason="How many channels the stream has is not told.",
                hint="Give the channel count and an explicit encoding.",
            )
        return bounds.seconds_bound(MAX_SECONDS * self.asked.billed_channels, price)

    async def send(
        self, engine: Any, model: str, *, paid: bool
    ) -> tuple[Head, bytes, Units | None]:
        """Nothing asks for it whole."""
        raise NotImplementedError

    @asynccontextmanager
    async def open(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> AsyncGenerator[Flow]:
        """Connect; from then on what the client says goes there and nowhere else."""
        first, where = await self._told(engine, model)
        headers = passing_rpc.headers(self._rpc, where) + await engine.raw.auth.headers()
        channel = await engine.raw.rpc.channel()
        method = f"/google.cloud.speech.v{self._version}.Speech/StreamingRecognize"
        async with Feed(self._sound()) as sound:
            exchange = Exchange(chain((first,), sound), engine.raw.vendor)
            replies = exchange.replies(channel.stream_stream(method), headers)
            async with aclosing(replies):
                yield _Heard(self, engine.raw, replies)

    async def _told(self, engine: Any, model: str) -> tuple[bytes, dict[str, str]]:
        own = self._request()
        own.CopyFrom(self._first)
        where: dict[str, str] = {}
        if self._version == 2:
            own.recognizer = where["recognizer"] = await recogniser(engine)
        name = named(model, self.asked)
        if name != self.asked.model:
            own.streaming_config.config.model = name
        return own.SerializeToString(), where

    async def _sound(self) -> AsyncIterator[bytes]:
        """What the client says. OutOfRangeError where it is more than a stream may be."""
        async for data in self._rest:
            if self._rate:
                message = parsed(self._request, data)
                part = message.audio if self._version == 2 else message.audio_content
                self._bytes += len(part)
                if self._bytes > MAX_SECONDS * self._rate:
                    raise too_long()
            yield data

    def units(self, billed: str) -> Units | None:
        """What the vendor says that it billed, else what was sent, where that can be told."""
        if billed:
            try:
                told = protojson.seconds(billed, "totalBilledTime")
            except InvalidRequestError:
                return None
            return Units(audio_ms=math.ceil(1000 * told))
        if not self._rate or not self.asked.billed_channels:
            return None
        seconds = self._bytes / self._rate
        return Units(audio_ms=1000 * convert.billed(seconds, self.asked.billed_channels))


class _Heard:
    """Replies on their way back; the first piece is empty and says that the stream is open."""

    def __init__(self, stream: _Stream, raw: Any, replies: AsyncGenerator[bytes]) -> None:
        self._stream, self._raw, self._replies = stream, raw, replies
        self.head = Head(status=200, headers=(("content-type", "application/grpc"),))
        self.units: Units | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Each as it comes."""
        from grpc import RpcError

        yield b""
        billed, heard, whole = "", False, True
        try:
            async for data in self._replies:
                told, failed = await self._read(data)
                billed, heard, whole = told or billed, True, whole and not failed
                yield data
        except RpcError as error:
            failure = client_errors.of_rpc(self._raw.vendor.name, error)
            if isinstance(failure, VendorError):
                raise failure from None
            self._stream.refused = error
            whole = False
            if not heard:  # so nothing was billed
                self.head = Head(status=400, headers=())
        if whole:
            self.units = self._stream.units(billed)

    async def _read(self, data: bytes) -> tuple[str, bool]:
        """What a reply says was billed, and whether it says that something went wrong."""
        from google.protobuf.message import DecodeError

        try:
            said = from_message(self._stream.answer.FromString(data))
        except (DecodeError, InvalidRequestError) as error:
            raise self._raw.odd(error) from None
        billed = text(said, "totalBilledTime")
        billed = billed or text(field(said, "metadata"), "totalBilledDuration")
        return billed, bool(field(said, "error"))
