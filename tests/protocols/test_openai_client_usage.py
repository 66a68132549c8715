"""Usage found in raw bytes, however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.protocols.openai import usage as module
from ogam.protocols.openai.usage import UsageTap, usage_of

# A model that writes about usage must not be believed.
SAID = 'it said "usage": {"prompt_tokens": 999} and \n\ndata: {"usage":{"prompt_tokens":998}}'
CHAT = [
    {"id": "c", "choices": [{"index": 0, "delta": {"content": SAID}}], "usage": None},
    {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None},
    {
        "id": "c",
        "choices": [],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 5,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
    },
]
RESPONSES = [
    {"type": "response.created", "response": {"id": "r", "usage": None}},
    {"type": "response.output_text.delta", "delta": SAID},
    {
        "type": "response.completed",
        "response": {
            "id": "r",
            "output": [{"content": [{"text": SAID}]}],
            "usage": {
                "input_tokens": 3,
                "output_tokens": 2,
                "total_tokens": 5,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
            },
        },
    },
]
# vLLM's continuous_usage_stats: every piece has it, and the last counts.
COUNTING = [
    {"choices": [{"text": "a"}], "usage": {"prompt_tokens": 4, "completion_tokens": n}}
    for n in range(1, 4)
]
HEARD = [
    {"type": "transcript.text.delta", "delta": SAID},
    {
        "type": "transcript.text.done",
        "text": SAID,
        "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 9, "total_tokens": 23},
    },
]
STREAMS = [
    (CHAT, Units(input_tokens=11, output_tokens=5, cached_input_tokens=8)),
    (RESPONSES, Units(input_tokens=3, output_tokens=2, cached_input_tokens=1)),
    (COUNTING, Units(input_tokens=4, output_tokens=3)),
    (HEARD, Units(input_tokens=14, output_tokens=9)),
    ([*CHAT, {"usage": {}}], Units(input_tokens=11, output_tokens=5, cached_input_tokens=8)),
    (CHAT[:2], None),
]


def stream(events, end="\n", named=False, lines=False):
    said = b""
    for one in events:
        data = json.dumps(one, indent=1 if lines else None)
        name = f"event: {one.get('type', 'message')}{end}" if named else ""
        body = "".join(f"data: {line}{end}" for line in data.splitlines())
        said += f": a comment{end}{name}{body}{end}".encode()
    return said + f"data: [DONE]{end}{end}".encode()


@given(
    st.sampled_from(STREAMS),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 2000), max_size=60),
)
def test_any_cut_of_a_stream_gives_the_same_usage(told, end, named, lines, cuts):
    events, expected = told
    raw = stream(events, end, named, lines)
    tap, at = UsageTap(), 0
    for cut in sorted({min(one, len(raw)) for one in cuts} | {len(raw)}):
        tap.feed(raw[at:cut])
        at = cut
    assert tap.usage == expected


@pytest.mark.parametrize(("events", "expected"), STREAMS)
def test_byte_by_byte(events, expected):
    tap = UsageTap()
    for byte in stream(events, "\r\n"):
        tap.feed(bytes([byte]))
    assert tap.usage == expected


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b'"usage":', b"\n\n", b"data: {"])))
def test_any_bytes_are_read_without_an_error(chunks):
    tap = UsageTap()
    for chunk in chunks:
        tap.feed(chunk)
    usage_of(b"".join(chunks))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_event_that_is_too_long_is_let_go_and_the_next_is_read(monkeypatch, end):
    monkeypatch.setattr(module, "_MOST", 1000)
    huge = {
        "usage": {"prompt_tokens": 77},
        "picture": "x" * 5000,
        "response": {"usage": {"input_tokens": 1}},
    }
    for size in (64, 999, 100_000):
        raw = stream([huge, *CHAT], end) if size < 5000 else stream(CHAT, end)
        tap = UsageTap()
        for at in range(0, len(raw), size):
            tap.feed(raw[at : at + size])
            assert len(tap._rest) <= 1000 + size
        assert tap.usage == Units(input_tokens=11, output_tokens=5, cached_input_tokens=8)
    tap = UsageTap()
    raw = stream([huge], end)
    for at in range(0, len(raw), 64):
        tap.feed(raw[at : at + 64])
    assert tap.usage is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, Units(input_tokens=5)),  # embeddings
        ({"total_tokens": 7}, Units(input_tokens=7)),
        ({"prompt_tokens": 5, "completion_tokens": None}, Units(input_tokens=5)),
        # What is thought stands in Gemini's total alone, and is billed.
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 107},
            Units(input_tokens=5, output_tokens=102),
        ),
        ({"type": "duration", "seconds": 9}, Units(audio_ms=9000)),
        ({"type": "duration", "seconds": 1.0001}, Units(audio_ms=1001)),
        ({"prompt_tokens": -5, "completion_tokens": -1}, Units()),
        ({}, None),
        (None, None),
        ("much", None),
    ],
)
def test_usage_of_a_whole_reply(usage, expected):
    assert usage_of(json.dumps({"object": "list", "usage": usage}).encode()) == expected


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 4, "audio_tokens": 1}, 4),
        ({"cached_tokens": 9}, 6),  # more than were read at all
        ({"cached_tokens": -4}, 0),
        ({"cached_tokens": None}, 0),
        ({"cached_tokens": True}, 0),
        ({"cached_tokens": "4"}, 0),
        ({"cached_tokens": 4.5}, 0),
        ({}, 0),
        ([4], 0),
        ("cached", 0),
        (None, 0),
    ],
)
@pytest.mark.parametrize("names", [("prompt", "completion"), ("input", "output")])
def test_cached_tokens_are_a_part_of_those_that_were_read(names, details, cached):
    read, wrote = (f"{name}_tokens" for name in names)
    said = {"usage": {read: 6, wrote: 2, f"{read}_details": details}}
    expected = Units(input_tokens=6, output_tokens=2, cached_input_tokens=cached)
    assert usage_of(json.dumps(said).encode()) == expected


def test_a_reply_without_usage_or_without_sense_has_none():
    for body in (b"", b"{}", b'{"usage": ', b'\xff"usage"', b'["usage"]'):
        assert usage_of(body) is None
