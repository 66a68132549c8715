"""A recording sent to ElevenLabs, and its transcript."""

from __future__ import annotations

import asyncio

from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_recognition import TranscribeRequest, TranscribeResult
from ogam.errors import OgamError, UnsupportedOptionError
from ogam.media import Audio
from ogam.net import forms
from ogam.protocols.elevenlabs import convert_heard, wire_answers
from ogam.protocols.elevenlabs.client_calls import Calls

# What listens where no model is named.
_HEARS = "scribe_v1"


async def transcribe(calls: Calls, ref: ModelRef, request: TranscribeRequest) -> TranscribeResult:
    """What is said in the recording, billed by its length."""
    model = ref.model or _HEARS
    if model.startswith("eleven_") or model.endswith("_realtime"):
        raise UnsupportedOptionError(
            f"{ref.name} does not transcribe recordings.",
            hint=f"Name {ref.engine}/{_HEARS}.",
            param="model",
        )
    fields = convert_heard.fields(request.options, model)
    content_type, body = await asyncio.to_thread(_form, fields, request.audio)
    told = await calls.post("/v1/speech-to-text", content_type, body, wire_answers.Transcript)
    duration = told.audio_duration_secs
    if duration is None:
        duration = await asyncio.to_thread(_duration, request.audio, told)
    text = told.text.strip()
    return TranscribeResult(
        engine=ref.engine,
        model=ref.name,
        units=convert_heard.billed(duration),
        text=text,
        segments=convert_heard.segments(text, told.words or (), duration),
        duration=duration,
        language=convert_heard.tag(told.language_code),
    )


def _form(fields: list[tuple[str, str]], audio: Audio) -> tuple[str, bytes]:
    if (audio.encoding, audio.sample_rate, audio.channels) == ("pcm", 16000, 1):
        fields = [*fields, ("file_format", "pcm_s16le_16")]
    elif audio.encoding is not None:
        audio = audio.encode("wav")
    return forms.multipart(fields, [("file", "recording", audio.media_type, audio.data)])


def _duration(audio: Audio, told: wire_answers.Transcript) -> float:
    """Of a recording whose length the vendor did not tell; it is paid, so that nothing may fail."""
    try:
        return audio.duration
    except OgamError:
        return max((one.end or 0.0 for one in told.words or ()), default=0.0)
