"""Sound decoded while it arrives: chunks of a file in, blocks of samples out, channel by channel.

The chunks come from an iterator that may wait, and so does the decoder: nothing is read
ahead that a block does not need. A whole file is an iterator of one chunk. Knows no source
and no limit; memory holds one chunk and what the slowest channel has not taken.
"""

# PyAV leaves the type parameter of its packets open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from ogam.errors import InvalidMediaError
from ogam.extras import needs
from ogam.media.codec import RAW

# As many as FFmpeg's resampler takes.
MAX_CHANNELS = 8
# As small as FFmpeg takes it: headers are found in the first bytes, not after 5 MB.
_EAGER = {"probesize": "1024", "analyzeduration": "0"}


class LiveSound:
    """Sound that arrives in ``chunks``, or is there already as bytes.

    ``sample_rate`` and ``channels`` are the source's own, known once :meth:`open` has read the
    header (which waits for it).

    With ``raw`` ("pcm", "mulaw", "alaw") the chunks are headerless, at ``sample_rate`` with
    ``channels``. Otherwise ``kind`` names FFmpeg's demuxer. Raises
    InvalidMediaError for what does not decode. One thread at a time.
    """

    def __init__(
        self,
        chunks: Iterator[bytes] | bytes,
        *,
        raw: str = "",
        kind: str = "",
        sample_rate: int = 0,
        channels: int = 1,
    ) -> None:
        self._pipe = _Pipe(iter([chunks]) if isinstance(chunks, bytes) else chunks)
        # Only this must be sought in; all else decodes to the same samples as it does live.
        self._file = (
            io.BytesIO(chunks) if isinstance(chunks, bytes) and kind == "mov" else self._pipe
        )
        self._raw, self._kind = raw, kind
        self.sample_rate: int = sample_rate
        self.channels: int = channels
        self._container: Any = None

    def open(self) -> None:
        """Read the header."""
        if self._raw == "pcm":
            return
        with needs("local"):
            import av
            import av.error
        options = {"protocol_whitelist": "none", **_EAGER}
        if self._raw:
            layout = "mono" if self.channels == 1 else f"{self.channels}c"
            options = {"sample_rate": str(self.sample_rate), "ch_layout": layout}
        try:
            self._container = av.open(
                self._file,
                mode="r",
                format=RAW[self._raw] if self._raw else self._kind,
                options=options,
                buffer_size=4096,
            )
        except av.error.FFmpegError as error:
            self._pipe.check()
            raise _damaged(error) from None
        streams = self._container.streams.audio
        if not streams:
            raise InvalidMediaError("There is no sound in it.", hint="Send a recording.")
        context: Any = streams[0].codec_context
        if not context.sample_rate:
            raise _damaged(None)
        self.sample_rate, self.channels = context.sample_rate, context.layout.nb_channels

    def blocks(self, sample_rate: int) -> Iterator[tuple[bytes, ...]]:
        """Each channel's samples, 16-bit little-endian at ``sample_rate``, block by block."""
        if self._raw == "pcm" and (self.sample_rate, self.channels) == (sample_rate, 1):
            # As it stands; saves loading FFmpeg, and waits for no full block.
            yield from ((block,) for block in _whole(self._pipe, 2))
            return
        with needs("local"):
            import av
        resampler = av.AudioResampler(format="s16p", rate=sample_rate)
        fed = False
        for frame in self._frames():
            fed = True
            for piece in resampler.resample(frame):
                yield _planes(piece)
        if fed:
            for piece in resampler.resample(None):
                yield _planes(piece)

    def close(self) -> None:
        """Let go of the decoder."""
        if self._container is not None:
            self._container.close()

    def _frames(self) -> Iterator[Any]:
        import av
        import av.error

        if self._raw == "pcm":
            layout = "mono" if self.channels == 1 else f"{self.channels}c"
            place = 0
            for block in _whole(self._pipe, 2 * self.channels):
                samples = len(block) // (2 * self.channels)
                frame = av.AudioFrame(format="s16", layout=layout, samples=samples)
                frame.planes[0].update(block.ljust(frame.planes[0].buffer_size, b"\x00"))
                frame.sample_rate, frame.pts = self.sample_rate, place
                place += samples
                yield frame
            return
        failure: Exception | None = None
        decoded = False
        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                break
            except av.error.InvalidDataError as error:
                failure = error  # a damaged packet is left out, as FFmpeg does
                continue
            except av.error.FFmpegError as error:
                failure = error
                break
            decoded = decoded or bool(frames)
            yield from frames
        self._pipe.check()
        if not decoded:
            raise _damaged(failure)


class Channels:
    """Sound taken by several readers at once, one for each channel, each in a thread of its own.

    ``seconds`` is how much has been decoded. ``check(seconds)`` is asked at each block.
    """

    def __init__(
        self, blocks: Iterator[tuple[bytes, ...]], count: int, sample_rate: int, check: Any = None
    ) -> None:
        self._blocks, self._lock = blocks, threading.Lock()
        self._waiting: list[deque[bytes]] = [deque() for _ in range(count)]
        self._rate, self._check, self._samples, self._ended = sample_rate, check, 0, False

    @property
    def seconds(self) -> float:
        """How much sound has been decoded."""
        return self._samples / self._rate

    def reader(self, channel: int) -> Iterator[bytes]:
        """The blocks of one channel, the first being 0."""
        mine = self._waiting[channel]
        while True:
            if not mine:
                with self._lock:  # whoever waits first decodes for all
                    if not mine and not self._pull():
                        return
            yield mine.popleft()

    def _pull(self) -> bool:
        block = None if self._ended else next(self._blocks, None)
        if block is None:
            self._ended = True
            return False
        self._samples += len(block[0]) // 2
        if self._check is not None:
            self._check(self.seconds)
        for waiting, part in zip(self._waiting, block, strict=False):
            waiting.append(part)
        return True


class _Pipe:
    """What FFmpeg reads from: it waits for the next chunk, and never seeks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""
        self._failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end."""
        if not self._left:
            self._left = self._next()
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def __iter__(self) -> Iterator[bytes]:
        while block := self._next():
            yield block
        self.check()

    def check(self) -> None:
        """Raise what the chunks' iterator raised."""
        if self._failure is not None:
            raise self._failure

    def _next(self) -> bytes:
        # FFmpeg's C code cannot carry an exception: the sound ends, and check() raises it.
        try:
            block = next((one for one in self._chunks if one), b"")
        except BaseException as error:
            self._failure = error
            return b""
        return block


def _whole(blocks: Any, size: int) -> Iterator[bytes]:
    """The same bytes with no frame of ``size`` bytes cut in two; half a one at the end is lost."""
    left = b""
    for block in blocks:
        data = left + block
        whole = len(data) - len(data) % size
        left = data[whole:]
        if whole:
            yield data[:whole]


def _planes(frame: Any) -> tuple[bytes, ...]:
    # A plane is padded for alignment; only this much of it is sound. Of eight planes PyAV 18
    # counts nine, and the last is no memory of ours.
    planes = frame.planes[: frame.layout.nb_channels]
    return tuple(bytes(memoryview(plane)[: frame.samples * 2]) for plane in planes)


def _damaged(error: Exception | None) -> InvalidMediaError:
    why = getattr(error, "strerror", None) or "nothing in it decodes"
    return InvalidMediaError(
        f"The audio cannot be decoded: {why}.", hint="Does it have the encoding it is said to have?"
    )
