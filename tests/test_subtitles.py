"""Subtitles: what viewers and players need holds for any transcript, even a disordered one."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.capabilities.speech_recognition import Segment, TranscribeResult, Word
from ogam.capabilities.subtitles import cues, srt, vtt

_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=100
)
_TIME = st.floats(-1, 100) | st.sampled_from([0.0, float("nan"), float("inf")])


@st.composite
def _segments(draw: st.DrawFn) -> Segment:
    words = tuple(
        Word(text=text, start=draw(_TIME), end=draw(_TIME))
        for text in draw(st.lists(_TEXT, max_size=12))
    )
    text = " ".join(word.text for word in words) or draw(st.text(max_size=150))
    return Segment(text=text, start=draw(_TIME), end=draw(_TIME), words=words)


def transcript(*segments: Segment, duration: float = 100.0) -> TranscribeResult:
    return TranscribeResult(
        engine="x",
        model="x",
        units=Units(),
        text=" ".join(segment.text for segment in segments),
        segments=segments,
        duration=duration,
    )


def spoken(text: str, start: float, step: float) -> Segment:
    words = tuple(
        Word(text=word, start=start + at * step, end=start + (at + 1) * step)
        for at, word in enumerate(text.split())
    )
    return Segment(text=text, start=start, end=words[-1].end, words=words)


@given(st.lists(_segments(), max_size=5))
def test_cues_follow_each_other_and_fit_the_screen(segments):
    clock = 0
    for cue in cues(transcript(*segments)):
        assert clock <= cue.start_ms < cue.end_ms
        assert cue.end_ms - cue.start_ms <= 7000
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= 42 for line in cue.lines)
        clock = cue.end_ms


@given(st.lists(_segments(), max_size=5))
def test_every_word_is_shown_in_order(segments):
    said = "".join(
        "".join("".join(word.text for word in segment.words or [segment]).split())
        for segment in segments
    )
    shown = "".join("".join(cue.lines) for cue in cues(transcript(*segments)))
    assert "".join(shown.split()) == said


@given(st.lists(_segments(), max_size=5))
def test_a_player_reads_back_what_was_written(segments):
    result = transcript(*segments)
    found = [(f"{cue.start_ms}", f"{cue.end_ms}", "\n".join(cue.lines)) for cue in cues(result)]
    blocks = srt(result).split("\n\n") if found else []
    assert [read(block, ",", 1) for block in blocks] == found
    head, *blocks = vtt(result).split("\n\n")
    assert head.strip() == "WEBVTT"
    assert [read(block, ".", 0) for block in blocks] == [
        (start, end, text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
        for start, end, text in found
    ]


def read(block: str, mark: str, skip: int) -> tuple[str, str, str]:
    times, *lines = block.removesuffix("\n").split("\n")[skip:]
    match = re.fullmatch(
        rf"(\d\d+):(\d\d):(\d\d)\{mark}(\d\d\d) --> (\d\d+):(\d\d):(\d\d)\{mark}(\d\d\d)", times
    )
    assert match, times
    h, m, s, ms, *end = map(int, match.groups())
    first = ((h * 60 + m) * 60 + s) * 1000 + ms
    last = ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3]
    return f"{first}", f"{last}", "\n".join(lines)


def test_a_known_transcript():
    text = "And so my fellow Americans ask not what your country can do for you"
    result = transcript(spoken(text, 1.0, 0.25), spoken("Ask what you can do", 6.0, 0.5))
    assert srt(result) == (
        "1\n00:00:01,000 --> 00:00:04,500\n"
        "And so my fellow Americans ask not\nwhat your country can do for you\n\n"
        "2\n00:00:06,000 --> 00:00:08,500\nAsk what you can do\n"
    )


def test_a_long_pause_within_an_utterance_starts_another_cue():
    words = (Word(text="one", start=0.0, end=0.5), Word(text="two", start=9.0, end=9.5))
    result = transcript(Segment(text="one two", start=0.0, end=9.5, words=words))
    assert [(cue.start_ms, cue.end_ms) for cue in cues(result)] == [(0, 833), (9000, 9833)]


def test_a_short_word_stays_long_enough_to_be_read_but_not_into_the_next():
    result = transcript(spoken("Yes", 0.0, 0.1), spoken("No", 0.5, 0.1), duration=0.9)
    assert [(cue.start_ms, cue.end_ms) for cue in cues(result)] == [(0, 500), (500, 900)]


def test_without_words_the_utterance_s_time_is_shared_by_length():
    result = transcript(Segment(text="word " * 40, start=0.0, end=10.0))
    made = cues(result)
    assert made[0].start_ms == 0
    assert made[-1].end_ms == pytest.approx(10_000, abs=1)
    assert all(left.end_ms == right.start_ms for left, right in pairwise(made))


def test_silence_gives_no_cue():
    assert (srt(transcript()), vtt(transcript())) == ("", "WEBVTT\n")
