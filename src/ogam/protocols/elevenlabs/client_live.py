"""Live sound to ElevenLabs over its WebSocket, and what it hears back.

https://elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeResult,
)
from ogam.errors import UnsupportedOptionError, VendorError
from ogam.protocols.elevenlabs import convert_heard
from ogam.protocols.elevenlabs.client_calls import Calls
from ogam.protocols.elevenlabs.wire_answers import Heard

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_HEARS = "scribe_v2_realtime"
_RATE = 16_000
# Bytes of sound in a message: a second.
_MOST = 2 * _RATE
# After the sound's end a last utterance is waited for; after it one that was under way before.
_LINGER = 1.5
_WRITTEN = "committed_transcript_with_timestamps"
# By these it says that nothing was left to be written down.
_NOTHING_LEFT = ("commit_throttled", "insufficient_audio_activity")
# Of what it may say before it listens: the status that HTTP has for it.
_STATUSES = {
    "auth_error": 401,
    "input_error": 400,
    "invalid_request": 400,
    "queue_overflow": 429,
    "quota_exceeded": 401,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "unaccepted_terms": 403,
}


async def listen(
    calls: Calls, ref: ModelRef, pcm: Iterator[bytes], options: RecognitionOptions
) -> AsyncGenerator[PartialTranscript | TranscribeResult]:
    """Send ``pcm`` as it comes; yield what is heard, and the whole result last."""
    model = ref.model or _HEARS
    if not model.endswith("_realtime"):
        raise UnsupportedOptionError(
            f"{ref.name} does not listen to live sound.",
            hint=f"Name {ref.engine}/{_HEARS}.",
            param="model",
        )
    query = urlencode(convert_heard.live_query(options, model), quote_via=quote)
    segments: list[Segment] = []
    language: str | None = None
    path = f"/v1/speech-to-text/realtime?{query}"
    async with calls.connected(path, "for live sound") as socket:
        sound = _Sound(calls, socket, pcm)
        async with aclosing(sound.events()) as events:
            async for event in events:
                text = event.text.strip()
                if event.message_type == "partial_transcript" and text:
                    yield PartialTranscript(text=text)
                if event.message_type != _WRITTEN or not text:
                    continue
                language = convert_heard.tag(event.language_code) or language
                found = convert_heard.segments(event.text, event.words or (), sound.seconds)
                segments += found
                for one in found:
                    yield PartialTranscript(text=one.text, segment=one)
    yield TranscribeResult(
        engine=ref.engine,
        model=ref.name,
        units=Units(audio_ms=-(-sound.sent * 1000 // (2 * _RATE))),
        text=" ".join(one.text for one in segments),
        segments=tuple(segments),
        duration=sound.seconds,
        language=language or options.language,
    )


class _Sound:
    """One exchange: blocks out, news in. ``sent`` counts the bytes of sound."""

    def __init__(self, calls: Calls, socket: ClientConnection, pcm: Iterator[bytes]) -> None:
        self._calls, self._socket, self._pcm = calls, socket, pcm
        self._receiving: asyncio.Task[Heard] | None = None
        self._last_told = False
        self.sent = 0

    @property
    def seconds(self) -> float:
        """How long the sound is so far."""
        return self.sent / (2 * _RATE)

    async def events(self) -> AsyncGenerator[Heard]:
        """What is heard, until all that was sent is written down."""
        # A thread of its own, for it waits as long as nobody speaks.
        own = ThreadPoolExecutor(1, thread_name_prefix="ogam-live")
        sending: asyncio.Task[None] | None = None
        try:
            await self._begun()
            sending = asyncio.create_task(self._send(own))
            while (event := await self._next(sending)) is not None:
                yield event
        finally:
            for task in (sending, self._receiving):
                if task is not None:
                    task.cancel()
                    await asyncio.wait((task,))
                    _ = task.cancelled() or task.exception()  # asked, so that none is logged
            own.shutdown(wait=False)

    async def _begun(self) -> None:
        """Wait until it listens: what it refuses before that is not billed."""
        try:
            async with asyncio.timeout(self._calls.vendor.timeout):
                event = await self._receive()
        except TimeoutError:
            raise self._stopped("it does not begin", sent=False) from None
        except VendorError as error:
            error.sent = False
            raise
        if event.message_type == "session_started":
            return
        said = {"status": event.message_type, "message": event.error or event.message_type}
        status = _STATUSES.get(event.message_type, 500)
        raise self._calls.refusal(status, msgspec.json.encode({"detail": said}))

    async def _next(self, sending: asyncio.Task[None]) -> Heard | None:
        """What it says next; None when it has said all."""
        receiving = self._receiving = self._receiving or asyncio.create_task(self._receive())
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
            patience = _LINGER if self._last_told else self._calls.vendor.timeout
            await asyncio.wait((receiving,), timeout=patience)
        if not receiving.done():
            if self._last_told:
                return None
            raise self._stopped("it does not tell the end")
        self._receiving = None
        try:
            event = receiving.result()
        except VendorError:
            if self._last_told:  # it may close when it has told all
                return None
            raise
        if event.error is None:
            self._last_told = sending.done() and event.message_type == _WRITTEN
            return event
        if sending.done() and event.message_type in _NOTHING_LEFT:
            return None
        raise self._stopped(event.error or event.message_type)

    async def _send(self, own: ThreadPoolExecutor) -> None:
        from websockets.exceptions import ConnectionClosed

        loop = asyncio.get_running_loop()
        try:
            while (block := await loop.run_in_executor(own, next, self._pcm, None)) is not None:
                for at in range(0, len(block), _MOST):
                    part = block[at : at + _MOST]
                    await self._socket.send(_message(part))
                    self.sent += len(part)
            await self._socket.send(_message(b"", commit=True))
        except ConnectionClosed:
            return  # why, is told where it is listened to

    async def _receive(self) -> Heard:
        from websockets.exceptions import ConnectionClosed

        try:
            return self._calls.decode(await self._socket.recv(), Heard)
        except ConnectionClosed as closed:
            raise self._stopped(str(closed)) from None

    def _stopped(self, why: str, *, sent: bool = True) -> VendorError:
        return VendorError(f"{self._calls.vendor.name} stopped listening: {why[:200]}.", sent=sent)


def _message(pcm: bytes, *, commit: bool = False) -> str:
    said = {
        "message_type": "input_audio_chunk",
        "audio_base_64": base64.b64encode(pcm).decode(),
        "commit": commit,
        "sample_rate": _RATE,
    }
    return msgspec.json.encode(said).decode()
