"""Sound as Google takes it in, as samples of 16 kHz: whole or while it arrives.

Knows no engine. Google's own words stand where it has some for what is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ogam.errors import InvalidMediaError, InvalidRequestError
from ogam.media import limits, sniff, wav
from ogam.media.live import LiveSound
from ogam.protocols.google_speech.convert import Asked, bad

RATE = 16_000
RAW = {"LINEAR16": "pcm", "MULAW": "mulaw", "ALAW": "alaw"}
# Google's encodings as FFmpeg's demuxers; those without a header of their own may have WAV's.
_DEMUXERS = {
    "FLAC": "flac",
    "MP3": "mp3",
    "OGG_OPUS": "ogg",
    "WEBM_OPUS": "matroska",
    "AMR": "amr",
    "AMR_WB": "amr",
    "MP4_AAC": "mov",
    "M4A_AAC": "mov",
    "MOV_AAC": "mov",
}
_SNIFFED = {
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/webm": "matroska",
    "audio/amr": "amr",
    "audio/mp4": "mov",
    "audio/aac": "aac",
}
MAGIC = {"AMR": b"#!AMR\n", "AMR_WB": b"#!AMR-WB\n"}
# First bytes that no headerless sound begins with but by a rare accident.
_STRONG = ("wav", "flac", "ogg", "matroska")
# Enough to tell a format, and to hold all of a WAV header but odd ones.
_HEAD, _WAV_HEAD = 12, 65_536


class Sound:
    """One recording, or one stream of it in chunks."""

    def __init__(self, asked: Asked, source: Iterator[bytes] | bytes) -> None:
        self._asked, self._source = asked, source
        self._live: LiveSound | None = None

    def close(self) -> None:
        """Let go of the decoder."""
        if self._live is not None:
            self._live.close()

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        """The samples of each channel at 16 kHz, block by block; nothing where nothing came."""
        if isinstance(self._source, bytes):
            if not self._source:
                return
            self._live = self._of(self._source, self._source)
        else:
            head, rest = _peek(self._source, _HEAD)
            if not head:
                return
            if head[:4] == b"RIFF":
                while wav.header(head) is None and len(head) < _WAV_HEAD:
                    more, rest = _peek(rest, 1)
                    if not more:
                        break
                    head += more
            self._live = self._of(head, itertools.chain([head], rest))
        self._live.open()
        self._check(self._live)
        yield from self._live.blocks(RATE)

    def _of(self, head: bytes, source: Iterator[bytes] | bytes) -> LiveSound:
        asked = self._asked
        kind = _SNIFFED.get(sniff.audio_type(head) or "", "")
        if not asked.encoding:
            if not kind:
                raise InvalidMediaError(
                    "Audio data does not appear to be in a supported encoding. If you believe "
                    "this to be incorrect, try explicitly specifying the decoding parameters."
                )
            return self._wav(head, source) if kind == "wav" else LiveSound(source, kind=kind)
        if asked.encoding in RAW and kind == "wav":
            return self._wav(head, source)
        wanted = _DEMUXERS.get(asked.encoding, "")
        if kind in _STRONG and kind != wanted:
            raise bad("encoding", "encoding", f"{asked.encoding} is not what the audio is: {kind}.")
        if wanted:
            magic = MAGIC.get(asked.encoding, b"")
            if magic and not head.startswith(b"#!AMR"):
                source = magic + source if isinstance(source, bytes) else _after(magic, source)
            return LiveSound(source, kind=wanted)
        if not asked.sample_rate:
            raise bad("sample rate hertz", "sampleRateHertz", "Headerless audio does not tell it.")
        return LiveSound(
            source,
            raw=RAW[asked.encoding],
            sample_rate=asked.sample_rate,
            channels=asked.channels or 1,
        )

    def _wav(self, head: bytes, source: Iterator[bytes] | bytes) -> LiveSound:
        """Plain samples behind a header need no decoder, which would wait for 64 KB."""
        found = wav.header(head)
        if found is None or not found.is_pcm16:
            return LiveSound(source, kind="wav")
        if isinstance(source, bytes):
            source = source[found.start : found.stop]
        else:
            source = _without(source, found.start)
        return LiveSound(source, raw="pcm", sample_rate=found.sample_rate, channels=found.channels)

    def _check(self, live: LiveSound) -> None:
        """What a header says must be what was asked for."""
        asked = self._asked
        if asked.encoding in ("OGG_OPUS", "WEBM_OPUS", "MP3"):
            return  # Opus is decoded at 48 kHz whatever it was recorded at
        if asked.sample_rate and asked.sample_rate != live.sample_rate:
            raise InvalidRequestError(
                f"sample_rate_hertz ({asked.sample_rate}) in RecognitionConfig must either be "
                f"unspecified or match the value in the audio's header ({live.sample_rate}).",
                param="config.sampleRateHertz",
            )
        if asked.channels and asked.channels != live.channels:
            raise InvalidRequestError(
                f"audio_channel_count ({asked.channels}) in RecognitionConfig must either be "
                f"unspecified or match the value in the audio's header ({live.channels}).",
                param="config.audioChannelCount",
            )


def whole(asked: Asked, data: bytes, longest: float, too_long: str) -> list[bytes]:
    """The samples of each channel to recognise. InvalidRequestError says ``too_long`` of a
    recording of more than ``longest`` seconds.
    """
    if not data:
        raise InvalidRequestError("RecognitionAudio not set.", param="audio")
    channels: list[bytearray] = []
    sound = Sound(asked, data)
    try:
        for block in sound.blocks():
            # More than the first are taken only where each is recognised by itself.
            mine = block[: asked.channels or None] if asked.separate else block[:1]
            channels = channels or [bytearray() for _ in mine]
            for channel, samples in zip(channels, mine, strict=False):
                channel.extend(samples)
            length = len(channels[0]) / (2 * RATE)
            if length > longest:
                raise InvalidRequestError(too_long, param="audio")
            limits.check_seconds(length * len(channels), "The audio")
    finally:
        sound.close()
    if not channels or not channels[0]:
        raise InvalidMediaError("The audio holds 0 seconds of sound.")
    return [bytes(channel) for channel in channels]


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return head, chunks


def _after(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _without(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[count:]
        count = max(0, count - len(chunk))
