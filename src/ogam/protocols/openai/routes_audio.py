"""Speech, transcriptions, translations."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.capabilities.translation import TranslateResult
from ogam.errors import UnsupportedOptionError
from ogam.media import Audio
from ogam.media.codec import StreamEncoder
from ogam.protocols.openai import convert_audio as convert
from ogam.protocols.openai import errors, forms, languages, passing_audio
from ogam.protocols.openai import wire_audio as wire
from ogam.protocols.openai.routes_chat import STREAM_HEADERS
from ogam.protocols.serving import Call, Route, Stream, answered_by, event, reply

_PAGES = "https://developers.openai.com/api/reference/resources/audio/subresources"
_RATE = 16_000  # of a recording that is heard as a stream
_Form = TypeVar("_Form", bound=wire.TranslationForm)


async def speak(call: Call) -> Response:
    """A text as sound, sent while it is made."""
    if (passed := await passing_audio.speech(call)) is not None:
        return passed
    body = await call.json(wire.SpeechBody)
    request = convert.speak_request(body)
    name = body.model
    voice = convert.voice_of(body)
    if voice in call.gateway.config.names:
        # A voice that the configuration leads to a model of Ogam's.
        name, request = voice, msgspec.structs.replace(request, voice=None, pitch=1.0)
    pieces = await _begun(call, request, name)
    told = call.streamed_by("speak", name)
    kind = body.response_format or "mp3"
    encoded = _encoded(pieces, kind)
    if body.stream_format == "sse":
        return Stream(
            _speech_events(encoded),
            media_type="text/event-stream",
            broken=errors.broken,
            headers={**told, **STREAM_HEADERS},
        )
    # What breaks in the middle of a file can only be cut off.
    return Stream(_bytes(encoded), media_type=convert.MEDIA_TYPES[kind], headers=told)


async def _begun(call: Call, request: SpeakRequest, name: str) -> AsyncGenerator[Any]:
    try:
        return await call.pieces("speak", request, name=name)
    except UnsupportedOptionError as error:
        # The pitch was ours, so an engine that has none speaks at its own.
        if error.param != "pitch":
            raise
        plain = msgspec.structs.replace(request, pitch=1.0)
        return await call.pieces("speak", plain, name=name)


async def _encoded(pieces: AsyncGenerator[Any], kind: str) -> AsyncGenerator[bytes | SpeakResult]:
    """The file, piece by piece, and the result last."""
    encoder: StreamEncoder | None = None
    to_rate = convert.PCM_RATE if kind == "pcm" else None
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                pcm = rate = None
                if isinstance(piece, SpeechChunk):
                    pcm, rate = piece.pcm, piece.sample_rate
                elif encoder is None:  # an engine that makes all at once
                    whole = await asyncio.to_thread(piece.audio.pcm, None, 1)
                    pcm, rate = whole.data, whole.sample_rate
                if pcm is not None and rate is not None:
                    if encoder is None:
                        encoder = await asyncio.to_thread(
                            StreamEncoder, kind, rate, to_rate=to_rate
                        )
                    if data := await asyncio.to_thread(encoder.feed, pcm):
                        yield data
                if isinstance(piece, SpeakResult):
                    assert encoder is not None
                    if data := await asyncio.to_thread(encoder.flush):
                        yield data
                    yield piece
    finally:
        if encoder is not None:
            encoder.close()


async def _bytes(encoded: AsyncGenerator[bytes | SpeakResult]) -> AsyncGenerator[bytes]:
    async with aclosing(encoded):
        async for piece in encoded:
            if isinstance(piece, bytes):
                yield piece


async def _speech_events(encoded: AsyncGenerator[bytes | SpeakResult]) -> AsyncGenerator[bytes]:
    async with aclosing(encoded):
        async for piece in encoded:
            if isinstance(piece, bytes):
                yield event(wire.SpeechDelta(audio=base64.b64encode(piece).decode("ascii")))
            else:
                yield event(wire.SpeechDone(usage=convert.speech_usage(piece.units)))


async def transcribe(call: Call) -> Response:
    """A recording as text, whole or utterance by utterance."""
    if (passed := await passing_audio.recording(call, "transcriptions")) is not None:
        return passed
    form, audio = await _recording(call, wire.TranscriptionForm)
    options = convert.options(form)
    if form.stream and form.response_format in ("json", "text"):
        blocks = audio.blocks(_RATE)
        pieces = await call.pieces("transcribe", blocks, options, name=form.model)
        return Stream(
            _text_events(pieces),
            media_type="text/event-stream",
            broken=errors.broken,
            headers={**call.streamed_by("transcribe", form.model), **STREAM_HEADERS},
        )
    request = TranscribeRequest(audio=audio, options=options)
    result = await call.answer("transcribe", request, TranscribeResult, form.model)
    return await _written(result, form)


async def _text_events(pieces: AsyncGenerator[Any]) -> AsyncGenerator[bytes]:
    space = ""
    async with aclosing(pieces):
        async for piece in pieces:
            # What an engine may still take back is no delta: nothing can be unsaid.
            if isinstance(piece, PartialTranscript) and piece.segment is not None:
                yield event(wire.TextDelta(delta=f"{space}{piece.segment.text}"))
                space = " "
            elif isinstance(piece, TranscribeResult):
                yield event(wire.TextDone(text=piece.text, usage=convert.duration(piece)))


async def translate(call: Call) -> Response:
    """A recording as English text: heard by one engine, translated by another."""
    if (passed := await passing_audio.recording(call, "translations")) is not None:
        return passed
    form, audio = await _recording(call, wire.TranslationForm)
    convert.check_form(form)
    request = TranscribeRequest(audio=audio)
    heard: TranscribeResult = await call.answer("transcribe", request, TranscribeResult, form.model)
    foreign = convert.translate_request(heard)
    made = None
    if foreign is not None:
        made = await call.answer("translate", foreign, TranslateResult)
    english = convert.translated(heard, made)
    return await _written(msgspec.structs.replace(english, language="en"), form)


async def _recording(call: Call, kind: type[_Form]) -> tuple[_Form, Audio]:
    parts = await call.form()
    try:
        given, file = forms.split(parts)
        form = forms.fields(given, kind)
        call.model(form.model)  # an unknown one is told before the recording is read
        data = await file.read()
    finally:
        await parts.close()
    return form, await asyncio.to_thread(Audio, data)


async def _written(result: TranscribeResult, form: wire.TranslationForm) -> Response:
    language = languages.name(result.language)
    content, media_type = await asyncio.to_thread(convert.written, result, form, language)
    return reply(content, headers=answered_by(result), media_type=media_type)


_WRITTEN = ("application/x-subrip", "text/plain", "text/vtt")
ROUTES = (
    Route(
        method="POST",
        path="/v1/audio/speech",
        handler=speak,
        summary="Say a text.",
        page=f"{_PAGES}/speech/methods/create",
        body=wire.SpeechBody,
        media=(*convert.MEDIA_TYPES.values(), "text/event-stream"),
    ),
    Route(
        method="POST",
        path="/v1/audio/transcriptions",
        handler=transcribe,
        summary="Write down what a recording says.",
        page=f"{_PAGES}/transcriptions/methods/create",
        form=wire.TranscriptionForm,
        file="file",
        reply=(wire.Transcription, wire.Verbose),
        media=(*_WRITTEN, "text/event-stream"),
    ),
    Route(
        method="POST",
        path="/v1/audio/translations",
        handler=translate,
        summary="Write down in English what a recording says.",
        page=f"{_PAGES}/translations/methods/create",
        form=wire.TranslationForm,
        file="file",
        reply=(wire.Transcription, wire.Verbose),
        media=_WRITTEN,
    ),
)
