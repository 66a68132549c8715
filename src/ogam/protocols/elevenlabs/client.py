"""ElevenLabs, called: speech in its voices, and its ears. Knows no gateway and no price."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import ClassVar, NamedTuple
from urllib.parse import quote

import msgspec

from ogam import net
from ogam.capabilities.base import Capability, ModelRef
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk, Voice
from ogam.errors import UnknownVoiceError, UnsupportedOptionError
from ogam.media import Audio
from ogam.protocols.elevenlabs import client_listening, client_live, convert_spoken, wire_answers
from ogam.protocols.elevenlabs.client_calls import Calls
from ogam.protocols.forwarding_client import Raw
from ogam.vendors import Vendor

# What speaks where no model is named; the vendor's own default.
_SPEAKS = "eleven_multilingual_v2"
# Samples of every subscription: 44.1 kHz wants a dearer one.
# https://elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps, output_format
SAMPLE_RATE = 24_000
# An id of the vendor's is asked for as it is: it need not be in the account's list.
_ID_LENGTH = 20
# A voice made meanwhile is found after so many seconds.
_FRESH = 300.0
# A line holds a second or so of sound; one without an end is not taken into memory.
_LONGEST_LINE = 64_000_000


class _Order(NamedTuple):
    script: convert_spoken.Script
    path: str
    body: bytes
    voice: str


class ElevenLabsEngine:
    """Voices and transcripts of an ElevenLabs account, or of what speaks its protocol.

    The model is the vendor's: ``eleven_flash_v2_5``, ``scribe_v1``; without one it is
    ``eleven_multilingual_v2`` or ``scribe_v1``. Characters billed are those the vendor tells,
    and never fewer than were sent.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(("speak", "transcribe"))
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    vendor_engine: ClassVar[bool] = True

    def __init__(self, ref: ModelRef, vendor: Vendor, http: net.Client) -> None:
        self._ref, self._calls = ref, Calls(vendor, http)
        self._voices: tuple[Voice, ...] | None = None
        self._asked = 0.0
        self._asking = asyncio.Lock()

    def close(self) -> None:
        """Nothing to let go of: the connections are whose they were."""

    async def voices(self) -> tuple[Voice, ...]:
        """The account's voices, in its order. Asked for once in a while, and bills nothing."""
        async with self._asking:
            if self._voices is None or time.monotonic() - self._asked > _FRESH:
                told = await self._calls.ask("/v1/voices", wire_answers.Voices)
                self._voices = tuple(convert_spoken.voice(one) for one in told.voices)
                self._asked = time.monotonic()
            return self._voices

    async def usage(self) -> int:
        """The characters that the subscription has used in its period, by all who use it."""
        told = await self._calls.ask("/v1/user/subscription", wire_answers.Subscription)
        return told.character_count

    async def speak(self, request: SpeakRequest) -> SpeakResult:
        """The whole speech, with its words' times."""
        async with aclosing(self.speak_stream(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, SpeakResult):
                    return piece
        raise self._calls.broken("no speech")

    async def speak_stream(
        self, request: SpeakRequest
    ) -> AsyncGenerator[SpeechChunk | SpeakResult]:
        """The speech as it comes, each piece with the words that ended in it."""
        order = await self._order(request)
        words = convert_spoken.Words(order.script)
        pieces: list[SpeechChunk] = []
        async with self._calls.stream(order.path, order.body) as answer:
            units = convert_spoken.billed(answer.headers.get("character-cost"), order.script.text)
            half = b""
            async with aclosing(self._lines(answer)) as lines:
                async for line in lines:
                    told = self._calls.decode(line, wire_answers.Spoken)
                    pcm = half + self._sound(told.audio_base64)
                    whole = len(pcm) - len(pcm) % 2
                    pcm, half = pcm[:whole], pcm[whole:]
                    ended = words.take(told.alignment)
                    if pcm or ended:
                        piece = SpeechChunk(pcm=pcm, sample_rate=SAMPLE_RATE, words=ended)
                        pieces.append(piece)
                        yield piece
        pcm = b"".join(one.pcm for one in pieces)
        if not pcm:
            raise self._calls.broken("without any sound")
        yield SpeakResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=units,
            audio=Audio.from_pcm(pcm, SAMPLE_RATE),
            voice=order.voice,
            words=(*(word for one in pieces for word in one.words), *words.finish()),
        )

    async def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """What is said in a recording."""
        return await client_listening.transcribe(self._calls, self._ref, request)

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> AsyncGenerator[PartialTranscript | TranscribeResult]:
        """What is said, while it is said: ``pcm`` is 16 kHz, one channel, 16-bit.

        The model is ``scribe_v2_realtime``, also where none is named.
        """
        return client_live.listen(self._calls, self._ref, pcm, options)

    @property
    def raw(self) -> Raw:
        """The way of bodies that go through unchanged."""
        return self._calls.raw

    async def _order(self, request: SpeakRequest) -> _Order:
        model = self._ref.model or _SPEAKS
        if model.startswith("scribe"):
            raise UnsupportedOptionError(
                f"{self._ref.name} transcribes and does not speak.",
                hint=f"Name {self._ref.engine}/{_SPEAKS}.",
                param="model",
            )
        script = convert_spoken.script(request, model)
        body = convert_spoken.body(request, script.text, model)
        voice = await self._voice(request)
        return _Order(
            script,
            f"/v1/text-to-speech/{quote(voice, safe='')}/stream/with-timestamps"
            f"?output_format=pcm_{SAMPLE_RATE}",
            msgspec.json.encode({name: one for name, one in _fields(body) if one is not None}),
            voice,
        )

    async def _voice(self, request: SpeakRequest) -> str:
        wanted = request.voice
        if (
            wanted is not None
            and len(wanted) == _ID_LENGTH
            and wanted.isascii()
            and wanted.isalnum()
        ):
            return wanted
        voices = await self.voices()
        if wanted is None:
            found = convert_spoken.speaking(voices, request.language)
        else:
            found = convert_spoken.named(voices, wanted)
        if found is None:
            names = ", ".join(one.name for one in voices[:5])
            raise UnknownVoiceError(
                f"{self._calls.vendor.name} has no voice {(wanted or '')[:60]!r}.",
                hint=f"Give an id or a name, as {names}." if names else "The account has none.",
                param="voice",
            )
        return found.id

    def _sound(self, text: str) -> bytes:
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as error:
            raise self._calls.broken(f"sound that is no base64: {error}") from None

    async def _lines(self, answer: net.Streamed) -> AsyncGenerator[bytes]:
        """The lines of a stream, which ends with one."""
        held: list[bytes] = []
        size = 0
        async for chunk in answer:
            *ended, rest = chunk.split(b"\n")
            for line in ended:
                whole = b"".join((*held, line))
                held, size = [], 0
                if whole.strip():
                    yield whole
            held.append(rest)
            size += len(rest)
            if size > _LONGEST_LINE:
                raise self._calls.broken(f"a line of more than {_LONGEST_LINE:,} bytes")
        whole = b"".join(held)
        if whole.strip():
            # The last may lack its end; one that is cut is no JSON.
            yield whole


def _fields(body: object) -> list[tuple[str, object]]:
    about = msgspec.structs.asdict(body)  # pyright: ignore[reportArgumentType]
    settings = about.get("voice_settings")
    if settings is not None:
        about["voice_settings"] = {n: one for n, one in _fields(settings) if one is not None}
    return list(about.items())
