"""Speech and transcriptions, asked of a vendor."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing

import msgspec

from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk, Voice
from ogam.errors import InvalidMediaError, OgamError, TooLargeError
from ogam.media import Audio, limits, wav
from ogam.net import forms
from ogam.protocols.openai import convert_audio, convert_replies, wire_audio, wire_replies
from ogam.protocols.openai.client_api import Api

_SPEECH, _TRANSCRIPTIONS = "/audio/speech", "/audio/transcriptions"
_RATE = 16_000  # of live sound, by the capability
# What the vendor takes, and the endings it knows it by; all else is sent as WAV.
# https://developers.openai.com/api/docs/guides/speech-to-text
_ENDINGS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
}
# The first models' voices; the later ones have all.
# https://developers.openai.com/api/docs/guides/text-to-speech#voice-options
_FIRST = ("alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
# No head of a WAV file is so long, but for one that carries more than sound.
_HEAD = 65_536


def voices(api: Api) -> tuple[Voice, ...]:
    """OpenAI's voices, of no one language. The protocol has no list: another server's are ()."""
    if not api.own:
        return ()
    names = _FIRST if api.ref.model.startswith("tts-1") else tuple(convert_audio.VOICES)
    return tuple(Voice(id=name, name=name.capitalize(), language="mul") for name in names)


async def speak_stream(
    api: Api, request: SpeakRequest
) -> AsyncGenerator[SpeechChunk | SpeakResult]:
    """Sound as it comes, and the whole last. WAV is asked for, since it tells its rate."""
    body = convert_audio.speech_body(request, api.model)
    body.response_format = "wav"
    voice = convert_audio.voice_of(body)
    if api.own and len(request.text) > convert_audio.MAX_CHARACTERS:
        raise TooLargeError(
            f"text has {len(request.text):,} characters; {api.vendor.name} takes "
            f"{convert_audio.MAX_CHARACTERS:,}.",
            hint="Cut it into parts.",
            param="text",
        )
    # Later models are billed by tokens, which only events tell; the first have no events.
    if api.own and not api.model.startswith("tts-1"):
        body.stream_format = "sse"
    sound = _Sound()
    used = Units(characters=len(request.text))
    async with aclosing(_file(api, body)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Units):
                used += piece
            elif chunk := sound.feed(piece):
                yield chunk
    if sound.cut:
        raise api.cut()
    try:
        late, audio = await asyncio.to_thread(sound.end)
    except InvalidMediaError as error:
        raise api.unreadable(error.message) from None
    if late is not None:
        yield late
    yield SpeakResult(
        engine=api.ref.engine, model=api.ref.name, units=used, audio=audio, voice=voice
    )


async def _file(api: Api, body: wire_audio.SpeechBody) -> AsyncGenerator[bytes | Units]:
    """The bytes of the file as they come, and what was billed where events tell it."""
    encoded = msgspec.json.encode(body)
    if body.stream_format != "sse":
        async with api.stream(_SPEECH, encoded) as streamed:
            async for chunk in streamed:
                yield chunk
        return
    async with aclosing(api.events(_SPEECH, encoded, wire_replies.SpeechEvent)) as events:
        async for event in events:
            if event is None:
                break
            if event.audio:
                try:
                    yield binascii.a2b_base64(event.audio, strict_mode=True)
                except ValueError as error:
                    raise api.unreadable(error) from None
            if event.type == "speech.audio.done":
                yield (event.usage and convert_replies.told(event.usage)) or Units()
                return
    raise api.cut()


class _Sound:
    """A file of sound, fed as it comes: WAV of 16 bits and one channel goes on at once, and what
    else a server sends in spite of being asked is decoded at the end.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: wav.Header | None = None
        self._at = 0  # up to here it has gone on
        self._stop: int | None = None  # by the head, where that knows

    def feed(self, data: bytes) -> SpeechChunk | None:
        """What can be heard already."""
        undecided = self._head is None and len(self._data) < _HEAD
        self._data += data
        if undecided:
            self._read_head()
        head = self._head
        if head is None:
            return None
        end = self._end(head)
        if end <= self._at:
            return None
        pcm, self._at = bytes(self._data[self._at : end]), end
        return SpeechChunk(pcm=pcm, sample_rate=head.sample_rate)

    def _read_head(self) -> None:
        head = wav.header(bytes(self._data))
        if head is None or not head.is_pcm16 or head.channels != 1:
            return
        self._head, self._at = head, head.start
        if head.claimed_seconds is not None:
            size = int.from_bytes(self._data[head.start - 4 : head.start], "little")
            self._stop = head.start + size

    def _end(self, head: wav.Header) -> int:
        end = len(self._data) if self._stop is None else min(len(self._data), self._stop)
        return end - (end - head.start) % 2

    @property
    def cut(self) -> bool:
        """Whether less came than there should be."""
        return not self._data or (self._stop or 0) > len(self._data)

    def end(self) -> tuple[SpeechChunk | None, Audio]:
        """What is still to be heard, and all of it. InvalidMediaError for what is no sound."""
        head = self._head
        if head is not None:
            pcm = bytes(self._data[head.start : self._end(head)])
            return None, Audio.from_pcm(pcm, head.sample_rate)
        audio = Audio(bytes(self._data))
        samples = audio.pcm(None, 1)
        return SpeechChunk(pcm=samples.data, sample_rate=samples.sample_rate), audio


