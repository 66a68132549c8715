"""Decoding and encoding sound with FFmpeg's libraries (PyAV). Bytes in, bytes out.

Knows no file and no limit but the one on seconds, which it holds while it decodes.
"""

# PyAV leaves the type parameter of its packets open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, cast

from ogam.errors import InvalidMediaError, InvalidRequestError
from ogam.extras import needs
from ogam.media import limits

if TYPE_CHECKING:
    import av.audio.frame
    import av.audio.stream
    import av.container

Format = Literal["wav", "mp3", "flac", "opus", "aac", "pcm", "mulaw", "alaw"]

# format -> (FFmpeg container, codec, media type)
FORMATS: dict[str, tuple[str, str, str]] = {
    "wav": ("wav", "pcm_s16le", "audio/wav"),
    "mp3": ("mp3", "libmp3lame", "audio/mpeg"),
    "flac": ("flac", "flac", "audio/flac"),
    "opus": ("ogg", "libopus", "audio/ogg"),
    "aac": ("adts", "aac", "audio/aac"),
    "pcm": ("s16le", "pcm_s16le", "audio/pcm"),
    "mulaw": ("mulaw", "pcm_mulaw", "audio/basic"),
    "alaw": ("alaw", "pcm_alaw", "audio/x-alaw"),
}
# Raw encodings have no header: their rate and channels come from the caller.
RAW: dict[str, str] = {"pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw"}


def decode(
    data: bytes,
    name: str,
    *,
    raw: str | None = None,
    raw_rate: int = 0,
    raw_channels: int = 1,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Iterator[tuple[bytes, int, int]]:
    """Yield (s16le interleaved, sample rate, channels) block by block.

    With ``raw`` the bytes are headerless in that encoding. A damaged packet is left out, as
    FFmpeg does; bytes in which nothing decodes raise InvalidMediaError.
    """
    with needs("local"):
        import av
        import av.error

    options = {"protocol_whitelist": "none"}  # playlists must not open files or addresses
    container_format: str | None = None
    if raw is not None:
        container_format = RAW[raw]
        layout = "mono" if raw_channels == 1 else "stereo"
        options |= {"sample_rate": str(raw_rate), "ch_layout": layout}
    try:
        with av.open(
            io.BytesIO(data), mode="r", format=container_format, options=options
        ) as container:
            yield from _blocks(container, name, sample_rate, channels)
    except av.error.FFmpegError as error:
        raise _damaged(name, error) from None


def _blocks(
    container: av.container.InputContainer, name: str, rate: int | None, channels: int | None
) -> Iterator[tuple[bytes, int, int]]:
    import av
    import av.error

    if not container.streams.audio:
        raise InvalidMediaError(f"{name} has no sound in it.", hint="Give a recording.")
    stream = container.streams.audio[0]
    if container.duration:
        limits.check_seconds(container.duration / av.time_base, name)
    resampler = None
    samples, failure = 0, None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            failure = error
            continue
        for frame in frames:
            if resampler is None:
                rate = rate or frame.sample_rate
                channels = channels or min(frame.layout.nb_channels, 2)
                resampler = av.AudioResampler(
                    format="s16", layout="mono" if channels == 1 else "stereo", rate=rate
                )
            for piece in resampler.resample(frame):
                samples += piece.samples
                limits.check_seconds(samples / (rate or 1), name)
                yield _bytes(piece, channels or 1), rate or 0, channels or 1
    if resampler is None:
        raise _damaged(name, failure)
    for piece in resampler.resample(None):
        yield _bytes(piece, channels or 1), rate or 0, channels or 1


def encode(
    pcm: bytes,
    sample_rate: int,
    channels: int,
    kind: str,
    *,
    to_rate: int | None = None,
    bitrate: int | None = None,
) -> tuple[bytes, int]:
    """Encode s16le ``pcm`` as ``kind``; return (bytes, the rate they have).

    A codec that has only some rates (mp3, opus, aac) gets the nearest one that is not lower.
    """
    with needs("local"):
        import av
        import av.error

    if kind not in FORMATS:
        raise InvalidRequestError(
            f"There is no audio format {kind!r}.", hint=f"Formats: {', '.join(FORMATS)}."
        )
    container_format, codec, _ = FORMATS[kind]
    layout = "mono" if channels == 1 else "stereo"
    rate = _allowed_rate(codec, to_rate or sample_rate)
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=container_format) as container:
            stream = cast(
                "av.audio.stream.AudioStream", container.add_stream(codec, rate, layout=layout)
            )
            if bitrate:
                stream.bit_rate = bitrate
            resampler = av.AudioResampler(
                format=stream.codec_context.format,
                layout=layout,
                rate=rate,
                frame_size=stream.codec_context.frame_size or 0,
            )
            for frame in itertools.chain(_frames(pcm, sample_rate, channels), (None,)):
                for piece in resampler.resample(frame):
                    for packet in stream.encode(piece):
                        container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)
    except av.error.FFmpegError as error:
        raise InvalidRequestError(
            f"{kind} cannot be written at {rate} Hz: {error.strerror}."
        ) from None
    return buffer.getvalue(), rate


