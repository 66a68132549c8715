"""What is done for a request, however it came: sound decoded, each channel recognised.

Knows the gateway, and neither HTTP nor gRPC.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol as Interface

import msgspec

from ogam.capabilities.base import Value
from ogam.capabilities.speech_recognition import TranscribeRequest, TranscribeResult
from ogam.errors import InvalidRequestError, UnknownLanguageError
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.keys import Key
from ogam.media import Audio, limits
from ogam.protocols.google.storage import Storage
from ogam.protocols.google_speech import convert, sound, wire
from ogam.protocols.google_speech.convert import Asked

# https://cloud.google.com/speech-to-text/quotas
MAX_BYTES, MAX_SECONDS, MAX_LONG_SECONDS = 10 * 1024 * 1024, 60.0, 480 * 60.0
_TOO_LONG = "Sync input too long. For audio longer than 1 min use LongRunningRecognize."
_TOO_LONG_V2 = "Audio can be of a maximum of 60 seconds. For longer audio use BatchRecognize."
_TOO_LONG_AT_ALL = "Audio can be of a maximum of 480 minutes."


class Asker(Interface):
    """A call being answered: ``serving.Call`` or ``google.grpc.Rpc``."""

    @property
    def gateway(self) -> Gateway:
        """What carries requests out."""
        ...

    @property
    def key(self) -> Key | None:
        """Who asks."""
        ...

    def model(self, name: str | None, /) -> Target:
        """The model that a client's name leads to; None: the route's."""
        ...


class Recognized(Value, frozen=True, kw_only=True):
    """The utterances in the order of their ends, and what each channel's engine gave."""

    results: list[wire.SpeechRecognitionResult]
    transcripts: tuple[TranscribeResult, ...]
    billed: int


async def recognize(
    asker: Asker, asked: Asked, data: bytes, *, version: int = 1, long: bool = False
) -> Recognized:
    """Recognise a recording: one minute of it, or ``long`` ones."""
    model = asker.model(asked.model)  # an unknown one is told before the work
    if not long and len(data) > MAX_BYTES:
        raise InvalidRequestError(
            f"Request payload size exceeds the limit: {MAX_BYTES} bytes.", param="audio"
        )
    said = _TOO_LONG_AT_ALL if long else _TOO_LONG if version == 1 else _TOO_LONG_V2
    most = MAX_LONG_SECONDS if long else MAX_SECONDS
    channels = await asyncio.to_thread(sound.whole, asked, data, most, said)
    tasks = [
        asyncio.ensure_future(_transcript(asker, asked, model, Audio.from_pcm(one, sound.RATE)))
        for one in channels
    ]
    try:
        found = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    results = [
        convert.result(asked, code or transcript.language or "", segment, number)
        for number, (code, transcript) in enumerate(found, 1 if asked.separate else 0)
        for segment in transcript.segments
    ]
    results.sort(key=lambda one: float(one.result_end_time[:-1]))
    return Recognized(
        results=results,
        transcripts=tuple(transcript for _, transcript in found),
        billed=convert.billed(len(channels[0]) / (2 * sound.RATE), len(channels)),
    )


async def _transcript(
    asker: Asker, asked: Asked, model: Target, audio: Audio
) -> tuple[str, TranscribeResult]:
    """The first of the languages that the engine knows, and what it heard."""
    codes = asked.languages or ("",)
    for code in codes:
        request = TranscribeRequest(audio=audio, options=options(asked, code))
        try:
            answer = asker.gateway.answer("transcribe", request, TranscribeResult, model)
            return code, await answer
        except UnknownLanguageError as error:
            if code == codes[-1]:
                raise first_language(error, codes) from None
    raise AssertionError


def options(asked: Asked, code: str) -> convert.RecognitionOptions:
    """What the engine is asked for in one language."""
    language = convert.tag(code) if code else None
    return msgspec.structs.replace(asked.options, language=language)


def first_language(error: UnknownLanguageError, codes: tuple[str, ...]) -> UnknownLanguageError:
    """Google's words for a language that no engine on the route hears."""
    return UnknownLanguageError(
        f"Invalid recognition 'config': bad language code: {', '.join(codes)}. {error.message}",
        hint=error.hint,
        param="config.languageCode",
    )


async def content(asker: Asker, data: bytes, uri: str) -> bytes:
    """The recording, given or named. ``gs://`` is a folder here: see ``google.storage``."""
    if not uri:
        if not data:
            raise InvalidRequestError("RecognitionAudio not set.", param="audio")
        return data
    storage = Storage(asker.gateway.config)
    return await asyncio.to_thread(storage.read, uri, limits.current().max_bytes)


def request_id() -> int:
    """A positive number of 63 bits, as Google's are."""
    return secrets.randbits(62) + 1