async def transcribe(api: Api, request: TranscribeRequest) -> TranscribeResult:
    """A whole recording. What tells no times is one utterance as long as the recording."""
    form = convert_audio.form_of(request.options, api.model, own=api.own)
    content_type, body = await asyncio.to_thread(_multipart, form, request.audio)
    reply = await api.post(_TRANSCRIPTIONS, body, content_type)
    heard = api.read(reply.body, wire_replies.Transcript)
    return await _heard(api, heard, request.audio, request.options)


async def transcribe_stream(
    api: Api, pcm: Iterable[bytes] | AsyncIterable[bytes], options: RecognitionOptions
) -> AsyncGenerator[PartialTranscript | TranscribeResult]:
    """Live sound. The vendor takes whole recordings here, so it is sent once it has ended; of
    OpenAI's later models the text comes as they hear it.
    """
    audio = Audio.from_pcm(await _collected(pcm), _RATE)
    streams = api.own and not convert_audio.tells_times(api.model, own=True)
    if not streams:
        result = await transcribe(api, TranscribeRequest(audio=audio, options=options))
    else:
        form = convert_audio.form_of(options, api.model, own=True, stream=True)
        content_type, body = await asyncio.to_thread(_multipart, form, audio)
        done: wire_replies.Transcript | None = None
        text = ""
        events = api.events(_TRANSCRIPTIONS, body, wire_replies.Transcript, content_type)
        async with aclosing(events):
            async for event in events:
                if event is None:
                    break
                if event.type == "transcript.text.done":
                    done = event
                    break
                if event.type == "transcript.text.delta" and event.delta:
                    text += event.delta
                    yield PartialTranscript(text=text)
        if done is None:
            raise api.cut()
        result = await _heard(api, done, audio, options)
    for segment in result.segments:
        yield PartialTranscript(text=segment.text, segment=segment)
    yield result


async def _heard(
    api: Api, reply: wire_replies.Transcript, audio: Audio, options: RecognitionOptions
) -> TranscribeResult:
    seconds = reply.duration
    if seconds is None:
        seconds = await asyncio.to_thread(_measured, audio)
    try:
        return convert_replies.transcript(
            reply,
            engine=api.ref.engine,
            model=api.ref.name,
            language=options.language,
            duration=seconds,
        )
    except ValueError as error:
        raise api.unreadable(error) from None


def _measured(audio: Audio) -> float:
    """The recording's seconds; 0 for what only the vendor can decode: it has been billed."""
    try:
        return audio.duration
    except OgamError:
        return 0.0


def _multipart(form: wire_audio.TranscriptionForm, audio: Audio) -> tuple[str, bytes]:
    ending = _ENDINGS.get(audio.media_type) if audio.encoding is None else None
    sent = audio if ending else audio.encode("wav")
    file = ("file", f"audio.{ending or 'wav'}", sent.media_type, sent.data)
    return forms.multipart(convert_audio.form_fields(form), [file])


async def _collected(pcm: Iterable[bytes] | AsyncIterable[bytes]) -> bytes:
    """All of the sound, within the limit on seconds."""
    sound = bytearray()

    def add(block: bytes) -> None:
        sound.extend(block)
        limits.check_seconds(len(sound) / (2 * _RATE), "The sound")

    if isinstance(pcm, AsyncIterable):
        async for block in pcm:
            add(block)
        return bytes(sound)

    def drain() -> None:
        for block in pcm:
            checkpoint()
            add(block)

    # A blocking source must not hold the event loop.
    await asyncio.to_thread(drain)
    return bytes(sound)
