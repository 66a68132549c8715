"""WAV headers, read and written without a decoder: the format Ogam's own engines speak.

Reading is lenient where the world is (a size of 0 or 0xFFFFFFFF from a pipe, a file cut
short) and never trusts a size beyond the bytes that are there.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_PCM, _EXTENSIBLE = 1, 0xFFFE
# What writers put where they could not know the length: ffmpeg, sox, arecord.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)


class Header(NamedTuple):
    """``codec`` is the format tag. ``start``:``stop`` is the sound; ``claimed_seconds`` is what
    the header says, None where it says nothing.
    """

    codec: int
    channels: int
    sample_rate: int
    bits: int
    start: int
    stop: int
    claimed_seconds: float | None

    @property
    def is_pcm16(self) -> bool:
        """Whether the sound is plain 16-bit PCM."""
        return self.codec == _PCM and self.bits == 16


def header(data: bytes) -> Header | None:
    """Parse a RIFF/WAVE header, None where there is no usable one."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, fmt = 12, None
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = at + 8
        if name == b"fmt " and body + 16 <= len(data):
            codec, channels, rate, byte_rate, _, bits = struct.unpack_from("<HHIIHH", data, body)
            if codec == _EXTENSIBLE and size >= 26 and body + 26 <= len(data):
                codec = int.from_bytes(data[body + 24 : body + 26], "little")
            fmt = (codec, channels, rate, byte_rate, bits)
        elif name == b"data":
            if fmt is None or not fmt[1] or not fmt[2]:
                return None
            codec, channels, rate, byte_rate, bits = fmt
            claimed = None
            if size not in _UNKNOWN_SIZES and byte_rate:
                claimed = size / byte_rate
            unknown = size in _UNKNOWN_SIZES
            stop = len(data) if unknown else min(body + size, len(data))
            return Header(codec, channels, rate, bits, body, stop, claimed)
        at = body + size + (size & 1)
    return None


def write(pcm: bytes, sample_rate: int, channels: int) -> bytes:
    """A WAV file of 16-bit little-endian ``pcm``."""
    return (
        struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            (36 + len(pcm)) & 0xFFFFFFFF,
            b"WAVE",
            b"fmt ",
            16,
            _PCM,
            channels,
            sample_rate,
            sample_rate * channels * 2,
            channels * 2,
            16,
            b"data",
            len(pcm) & 0xFFFFFFFF,
        )
        + pcm
    )
