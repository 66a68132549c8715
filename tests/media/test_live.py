"""Sound decoded while it arrives is the sound of the whole file, whatever the chunks."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ogam.errors import EngineError, InvalidMediaError
from ogam.media import Audio
from ogam.media.live import Channels, LiveSound

RATE = 16_000
TONE = struct.pack("<8000h", *(int(9000 * math.sin(at / 9)) for at in range(8000)))


def decoded(data: bytes, size: int, **more: Any) -> list[bytes]:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    live = LiveSound(chunks, **more)
    live.open()
    parts = list(live.blocks(RATE))
    live.close()
    return [b"".join(channel) for channel in zip(*parts, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_chunks_of_any_size_give_the_same_samples(size: int) -> None:
    assert decoded(TONE, size, raw="pcm", sample_rate=RATE) == [TONE]
    flac = Audio.from_pcm(TONE, RATE).encode("flac").data
    assert decoded(flac, size, kind="flac") == [TONE]
    opus = Audio.from_pcm(TONE, RATE).encode("opus").data
    assert decoded(opus, size, kind="ogg") == decoded(opus, 10**6, kind="ogg")


@pytest.mark.parametrize("count", [2, 3, 8])
def test_channels_are_told_apart(count: int) -> None:
    frames = struct.iter_unpack("<h", TONE)
    woven = b"".join(struct.pack(f"<{count}h", *[0] * (count - 1), one) for (one,) in frames)
    silence = bytes(len(TONE))
    found = decoded(woven, 999, raw="pcm", sample_rate=RATE, channels=count)
    assert found == [silence] * (count - 1) + [TONE]


def test_another_rate_is_resampled() -> None:
    (found,) = decoded(TONE, 100, raw="mulaw", sample_rate=8000)
    assert len(found) == pytest.approx(4 * len(TONE), abs=64)


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "matroska", "wav", "mov", "amr"])
@pytest.mark.parametrize("data", [b"", b"garbage" * 300])
def test_what_does_not_decode_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(InvalidMediaError):
        decoded(data, 100, kind=kind)


@pytest.mark.parametrize("more", [{"kind": "flac"}, {"raw": "pcm", "sample_rate": RATE}])
def test_a_failure_of_the_source_is_raised_as_it_is(more: dict[str, Any]) -> None:
    def broken() -> Iterator[bytes]:
        yield Audio.from_pcm(TONE, RATE).encode("flac").data[:500]
        raise EngineError("the line is cut")

    with pytest.raises(EngineError, match="the line is cut"):
        live = LiveSound(broken(), **more)
        live.open()
        list(live.blocks(RATE))


def test_readers_in_threads_of_their_own_each_get_all_of_their_channel() -> None:
    blocks = [(bytes([n, 0]), bytes([n, 1])) for n in range(200)]
    seen: list[float] = []
    channels = Channels(iter(blocks), 2, RATE, seen.append)
    found: dict[int, bytes] = {}

    def read(channel: int) -> None:
        found[channel] = b"".join(channels.reader(channel))

    threads = [threading.Thread(target=read, args=(channel,)) for channel in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {at: b"".join(one[at] for one in blocks) for at in (0, 1)}
    assert channels.seconds == seen[-1] == 200 / RATE
