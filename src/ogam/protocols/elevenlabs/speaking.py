"""Speech as the engine makes it, encoded as the client wants it. Knows no route and no socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

from ogam.capabilities.speech_synthesis import SpeakResult, SpeechChunk, Voice, WordTiming
from ogam.errors import UnsupportedOptionError
from ogam.gateway import caller
from ogam.gateway.dispatch import Gateway
from ogam.media import Audio
from ogam.media.codec import StreamEncoder
from ogam.protocols.elevenlabs import convert_voices, languages
from ogam.protocols.elevenlabs.convert import Output
from ogam.protocols.serving import Call, SocketCall

# An id as the vendor gives it.
_VENDORS = re.compile(r"[0-9A-Za-z]{20}")


class Voicing(NamedTuple):
    """Who speaks: the model as clients name it, and the engine's voice (None: its default)."""

    model: str | None
    voice: str | None


def voicing(call: Call | SocketCall, voice_id: str, model_id: str | None) -> Voicing:
    """Whom a client's voice leads to.

    A voice in ``[names]`` is a model of Ogam's: ``"my-cloned-id" = "espeak/en-us+f3"``. One of
    the vendor's own is the default voice of all else that speaks; once the vendor has failed, so
    is every id of the kind that it gives. What remains is a voice of the engine's.
    """
    if voice_id in call.gateway.config.names:
        return Voicing(voice_id, None)
    fallen = caller.current().rest is not None and _VENDORS.fullmatch(voice_id)
    if fallen or voice_id in convert_voices.PREMADE:
        first = call.gateway.models("speak", call.model(model_id))[0]
        if not at_vendor(call.gateway, first):
            return Voicing(model_id, None)
    return Voicing(model_id, voice_id)


def at_vendor(gateway: Gateway, model: str) -> bool:
    """Whether a model is one of a vendor that speaks this protocol."""
    vendor = gateway.vendor(model)
    return vendor is not None and vendor.protocol == "elevenlabs"


async def voices(gateway: Gateway, model: str) -> list[Voice]:
    """The model's voices, its default first."""
    found = await gateway.run(model, gateway.engine("speak", model).voices)
    return convert_voices.in_order(found, model)


async def check_language(gateway: Gateway, model: str, voice: str, language: str) -> None:
    """An engine's voice speaks its own languages: UnsupportedOptionError for another.

    A voice that is not listed is left to the engine, which may have more; any of a vendor's to
    the vendor, whose voices speak every language.
    """
    if gateway.vendor(model) is not None:
        return
    for one in await voices(gateway, model):
        spoken = {languages.base(tag) for tag in (one.languages or (one.language,))}
        if one.id == voice and languages.base(language) not in spoken:
            raise UnsupportedOptionError(
                f"The voice {voice!r} does not speak {language!r}.",
                hint=f"It speaks {', '.join(sorted(spoken))}; /v2/voices?language= finds others.",
                param="language",
            )


def whole(audio: Audio, output: Output) -> bytes:
    """A speech that is there, encoded. Blocking.

    Not by :meth:`Audio.encode` but for WAV, whose header then knows its length: an MP3 made
    whole begins with a frame of a bit rate of its own, where clients look for the one they asked.
    """
    kind, rate, bitrate = output
    if kind == "wav":
        return audio.encode("wav", sample_rate=rate).data
    pcm = audio.pcm(channels=1)
    encoder = StreamEncoder(kind, pcm.sample_rate, to_rate=rate, bitrate=bitrate)
    try:
        return encoder.feed(pcm.data) + encoder.flush()
    finally:
        encoder.close()


class Spoken(NamedTuple):
    """A piece of encoded sound, the words that ended by its end, and how long it is so far.

    ``last`` brings the words that no piece had; its sound may be empty.
    """

    sound: bytes
    words: tuple[WordTiming, ...]
    seconds: float
    last: bool = False


class Encoding:
    """One client's encoder, made when the first sound tells its rate. For one task at a time."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._encoder: StreamEncoder | None = None
        self._rate = 0

    async def spoken(self, pieces: AsyncGenerator[Any]) -> AsyncGenerator[Spoken]:
        """The pieces of a gateway's stream, encoded; what the encoder keeps is left in it."""
        seconds, told = 0.0, 0
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, SpeechChunk):
                    seconds += len(piece.pcm) / (2 * piece.sample_rate)
                    told += len(piece.words)
                    sound = await self._feed(piece.pcm, piece.sample_rate)
                    yield Spoken(sound, piece.words, seconds)
                elif isinstance(piece, SpeakResult):
                    sound = b""
                    if not seconds:  # an engine that makes all at once
                        pcm = await asyncio.to_thread(piece.audio.pcm, None, 1)
                        seconds = pcm.seconds
                        sound = await self._feed(pcm.data, pcm.sample_rate)
                    yield Spoken(sound, piece.words[told:], seconds, last=True)

    async def flush(self) -> bytes:
        """What the encoder kept, and the end of the file."""
        encoder, self._encoder = self._encoder, None
        return await asyncio.to_thread(encoder.flush) if encoder else b""

    def close(self) -> None:
        """Let go of the encoder; for a stream that is broken off."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    async def _feed(self, pcm: bytes, rate: int) -> bytes:
        before = b""
        if self._encoder is None or rate != self._rate:
            before = await self.flush()
            kind, to_rate, bitrate = self._output
            self._encoder = await asyncio.to_thread(
                StreamEncoder, kind, rate, to_rate=to_rate, bitrate=bitrate
            )
            self._rate = rate
        return before + await asyncio.to_thread(self._encoder.feed, pcm)
