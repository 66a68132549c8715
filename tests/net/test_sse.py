"""Events out of bytes, however they were cut."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import VendorError
from ogam.net import sse


async def pieces(chunks):
    for chunk in chunks:
        yield chunk


def read(*chunks, **options):
    async def main():
        return [event async for event in sse.events(pieces(chunks), **options)]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"data: a\n\n", [("message", b"a")]),
        (b"data:a\r\n\r\ndata:  b\r\r", [("message", b"a"), ("message", b" b")]),
        (b"event: x\ndata: a\ndata: b\n\n", [("x", b"a\nb")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("message", b"a")]),
        (b": a comment\n\nid: 7\nretry: 10\ndata: a\n\n", [("message", b"a")]),
        (b"event: x\n\ndata: a\n\n", [("message", b"a")]),
        (b"data\n\ndata:\ndata:\n\n", [("message", b""), ("message", b"\n")]),
        (b"data: [DONE]\n\ndata: cut off\n", [("message", b"[DONE]")]),
        (b"data: \xe2\x80\xa8 \x0b\x85\x1c\n\n", [("message", b"\xe2\x80\xa8 \x0b\x85\x1c")]),
        (b"", []),
    ],
)
def test_the_standard_is_kept_however_the_bytes_are_cut(text, found):
    assert read(text) == found
    assert read(*(text[at : at + 1] for at in range(len(text)))) == found


LINE = st.binary(max_size=12).filter(lambda text: b"\n" not in text and b"\r" not in text)


@given(
    events=st.lists(st.lists(LINE, min_size=1, max_size=3), max_size=5),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 200), max_size=10),
)
def test_events_cut_anywhere_arrive_equal(events, ends, cuts):
    text, turn = b"", 0
    for event in events:
        for line in (*(b"data: " + one for one in event), b""):
            end = ends[turn % len(ends)]
            # After a lone \r an empty line's \n would be the other half of a \r\n.
            text += line + (b"\r" if not line and text.endswith(b"\r") else end)
            turn += 1
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[start:end] for start, end in itertools.pairwise(edges)]
    assert read(*chunks) == [("message", b"\n".join(event)) for event in events]


def test_an_event_without_end_is_refused():
    with pytest.raises(VendorError, match="over 1,000 bytes"):
        read(b"data: ", *([b"x" * 100] * 20), max_bytes=1000)
    with pytest.raises(VendorError, match="over 1,000 bytes"):
        read(*([b"data: x\n"] * 1000), max_bytes=1000)
    assert len(read(*([b"data: x\n\n"] * 1000), max_bytes=1000)) == 1000
