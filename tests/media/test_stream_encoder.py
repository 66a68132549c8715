"""Sound encoded while it is made."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.media import Audio, wav
from ogam.media.codec import FORMATS, RAW, StreamEncoder

RATE = 22_050
TONE = array("h", (round(9000 * math.sin(i / 9)) for i in range(RATE))).tobytes()


def encoded(encoder, pcm, size=8820):
    parts = [encoder.feed(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return parts, encoder.flush()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_the_pieces_joined_decode_to_what_was_fed(kind):
    encoder = StreamEncoder(kind, RATE)
    parts, rest = encoded(encoder, TONE)
    data = b"".join(parts) + rest
    raw = {"encoding": kind, "sample_rate": encoder.rate} if kind in RAW else {}
    assert Audio(data, **raw).duration == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_sound_comes_out_before_the_last_is_fed(kind):
    parts, _ = encoded(StreamEncoder(kind, RATE), TONE)
    assert sum(map(bool, parts)) >= 3


@pytest.mark.parametrize(
    ("rate", "bitrate", "second"), [(44_100, 128_000, 0xFB), (22_050, 32_000, 0xF3)]
)
def test_an_mp3_has_the_rate_and_the_bit_rate_it_was_asked_for(rate, bitrate, second):
    encoder = StreamEncoder("mp3", RATE, to_rate=rate, bitrate=bitrate)
    parts, rest = encoded(encoder, TONE)
    data = b"".join(parts) + rest
    assert data[:2] == bytes((0xFF, second))
    assert len(data) * 8 == pytest.approx(bitrate, rel=0.1)


def test_a_streamed_wav_says_that_it_does_not_know_its_length():
    parts, rest = encoded(StreamEncoder("wav", RATE, to_rate=8000), TONE)
    header = wav.header(b"".join(parts) + rest)
    assert header is not None
    assert header.claimed_seconds is None
    assert (header.sample_rate, header.stop - header.start) == (8000, 16_000)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 999), min_size=1, max_size=12), st.sampled_from((1, 2)))
def test_pieces_of_any_size_give_what_one_piece_gives(sizes, channels):
    pcm = TONE[: sum(sizes)]
    split, at = StreamEncoder("mulaw", RATE, channels, to_rate=8000), 0
    parts = []
    for size in sizes:
        parts.append(split.feed(pcm[at : at + size]))
        at += size
    parts.append(split.flush())
    whole = StreamEncoder("mulaw", RATE, channels, to_rate=8000)
    assert b"".join(parts) == whole.feed(pcm) + whole.flush()


def test_an_encoder_that_was_fed_nothing_can_be_flushed_and_closed():
    for kind in FORMATS:
        encoder = StreamEncoder(kind, RATE)
        encoder.flush()
        encoder.close()


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidRequestError, match="no audio format"):
        StreamEncoder("midi", RATE)
