"""What bytes are, by their first bytes and never by a file's name.

Sources of the signatures: the IANA media type registrations and the WHATWG MIME
Sniffing Standard (https://mimesniff.spec.whatwg.org/).
"""

from __future__ import annotations

_AUDIO = (
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
    (b"#!AMR", "audio/amr"),
    (b".snd", "audio/basic"),
    (b"caff", "audio/x-caf"),
    (b"wvpk", "audio/x-wavpack"),
    (b"0&\xb2u\x8ef\xcf\x11", "audio/x-ms-wma"),
    (b"riff\x2e\x91\xcf\x11", "audio/x-w64"),
    (b"MAC ", "audio/x-ape"),
)
_IMAGE = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
)
# MPEG audio frame header, ISO/IEC 11172-3 2.4.2.3: bit rates in kbit/s by index.
_RATES_V1 = (44100, 48000, 32000)
_BITRATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def audio_type(data: bytes) -> str | None:
    """The media type of audio (or of a film with sound), None if it is none we know."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "video/x-msvideo"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "audio/mp4"
    for magic, media_type in _AUDIO:
        if data.startswith(magic):
            return media_type
    if len(data) > 188 and data[0] == 0x47 == data[188]:
        return "video/mp2t"
    if data[:1] == b"\xff" and len(data) > 4:
        # Two sync words in a row: random bytes show one header in a few thousand files,
        # a second one exactly where the first says almost never.
        step = _adts_length(data, 0)
        if step and _adts_length(data, step) is not None:
            return "audio/aac"
        step = _mpeg_length(data, 0)
        if step and (len(data) < step + 4 or _mpeg_length(data, step) is not None):
            return "audio/mpeg"
    return None


def image_type(data: bytes) -> str | None:
    """The media type of a picture, None if it is none we know."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        return "image/heic"
    for magic, media_type in _IMAGE:
        if data.startswith(magic):
            return media_type
    return None


def _adts_length(data: bytes, at: int) -> int | None:
    """The frame length of an ADTS header at ``at`` (ISO/IEC 13818-7), None if there is none."""
    if len(data) < at + 7:
        return 0 if len(data) == at else None
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= 7 else None


def _mpeg_length(data: bytes, at: int) -> int | None:
    """The frame length of an MPEG audio header at ``at``, None if there is none."""
    if len(data) < at + 4:
        return None
    first, second, third = data[at], data[at + 1], data[at + 2]
    version = {3: 1, 2: 2, 0: 3}.get(second >> 3 & 3)  # MPEG 1, 2, 2.5
    layer = 4 - (second >> 1 & 3)
    bitrate_index, rate_index = third >> 4, third >> 2 & 3
    if first != 0xFF or second & 0xE0 != 0xE0 or version is None or layer == 4:
        return None
    if bitrate_index in (0, 15) or rate_index == 3:
        return None
    rate = _RATES_V1[rate_index] >> (version - 1)
    bitrate = _BITRATES[min(version, 2), layer][bitrate_index] * 1000
    padding = third >> 1 & 1
    if layer == 1:
        return (12 * bitrate // rate + padding) * 4
    samples = 72 if layer == 3 and version > 1 else 144
    return samples * bitrate // rate + padding
