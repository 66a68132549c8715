"""Audio: any source, any format, honest limits."""

from __future__ import annotations

import base64
import io
import math
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.errors import InvalidMediaError, InvalidRequestError, OgamError, TooLargeError
from ogam.media import Audio, limits, wav
from ogam.media.codec import FORMATS

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def pitch_of(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.fixture
def small_limits():
    before = limits.current()
    limits.use(limits.Limits(max_bytes=100_000, max_seconds=2))
    yield
    limits.use(before)


def test_every_source_gives_the_same_sound(tmp_path: Path) -> None:
    data = wav.write((tone() * 20000).astype("<i2").tobytes(), RATE, 1)
    path = tmp_path / "no-ending"
    path.write_bytes(data)
    url = "data:audio/wav;base64," + base64.b64encode(data).decode()
    with path.open("rb") as file:
        sources = [str(path), path, data, bytearray(data), memoryview(data), io.BytesIO(data), url]
        recordings = [Audio(source) for source in [*sources, file]]
    assert {one.pcm().data for one in recordings} == {recordings[0].pcm().data}
    assert {one.media_type for one in recordings} == {"audio/wav"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_every_format_at_every_rate_still_sounds_the_same_note(kind: str, rate: int) -> None:
    written = Audio(tone(), sample_rate=RATE).encode(kind, sample_rate=rate)
    again = written.pcm(RATE, 1).numpy()[:, 0]
    # AAC and MP3 add silence in whole frames of 1,024 and 1,152 samples; 8 kHz makes them long.
    assert len(again) / RATE == pytest.approx(1.0, abs=0.16)
    middle = again[RATE // 4 : RATE * 3 // 4]
    assert pitch_of(middle, RATE) == pytest.approx(440, abs=4)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.354, rel=0.15)


@pytest.mark.parametrize("kind", ["wav", "flac", "pcm"])
def test_lossless_formats_keep_every_sample(kind: str) -> None:
    original = Audio(tone(), sample_rate=RATE)
    assert original.encode(kind).pcm().data == original.pcm().data


@given(
    values=st.lists(st.integers(-32768, 32767), min_size=1, max_size=400),
    channels=st.sampled_from([1, 2]),
    rate=st.sampled_from([8000, 16000, 44100]),
)
def test_pcm_survives_a_wav_file_unchanged(values: list[int], channels: int, rate: int) -> None:
    data = struct.pack(f"<{len(values) * channels}h", *(values * channels))
    audio = Audio(wav.write(data, rate, channels))
    assert (audio.pcm().data, audio.pcm().sample_rate, audio.pcm().channels) == (
        data,
        rate,
        channels,
    )


@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 0.5), ("float64", 0.5), ("float16", 0.5), ("int16", 16384)]
)
def test_arrays_of_floats_and_int16_mean_the_same(dtype: str, scale: float) -> None:
    array = np.full(1000, scale, dtype=dtype)
    assert np.allclose(Audio(array, sample_rate=RATE).pcm().numpy(), 0.5, atol=1e-3)


def test_stereo_arrays_keep_their_sides() -> None:
    array = np.zeros((1000, 2), dtype=np.float32)
    array[:, 1] = 0.25
    samples = Audio(array, sample_rate=RATE).pcm().numpy()
    assert samples.shape == (1000, 2)
    assert np.allclose(samples[:, 0], 0) and np.allclose(samples[:, 1], 0.25, atol=1e-3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((10, 3), np.float32),
        np.zeros((2, 2, 2), np.float32),
        np.zeros(10, np.int32),
        np.zeros(0, np.float32),
        np.array([np.nan], np.float32),
    ],
)
def test_arrays_that_are_no_sound_are_refused_by_name(array: np.ndarray) -> None:
    with pytest.raises(InvalidRequestError):
        Audio(array, sample_rate=RATE)


def test_headerless_audio_needs_its_rate() -> None:
    with pytest.raises(InvalidRequestError, match="sample_rate"):
        Audio(b"\x00\x00", encoding="pcm")
    assert Audio(b"\xff" * 8000, encoding="mulaw", sample_rate=8000).duration == 1.0


@given(data=st.binary(max_size=3000))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_in_one_line_whatever_they_start_with(data: bytes) -> None:
    for start in (b"", b"RIFF\x00\x00\x00\x00WAVE", b"ID3", b"OggS", b"fLaC", b"\xff\xfb\x90"):
        try:
            Audio(start + data).pcm()
        except OgamError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("source", [b"", b"hello", "/nowhere/at/all.wav", "https://x/y.wav", "."])
