"""A transcript as subtitles: SubRip (.srt) and WebVTT (.vtt). Pure functions; knows no file.

The limits are those of Netflix's Timed Text Style Guide, "General Requirements" and "English":
at most 2 lines of 42 characters, on screen for 5/6 of a second to 7 seconds
(https://partnerhelp.netflixstudios.com/hc/en-us/articles/215758617). WebVTT:
https://www.w3.org/TR/webvtt1/. SubRip has no standard; players agree on what is written here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ogam.capabilities.base import Value
from ogam.capabilities.speech_recognition import Segment, TranscribeResult

LINE_LENGTH = 42
LINES = 2
LONGEST_MS = 7000
SHORTEST_MS = 833


class Cue(Value, frozen=True, kw_only=True):
    """One or two ``lines`` on the screen, from ``start_ms`` to ``end_ms``, in milliseconds."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


# text, start and end in milliseconds
_Piece = tuple[str, int, int]


def srt(result: TranscribeResult) -> str:
    """The transcript as a SubRip document; empty where nothing was said."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        + "".join(f"{line}\n" for line in cue.lines)
        for number, cue in enumerate(cues(result), 1)
    )


def vtt(result: TranscribeResult) -> str:
    """The transcript as a WebVTT document."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        + "".join(f"{_escape(line)}\n" for line in cue.lines)
        for cue in cues(result)
    )


def cues(result: TranscribeResult) -> tuple[Cue, ...]:
    """The transcript cut into cues that follow each other without overlapping.

    An utterance begins a cue. Times that a recogniser got out of order are put in order; every
    word is kept, and one longer than a line is cut.
    """
    groups = [group for segment in result.segments for group in _groups(list(_pieces(segment)))]
    made: list[Cue] = []
    clock = 0
    for at, group in enumerate(groups):
        start = max(clock, group[0][1])
        end = max(group[-1][2], start + 1)
        if end - start < SHORTEST_MS:
            # Longer than it is heard, where nothing follows: so that it can be read.
            free = groups[at + 1][0][1] if at + 1 < len(groups) else _ms(result.duration)
            end = max(end, min(start + SHORTEST_MS, free))
        clock = min(end, start + LONGEST_MS)
        lines = _lines([text for text, _, _ in group])
        assert lines is not None
        made.append(Cue(start_ms=start, end_ms=clock, lines=lines))
    return tuple(made)


def _pieces(segment: Segment) -> Iterator[_Piece]:
    """The utterance's words, each no longer than a line, with times."""
    if segment.words:
        for word in segment.words:
            yield from _spread(word.text, word.start, word.end)
    else:
        yield from _spread(segment.text, segment.start, segment.end)


def _spread(text: str, start: float, end: float) -> Iterator[_Piece]:
    """Cut ``text`` at spaces and at the line's length; share the time by length."""
    parts = [
        word[at : at + LINE_LENGTH]
        for word in text.split()
        for at in range(0, len(word), LINE_LENGTH)
    ]
    first, last = _ms(start), _ms(end)
    span, whole, done = max(0, last - first), sum(map(len, parts)), 0
    for part in parts:
        begin = first + span * done // whole
        done += len(part)
        yield part, begin, first + span * done // whole


def _groups(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Share pieces among cues: as many as fit on the screen and in its time."""
    group: list[_Piece] = []
    for piece in pieces:
        texts = [text for text, _, _ in (*group, piece)]
        if group and (piece[2] - group[0][1] > LONGEST_MS or _lines(texts) is None):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _lines(words: list[str]) -> tuple[str, ...] | None:
    """One line, or two of nearly equal length, the lower the longer; None: it does not fit."""
    line = " ".join(words)
    if len(line) <= LINE_LENGTH:
        return (line,)
    pairs = ((" ".join(words[:at]), " ".join(words[at:])) for at in range(len(words) - 1, 0, -1))
    fitting = [pair for pair in pairs if max(map(len, pair)) <= LINE_LENGTH]
    # The style guide asks for a bottom-heavy pyramid where there is a choice.
    return min(
        fitting,
        key=lambda pair: (abs(len(pair[0]) - len(pair[1])), len(pair[0])),
        default=None,
    )


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000)) if math.isfinite(seconds) else 0


def _clock(ms: int, mark: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{ms:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