class StreamEncoder:
    """Encodes sound while it is made: s16le in, the bytes of one file out, piece by piece.

    ``rate`` is the rate that comes out, chosen as in :func:`encode`. Nothing is ever mended
    afterwards, so a WAV header says that its length is unknown and an MP3 has no table of
    contents. An MP3 stays 50 ms behind its input, FLAC 200 ms at 22,050 Hz. Not for two
    threads at once; closing twice is fine.
    """

    def __init__(
        self,
        kind: str,
        sample_rate: int,
        channels: int = 1,
        *,
        to_rate: int | None = None,
        bitrate: int | None = None,
    ) -> None:
        if kind not in FORMATS:
            raise InvalidRequestError(
                f"There is no audio format {kind!r}.", hint=f"Formats: {', '.join(FORMATS)}."
            )
        self._sample_rate, self._channels = sample_rate, channels
        self._sink, self._fed, self._odd = _Sink(), 0, b""
        self._container: av.container.OutputContainer | None = None
        self.rate = to_rate or sample_rate
        if kind == "pcm" and self.rate == sample_rate:
            return  # as it stands; saves loading FFmpeg
        with needs("local"):
            import av
            import av.error

        container_format, codec, _ = FORMATS[kind]
        layout = "mono" if channels == 1 else "stereo"
        self.rate = _allowed_rate(codec, self.rate)
        try:
            self._container = av.open(
                self._sink, "w", format=container_format, container_options=_STREAMED
            )
            self._stream = cast(
                "av.audio.stream.AudioStream",
                self._container.add_stream(codec, self.rate, layout=layout),
            )
            if bitrate:
                self._stream.bit_rate = bitrate
            self._resampler = av.AudioResampler(
                format=self._stream.codec_context.format,
                layout=layout,
                rate=self.rate,
                frame_size=self._stream.codec_context.frame_size or 0,
            )
        except av.error.FFmpegError as error:
            raise InvalidRequestError(
                f"{kind} cannot be written at {self.rate} Hz: {error.strerror}."
            ) from None

    def feed(self, pcm: bytes) -> bytes:
        """What is ready once ``pcm`` is there too; may be empty. A frame may be cut in two."""
        pcm = self._odd + pcm
        whole = len(pcm) - len(pcm) % (2 * self._channels)
        pcm, self._odd = pcm[:whole], pcm[whole:]
        if self._container is None:
            return pcm
        for frame in _frames(pcm, self._sample_rate, self._channels, self._fed):
            self._fed += frame.samples
            self._write(frame)
        return self._sink.take()

    def flush(self) -> bytes:
        """The rest, and the end of the file. Nothing can be fed any more."""
        if self._container is None:
            return b""
        if self._fed:
            self._write(None)
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        self.close()
        return self._sink.take()

    def close(self) -> None:
        """Let go of the encoder, whether all was fed or not."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _write(self, frame: av.audio.frame.AudioFrame | None) -> None:
        assert self._container is not None
        for piece in self._resampler.resample(frame):
            for packet in self._stream.encode(piece):
                self._container.mux(packet)


# Each packet goes out at once; an Ogg page holds 20 ms instead of a second.
_STREAMED = {
    "flush_packets": "1",
    "write_xing": "0",
    "id3v2_version": "0",
    "page_duration": "20000",
}


class _Sink:
    """A file that can only be written to, so that no muxer goes back in it."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._data)
        self._data.clear()
        return taken


def _allowed_rate(codec: str, rate: int) -> int:
    import av

    rates = av.Codec(codec, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((one for one in rates if one >= rate), default=max(rates))


def _frames(
    pcm: bytes, sample_rate: int, channels: int, at: int = 0
) -> Iterator[av.audio.frame.AudioFrame]:
    """``pcm`` second by second, the first sample being number ``at``.

    Resampled as one frame, two minutes of speech held 150 MB for a moment.
    """
    import av

    step = sample_rate * 2 * channels
    for start in range(0, len(pcm), step):
        part = pcm[start : start + step]
        frame = av.AudioFrame(
            format="s16",
            layout="mono" if channels == 1 else "stereo",
            samples=len(part) // (2 * channels),
        )
        frame.planes[0].update(part.ljust(frame.planes[0].buffer_size, b"\x00"))
        frame.sample_rate = sample_rate
        frame.pts = at + start // (2 * channels)
        yield frame


def _bytes(frame: av.audio.frame.AudioFrame, channels: int) -> bytes:
    # A plane is padded for alignment; only this much of it is sound.
    return bytes(memoryview(frame.planes[0])[: frame.samples * 2 * channels])


def _damaged(name: str, error: Exception | None) -> InvalidMediaError:
    why = getattr(error, "strerror", None) or "nothing in it decodes"
    return InvalidMediaError(
        f"{name} cannot be decoded as audio: {why}.", hint="Is the file damaged or cut short?"
    )
