"""stream-input: text comes in pieces over a WebSocket, and is spoken while more comes."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import TypeVar

import msgspec
from starlette.websockets import WebSocketDisconnect

from ogam.errors import InvalidRequestError, OgamError
from ogam.protocols.elevenlabs import convert, errors, passing_socket, speaking, wire
from ogam.protocols.elevenlabs.pacing import SCHEDULE, Pacer
from ogam.protocols.serving import Socket, SocketCall, decode

T = TypeVar("T")
_PAGE = (
    "https://elevenlabs.io/docs/api-reference/text-to-speech/"
    "v-1-text-to-speech-voice-id-stream-input"
)
_POLICY = 1008
_IDLE = 20.0  # seconds; the vendor's
# Pieces that wait to be spoken. A client that writes faster is read no further.
_WAITING = 16
# Seconds between an error and the end, in which a client reads it.
_READING = 0.1


class _Keys(msgspec.Struct):
    """Where a first message may show a key."""

    xi_api_key: str | None = None
    authorization: str | None = None


class _Query(msgspec.Struct, kw_only=True):
    """The query of the address.

    Without effect: ``enable_logging``, ``optimize_streaming_latency``, ``sync_alignment`` (it
    always is) and ``seed``. ``auto_mode`` is how it works anyway. Refused:
    ``enable_ssml_parsing``, for a piece of text is no document, and ``apply_text_normalization``
    "off".
    """

    model_id: str | None = None
    language_code: str | None = None
    output_format: str | None = None
    inactivity_timeout: float = _IDLE
    enable_ssml_parsing: bool = False
    apply_text_normalization: str | None = None


async def stream_input(call: SocketCall) -> None:
    """Talk until the client has sent its last text or has left."""
    await call.socket.accept()
    talk = _Talk(call)
    try:
        await talk.run()
    except WebSocketDisconnect:
        return
    except OgamError as error:
        _, about = errors.detail(error, call.id)
        idle = isinstance(error, passing_socket.IdleError)
        code = "input_timeout_exceeded" if idle else about["code"]
        said = {**about, "error": code, "code": _POLICY}
        with suppress(WebSocketDisconnect, RuntimeError):
            await call.socket.send_text(msgspec.json.encode(said).decode())
            # The SDK sends before it reads: to a socket closed by then, and it reads no more.
            await asyncio.sleep(_READING)
            await call.socket.close(
                _POLICY, about["message"].encode()[:120].decode(errors="ignore")
            )
    finally:
        talk.close()
        call.gateway.end_begun()


class _Talk:
    def __init__(self, call: SocketCall) -> None:
        self._call, self._socket, self._gateway = call, call.socket, call.gateway
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._pacer = Pacer()
        self._settings: wire.VoiceSettings | None = None
        self._encoding: speaking.Encoding | None = None

    def close(self) -> None:
        if self._encoding is not None:
            self._encoding.close()

    async def run(self) -> None:
        """Listen and speak at the same time; whatever fails first ends both."""
        # First of all a message is taken, so that a client is there to hear what is wrong.
        data = await passing_socket.receive(self._socket, _IDLE)
        fields = dict(self._socket.query_params)
        self._admit(_read(data, _Keys), fields.get("authorization"))
        if await passing_socket.through(self._call, data):
            return
        first = _read(data, wire.InputMessage)
        query = _query(fields)
        self._encoding = encoding = speaking.Encoding(convert.output(query.output_format))
        tasks = (
            asyncio.create_task(self._listen(first, query.inactivity_timeout)),
            asyncio.create_task(self._speak(query, encoding)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._send(wire.OutputMessage(is_final=True))
        await self._socket.close(1000)

    def _admit(self, first: _Keys, authorization: str | None) -> None:
        shown = self._call.shown or first.xi_api_key
        for bearer in (first.authorization, authorization):
            shown = shown or (bearer or "").removeprefix("Bearer ").strip()
        self._call.admit(shown or None)

    async def _receive(self, patience: float) -> wire.InputMessage:
        return _read(await passing_socket.receive(self._socket, patience), wire.InputMessage)

    async def _listen(self, message: wire.InputMessage, patience: float) -> None:
        config = message.generation_config
        self._pacer = Pacer((config and config.chunk_length_schedule) or SCHEDULE)
        while message.text != "":
            if message.pronunciation_dictionary_locators:
                convert.refuse({"pronunciation_dictionary_locators": True})
            self._settings = message.voice_settings or self._settings
            for piece in self._pacer.add(
                message.text or "",
                trigger=bool(message.try_trigger_generation),
                flush=bool(message.flush),
            ):
                await self._queue.put(piece)
            message = await self._receive(patience)
        for piece in self._pacer.rest():
            await self._queue.put(piece)
        await self._queue.put(None)

    async def _speak(self, query: _Query, encoding: speaking.Encoding) -> None:
        who = speaking.voicing(self._call, self._call.params["voice_id"], query.model_id)
        model = self._call.model(who.model)
        if who.voice and query.language_code:
            name = self._gateway.models("speak", model)[0]
            await speaking.check_language(self._gateway, name, who.voice, query.language_code)
        while (text := await self._queue.get()) is not None:
            body = wire.SpeechBody(
                text=text, language_code=query.language_code, voice_settings=self._settings
            )
            request = convert.speak_request(body, who.voice)
            pieces = self._gateway.stream("speak", (request,), model, live=False)
            aligner = convert.Aligner(text)
            async for piece in encoding.spoken(pieces):
                characters = aligner.take(piece.words)
                if piece.last:
                    characters += aligner.finish(piece.seconds)
                await self._tell(piece.sound, characters)
        await self._tell(await encoding.flush(), [])

    async def _tell(self, sound: bytes, characters: list[convert.Timed]) -> None:
        if not sound and not characters:
            return
        aligned = convert.socket_alignment(characters)
        await self._send(
            wire.OutputMessage(
                audio=base64.b64encode(sound).decode(),
                alignment=aligned,
                normalized_alignment=aligned,
            )
        )

    async def _send(self, message: wire.OutputMessage) -> None:
        await self._socket.send_text(msgspec.json.encode(message).decode())


def _read(data: str | bytes, kind: type[T]) -> T:
    given = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return decode(given, kind)


def _query(fields: dict[str, str]) -> _Query:
    try:
        query = msgspec.convert(fields, _Query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"The address is wrong: {error}.") from None
    if not 1 <= query.inactivity_timeout <= passing_socket.LONGEST_IDLE:
        raise InvalidRequestError(
            f"inactivity_timeout is from 1 to {passing_socket.LONGEST_IDLE:g} seconds.",
            param="inactivity_timeout",
        )
    convert.refuse(
        {
            "enable_ssml_parsing": query.enable_ssml_parsing,
            "apply_text_normalization": query.apply_text_normalization == "off",
        }
    )
    return query


SOCKETS = (
    Socket(
        path="/v1/text-to-speech/{voice_id}/stream-input",
        handler=stream_input,
        summary="Speak text that comes in pieces.",
        page=_PAGE,
        open=True,
    ),
)
