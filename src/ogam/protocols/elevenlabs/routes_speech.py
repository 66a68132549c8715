"""Text to speech, whole and streamed, with the times of its characters or without."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult
from ogam.errors import InvalidRequestError
from ogam.protocols.elevenlabs import convert, passing, speaking, wire
from ogam.protocols.elevenlabs.errors import shape
from ogam.protocols.serving import Call, Route, Stream, reply

_PAGES = "https://elevenlabs.io/docs/api-reference/text-to-speech"


class _Order(NamedTuple):
    text: str
    request: SpeakRequest
    model: str | None
    output: convert.Output

    @property
    def headers(self) -> dict[str, str]:
        return {"character-cost": str(len(self.text))}


async def _order(call: Call) -> _Order:
    output = convert.output(call.request.query_params.get("output_format"))
    try:
        body = await call.json(wire.SpeechBody)
    except InvalidRequestError as error:
        raise shape(error) from None
    who = speaking.voicing(call, call.params["voice_id"], body.model_id)
    request = convert.speak_request(body, who.voice)
    if who.voice and request.language:
        model = call.gateway.models("speak", call.model(who.model))[0]
        await speaking.check_language(call.gateway, model, who.voice, request.language)
    return _Order(body.text, request, who.model, output)


async def speech(call: Call) -> Response:
    """The whole speech."""
    passed = await passing.speech(call)
    if passed is not None:
        return passed
    order = await _order(call)
    result, sound = await _whole(call, order)
    return reply(sound, result, headers=order.headers, media_type=order.output.media_type)


async def speech_with_timestamps(call: Call) -> Response:
    """The whole speech in JSON, with its characters' times."""
    passed = await passing.speech(call)
    if passed is not None:
        return passed
    order = await _order(call)
    result, sound = await _whole(call, order)
    aligner = convert.Aligner(order.text)
    characters = aligner.take(result.words) + aligner.finish(result.audio.duration)
    aligned = convert.alignment(characters)
    made = wire.AudioWithTimestamps(
        audio_base64=base64.b64encode(sound).decode(),
        alignment=aligned,
        normalized_alignment=aligned,
    )
    return reply(made, result, headers=order.headers)


async def _whole(call: Call, order: _Order) -> tuple[SpeakResult, bytes]:
    result: SpeakResult = await call.answer("speak", order.request, SpeakResult, order.model)
    sound = await asyncio.to_thread(speaking.whole, result.audio, order.output)
    return result, sound


async def stream(call: Call) -> Response:
    """The speech while it is made."""
    passed = await passing.speech(call)
    if passed is not None:
        return passed
    order = await _order(call)

    async def sound(pieces: AsyncGenerator[Any]) -> AsyncGenerator[bytes]:
        encoding = speaking.Encoding(order.output)
        try:
            async for piece in encoding.spoken(pieces):
                if piece.sound:
                    yield piece.sound
            yield await encoding.flush()
        finally:
            encoding.close()

    return await _streamed(call, order, sound, order.output.media_type)


async def stream_with_timestamps(call: Call) -> Response:
    """The same in lines of JSON, with the characters whose words have ended."""
    passed = await passing.speech(call)
    if passed is not None:
        return passed
    order = await _order(call)

    async def lines(pieces: AsyncGenerator[Any]) -> AsyncGenerator[bytes]:
        encoding = speaking.Encoding(order.output)
        aligner = convert.Aligner(order.text)
        try:
            async for piece in encoding.spoken(pieces):
                characters, sound = aligner.take(piece.words), piece.sound
                if piece.last:
                    characters += aligner.finish(piece.seconds)
                    sound += await encoding.flush()
                aligned = convert.alignment(characters)
                made = wire.AudioWithTimestamps(
                    audio_base64=base64.b64encode(sound).decode(),
                    alignment=aligned,
                    normalized_alignment=aligned,
                )
                yield msgspec.json.encode(made) + b"\n"
        finally:
            encoding.close()

    return await _streamed(call, order, lines, "application/x-ndjson")


async def _streamed(call: Call, order: _Order, encode: Any, media_type: str) -> Response:
    pieces = await call.pieces("speak", order.request, name=order.model)
    headers = call.streamed_by("speak", order.model) | order.headers
    # What breaks in the middle breaks the connection, for nothing else tells the SDK: it takes
    # any bytes for sound, and leaves out a line that it does not understand.
    return Stream(encode(pieces), media_type=media_type, headers=headers)


_MEDIA = tuple(dict.fromkeys(one.media_type for one in convert.OUTPUTS.values()))
ROUTES = (
    Route(
        method="POST",
        path="/v1/text-to-speech/{voice_id}",
        handler=speech,
        summary="Speak a text.",
        page=f"{_PAGES}/convert",
        body=wire.SpeechBody,
        query=wire.OutputQuery,
        media=_MEDIA,
    ),
    Route(
        method="POST",
        path="/v1/text-to-speech/{voice_id}/with-timestamps",
        handler=speech_with_timestamps,
        summary="Speak a text, and tell when each character is said.",
        page=f"{_PAGES}/convert-with-timestamps",
        body=wire.SpeechBody,
        query=wire.OutputQuery,
        reply=wire.AudioWithTimestamps,
    ),
    Route(
        method="POST",
        path="/v1/text-to-speech/{voice_id}/stream",
        handler=stream,
        summary="Speak a text, sent while it is made.",
        page=f"{_PAGES}/stream",
        body=wire.SpeechBody,
        query=wire.OutputQuery,
        media=_MEDIA,
    ),
    Route(
        method="POST",
        path="/v1/text-to-speech/{voice_id}/stream/with-timestamps",
        handler=stream_with_timestamps,
        summary="Speak a text, sent while it is made, with the times of its characters.",
        page=f"{_PAGES}/stream-with-timestamps",
        body=wire.SpeechBody,
        query=wire.OutputQuery,
        media=("application/x-ndjson",),
    ),
)