def test_what_is_no_recording_is_a_clear_error(source: bytes | str) -> None:
    with pytest.raises(InvalidRequestError):
        Audio(source)


def test_a_picture_given_as_audio_is_told_apart() -> None:
    with pytest.raises(InvalidMediaError, match="image/png"):
        Audio(b"\x89PNG\r\n\x1a\n" + bytes(100))


def test_zero_seconds_are_refused() -> None:
    with pytest.raises(InvalidMediaError, match="0 seconds"):
        Audio(wav.write(b"", RATE, 1))


def test_a_header_of_ten_hours_is_refused_before_decoding() -> None:
    data = bytearray(wav.write(b"\x00\x00" * 100, RATE, 1))
    data[40:44] = (10 * 3600 * RATE * 2).to_bytes(4, "little")
    with pytest.raises(TooLargeError, match=r"10\.0 hours"):
        Audio(bytes(data))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_header_written_to_a_pipe_is_read_by_its_bytes(size: int) -> None:
    data = bytearray(wav.write(b"\x01\x00" * RATE, RATE, 1))
    data[40:44] = size.to_bytes(4, "little")
    assert Audio(bytes(data)).duration == 1.0


def test_limits_hold_for_bytes_and_seconds(small_limits: None, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="bytes"):
        Audio(bytes(100_001))
    big = tmp_path / "big.wav"
    big.write_bytes(bytes(100_001))
    with pytest.raises(TooLargeError, match="bytes"):
        Audio(big)
    long = Audio(tone(3.0), sample_rate=RATE)
    with pytest.raises(TooLargeError, match="hours"):
        long.pcm()
    packed = limits.current()
    limits.use(limits.Limits())
    mp3 = long.encode("mp3")
    limits.use(packed)
    with pytest.raises(TooLargeError, match="hours"):
        mp3.pcm()


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    Audio(tone(), sample_rate=RATE).save(secret)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
    ):
        with pytest.raises(InvalidMediaError):
            Audio(text.encode()).pcm()


def test_a_recording_cut_short_keeps_what_is_there(tmp_path: Path) -> None:
    whole = Audio(tone(2.0), sample_rate=RATE).encode("mp3")
    half = Audio(whole.data[: len(whole.data) // 2])
    assert 0.8 < half.duration < 1.2


def test_samples_asked_for_at_one_rate_do_not_stand_in_for_others() -> None:
    stereo = np.zeros((44_100, 2), dtype=np.float32)
    audio = Audio(stereo, sample_rate=44_100).encode("flac")
    assert audio.pcm(16_000, 1).sample_rate == 16_000
    assert (audio.pcm().sample_rate, audio.pcm().channels) == (44_100, 2)
    assert (audio.pcm(None, 1).sample_rate, audio.pcm(None, 1).channels) == (44_100, 1)


def test_blocks_are_the_whole_recording() -> None:
    audio = Audio(tone(2.0), sample_rate=RATE).encode("flac")
    assert b"".join(audio.blocks(8000)) == audio.pcm(8000, 1).data


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".flac", ".opus", ".ogg", ".aac"])
def test_save_writes_the_format_of_the_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    Audio(tone(), sample_rate=RATE).save(path)
    assert Audio(path).duration == pytest.approx(1.0, abs=0.16)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"\.mp3"):
        Audio(tone(), sample_rate=RATE).save(tmp_path / "x.doc")


def test_notebooks_get_a_player() -> None:
    html = Audio(tone(0.1), sample_rate=RATE)._repr_html_()
    assert html.startswith("<audio controls") and "data:audio/wav;base64," in html


@given(st.integers(-(10**7), 10**7))
def test_a_rate_out_of_range_is_refused(rate: int) -> None:
    try:
        audio = Audio(b"\x00\x00" * 10, encoding="pcm", sample_rate=rate)
    except InvalidRequestError:
        assert not 1000 <= rate <= 768_000
    else:
        assert math.isclose(audio.duration, 10 / rate)


LONG = """
import resource, sys
from ogam.media.codec import StreamEncoder, encode
pcm = bytes(2 * 22_050 * 240)
encode(pcm[:44_100], 22_050, 1, "mp3", to_rate=44_100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "whole":
    encode(pcm, 22_050, 1, "mp3", to_rate=44_100)
else:
    StreamEncoder("mp3", 22_050, to_rate=44_100).feed(pcm)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="It has no such figures.")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_encoding_four_minutes_holds_little_beside_them(way: str) -> None:
    """Resampled in one go they took 200 MB for a moment."""
    command = [sys.executable, "-c", LONG, way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000 * (1024 if sys.platform == "darwin" else 1)  # KB, or bytes
