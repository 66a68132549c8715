"""A recording: its bytes, what they are, and its samples when asked."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ogam.errors import InvalidMediaError, InvalidRequestError, NotConfiguredError
from ogam.extras import needs
from ogam.media import codec, files, limits, sniff, wav
from ogam.media import source as sources
from ogam.media.codec import Format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MEDIA_TYPE_TO_FORMAT = {media_type: kind for kind, (_, _, media_type) in codec.FORMATS.items()}
_ENDINGS: dict[str, Format] = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".flac": "flac",
    ".opus": "opus",
    ".ogg": "opus",
    ".aac": "aac",
    ".pcm": "pcm",
    ".raw": "pcm",
    ".ulaw": "mulaw",
    ".alaw": "alaw",
}
# Programs that play a WAV file and end, by preference; the first that exists is used.
_PLAYERS = (
    ("afplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"),
    ("paplay",),
    ("aplay", "-q"),
    ("play", "-q"),
)
# A higher rate is no recording but a wrong argument; FFmpeg's limit is far above.
_RATES = range(1000, 768_001)


class Pcm:
    """Samples: 16-bit little-endian, interleaved. ``data`` has 2 x channels bytes a frame."""

    __slots__ = ("channels", "data", "sample_rate")

    def __init__(self, data: bytes, sample_rate: int, channels: int) -> None:
        self.data, self.sample_rate, self.channels = data, sample_rate, channels

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return len(self.data) / (2 * self.channels * self.sample_rate)

    def numpy(self) -> NDArray[np.float32]:
        """float32 from -1 to 1, shape (frames, channels)."""
        with needs("local"):
            import numpy as np
        values = np.frombuffer(self.data, dtype="<i2").reshape(-1, self.channels)
        return values.astype(np.float32) / np.float32(32768)


class Audio:
    """A recording, from a path, bytes, a binary file object, a data URL or a NumPy array.

    An array needs ``sample_rate``; its shape is (frames,) or (frames, channels) with one or
    two channels, its dtype a float from -1 to 1, or int16. Headerless bytes need
    ``encoding`` ("pcm", 16-bit little-endian; "mulaw"; "alaw"), ``sample_rate`` and, when
    there are two, ``channels``. All else is found in the bytes themselves.

    Raises InvalidMediaError for bytes that are no recording, TooLargeError for one over
    the limits, which are checked before decoding and again while it goes on.
    """

    __slots__ = ("_pcm", "channels", "data", "encoding", "media_type", "name", "sample_rate")

    def __init__(
        self,
        source: sources.Source | Audio | NDArray[Any],
        *,
        sample_rate: int | None = None,
        encoding: Literal["pcm", "mulaw", "alaw"] | None = None,
        channels: int = 1,
    ) -> None:
        # The last samples made, and the (rate, channels) they were asked for with.
        self._pcm: tuple[tuple[int | None, int | None], Pcm] | None = None
        self.encoding: str | None = encoding
        self.channels, self.sample_rate = channels, sample_rate
        if isinstance(source, Audio):
            for slot in self.__slots__:
                setattr(self, slot, getattr(source, slot))
            return
        if hasattr(source, "__array_interface__"):
            self.name, self.encoding = "The array", "pcm"
            self.data, self.channels = _from_array(source)
        else:
            self.data, self.name = sources.read(source, "audio")  # pyright: ignore[reportArgumentType]
        if self.encoding is not None:
            self._check_raw()
            self.media_type = codec.FORMATS[self.encoding][2]
            return
        found = sniff.audio_type(self.data)
        if found is None:
            kind = sniff.image_type(self.data)
            raise InvalidMediaError(
                f"{self.name} is not audio{f' but {kind}' if kind else ''}.",
                hint="Give WAV, MP3, FLAC, Ogg, M4A or WebM; headerless samples need "
                "encoding= and sample_rate=.",
            )
        self.media_type = found
        if (head := wav.header(self.data)) is not None:
            if head.claimed_seconds is not None:
                limits.check_seconds(head.claimed_seconds, self.name)
            if head.stop == head.start:
                raise InvalidMediaError(f"{self.name} holds 0 seconds of sound.")
            self.sample_rate, self.channels = head.sample_rate, head.channels

    @classmethod
    def from_pcm(cls, data: bytes, sample_rate: int, channels: int = 1) -> Audio:
        """A WAV recording of 16-bit little-endian samples; zero samples are allowed."""
        audio = cls.__new__(cls)
        audio.data = wav.write(data, sample_rate, channels)
        audio.media_type, audio.encoding, audio.name = "audio/wav", None, "The audio"
        audio.sample_rate, audio.channels = sample_rate, channels
        audio._pcm = None
        return audio

    def __repr__(self) -> str:
        return f"Audio({self.media_type}, {len(self.data):,} bytes)"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Audio)
            and (other.data, other.encoding) == (self.data, self.encoding)
            and (not self.encoding or other.sample_rate == self.sample_rate)
        )

    def __hash__(self) -> int:
        return hash(self.data)

    @property
    def duration(self) -> float:
        """Seconds of sound, by decoding."""
        head = wav.header(self.data)
        if head is not None and head.is_pcm16:
            return (head.stop - head.start) / (2 * head.channels * head.sample_rate)
        return self.pcm().seconds

    def pcm(self, sample_rate: int | None = None, channels: int | None = None) -> Pcm:
        """The samples, resampled and mixed where asked. More than two channels become two."""
        asked = (sample_rate, channels)
        if self._pcm is None or self._pcm[0] != asked:
            parts = list(self._decode(sample_rate, channels))
            data = b"".join(part for part, _, _ in parts)
            if not data:
                raise InvalidMediaError(f"{self.name} holds 0 seconds of sound.")
            self._pcm = asked, Pcm(data, *parts[0][1:])
        return self._pcm[1]

    def blocks(self, sample_rate: int, channels: int = 1) -> Iterator[bytes]:
        """The samples piece by piece, decoded as they are taken: for long recordings."""
        for part, _, _ in self._decode(sample_rate, channels):
            yield part

    def encode(
        self, kind: Format, *, sample_rate: int | None = None, bitrate: int | None = None
    ) -> Audio:
        """This recording as ``kind``, at ``sample_rate`` Hz and ``bitrate`` bits a second.

        mp3, opus and aac have fixed rates; the nearest that is not lower is taken. Opus
        files are Ogg, aac files ADTS; pcm, mulaw and alaw have no header.
        """
        if sample_rate is not None:
            _check_rate(sample_rate)
        same_kind = _MEDIA_TYPE_TO_FORMAT.get(self.media_type) == kind and bitrate is None
        if same_kind and kind != "opus" and sample_rate in (None, self.sample_rate):
            return self
        samples = self.pcm()
        if kind == "wav" and sample_rate in (None, samples.sample_rate):
            return Audio.from_pcm(samples.data, samples.sample_rate, samples.channels)
        data, rate = codec.encode(
            samples.data,
            samples.sample_rate,
            samples.channels,
            kind,
            to_rate=sample_rate,
            bitrate=bitrate,
        )
        if kind in codec.RAW:
            return Audio(data, encoding=kind, sample_rate=rate, channels=samples.channels)  # pyright: ignore[reportArgumentType]
        return Audio(data)

    def save(self, path: str | os.PathLike[str], *, sample_rate: int | None = None) -> None:
        """Write the recording in the format of the path's ending, whole or not at all."""
        ending = files.ending(path)
        kind = _ENDINGS.get(ending)
        if kind is None:
            raise InvalidRequestError(
                f"Sound cannot be saved as {files.told(ending)}.",
                hint=f"Endings: {' '.join(_ENDINGS)}.",
            )
        files.write(path, self.encode(kind, sample_rate=sample_rate).data)

    def play(self) -> None:
        """Play it and wait until it ends.

        Raises NotConfiguredError where no player is installed.
        """
        import shutil
        import subprocess
        import tempfile

        if sys.platform == "win32":
            import winsound

            winsound.PlaySound(self.encode("wav").data, winsound.SND_MEMORY)
            return
        player = next((command for command in _PLAYERS if shutil.which(command[0])), None)
        if player is None:
            raise NotConfiguredError(
                "No program here plays sound.",
                hint="Install ffmpeg, alsa-utils or pulseaudio-utils, or save the file instead.",
            )
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(self.encode("wav").data)
            file.flush()
            done = subprocess.run([*player, file.name], capture_output=True, check=False)
        if done.returncode:
            raise NotConfiguredError(
                f"{player[0]} could not play: {done.stderr.decode(errors='replace')[:200]}",
                hint="Is a sound card there? Save the file instead.",
            )

    def _repr_html_(self) -> str:
        plays = self.encoding is None and self.media_type in (
            "audio/wav",
            "audio/mpeg",
            "audio/flac",
            "audio/ogg",
            "audio/aac",
            "audio/mp4",
            "audio/webm",
        )
        shown = self if plays else self.encode("wav")
        payload = base64.b64encode(shown.data).decode()
        return f'<audio controls src="data:{shown.media_type};base64,{payload}"></audio>'

    def _decode(
        self, sample_rate: int | None, channels: int | None
    ) -> Iterator[tuple[bytes, int, int]]:
        if sample_rate is not None:
            _check_rate(sample_rate)
        plain = self._plain()
        if plain is not None and (sample_rate or plain.sample_rate, channels or plain.channels) == (
            plain.sample_rate,
            plain.channels,
        ):
            limits.check_seconds(plain.seconds, self.name)
            yield plain.data, plain.sample_rate, plain.channels
            return
        yield from codec.decode(
            self.data,
            self.name,
            raw=self.encoding,
            raw_rate=self.sample_rate or 0,
            raw_channels=self.channels,
            sample_rate=sample_rate,
            channels=channels,
        )

    def _plain(self) -> Pcm | None:
        """The samples where they stand in the bytes as they are; saves loading FFmpeg."""
        if self.encoding == "pcm" and self.sample_rate:
            whole = len(self.data) - len(self.data) % (2 * self.channels)
            return Pcm(self.data[:whole], self.sample_rate, self.channels)
        head = wav.header(self.data)
        if head is None or not head.is_pcm16 or head.channels > 2:
            return None
        data = self.data[head.start : head.stop]
        whole = len(data) - len(data) % (2 * head.channels)
        return Pcm(data[:whole], head.sample_rate, head.channels)

    def _check_raw(self) -> None:
        if self.encoding not in codec.RAW:
            raise InvalidRequestError(
                f"There is no headerless encoding {self.encoding!r}.",
                hint=f"Encodings: {', '.join(codec.RAW)}.",
                param="encoding",
            )
        if self.sample_rate is None:
            raise InvalidRequestError(
                "Headerless audio does not tell its rate.",
                hint="Give sample_rate=, in Hz.",
                param="sample_rate",
            )
        _check_rate(self.sample_rate)
        if self.channels not in (1, 2):
            raise InvalidRequestError(
                f"Headerless audio has 1 or 2 channels, not {self.channels}.", param="channels"
            )


def _check_rate(rate: int) -> None:
    if rate not in _RATES:
        raise InvalidRequestError(
            f"A sample rate of {rate} Hz is out of range.",
            hint=f"From {_RATES.start} to {_RATES.stop - 1}.",
            param="sample_rate",
        )


def _from_array(array: Any) -> tuple[bytes, int]:
    with needs("local"):
        import numpy as np
    values = np.asarray(array)
    channels = 1 if values.ndim == 1 else values.shape[-1]
    is_float = np.issubdtype(values.dtype, np.floating)
    if (
        values.ndim not in (1, 2)
        or channels not in (1, 2)
        or not (is_float or values.dtype == np.int16)
    ):
        raise InvalidRequestError(
            f"Sound cannot be made from an array of shape {values.shape} and {values.dtype}.",
            hint="Shape (frames,) or (frames, 1 or 2); dtype float from -1 to 1, or int16.",
        )
    if values.size == 0:
        raise InvalidMediaError("The array is empty.")
    if is_float:
        if not np.isfinite(values).all():
            raise InvalidMediaError("The array holds NaN or infinity.")
        values = np.round(np.clip(values, -1, 1 - 2**-15) * 32768)
    return values.astype("<i2").tobytes(), channels
