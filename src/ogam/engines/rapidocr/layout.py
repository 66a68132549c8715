"""From lines of text to a page: rows, columns, blocks, words, symbols, reading order.

Pure functions over numbers; knows no recogniser and no picture. Lines come in the
coordinates of the upright page; ``Turn`` carries them to the picture as it is shown.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Literal, NamedTuple

from ogam.capabilities.vision import (
    Block,
    DocumentText,
    Page,
    Paragraph,
    Point,
    Polygon,
    Symbol,
    TextWord,
)

Corner = tuple[float, float]


class Char(NamedTuple):
    """A character and the part of its line it covers, from 0 (left end) to 1."""

    text: str
    start: float
    end: float
    confidence: float


class Line(NamedTuple):
    """A line of text: ``corners`` clockwise from its own top left, ``chars`` with its spaces."""

    corners: tuple[Corner, Corner, Corner, Corner]
    chars: tuple[Char, ...]


class Turn(NamedTuple):
    """How the upright page lies in the picture: turned clockwise by ``quarters`` x 90 degrees.

    ``width`` and ``height`` are those of the picture, in pixels.
    """

    quarters: int
    width: float
    height: float

    def to_picture(self, x: float, y: float) -> Corner:
        """Where a point of the upright page is in the picture."""
        match self.quarters % 4:
            case 1:
                return self.width - y, x
            case 2:
                return self.width - x, self.height - y
            case 3:
                return y, self.height - x
            case _:
                return x, y


class _Placed(NamedTuple):
    """A line and its upright box after the skew is taken out."""

    line: Line
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


_Row = list[_Placed]


def document(lines: Iterable[Line], turn: Turn, hints: Sequence[str] = ()) -> DocumentText:
    """Lay ``lines`` out as one page. ``hints`` are languages, used where the script is shared.

    ``text`` is exactly what the symbols and their breaks spell.
    """
    useful = [line for line in lines if any(not char.text.isspace() for char in line.chars)]
    angle = skew(useful)
    blocks = [
        block
        for region in _regions([_place(line, angle) for line in useful])
        for block in _blocks(_rows(region))
    ]
    made = tuple(
        _block(rows, angle, turn, last=index == len(blocks) - 1)
        for index, rows in enumerate(blocks)
    )
    breaks = {"": "", "space": " ", "line": "\n"}
    text = "".join(
        symbol.text + breaks[symbol.break_after]
        for block in made
        for paragraph in block.paragraphs
        for word in paragraph.words
        for symbol in word.symbols
    )
    page = Page(
        width=round(turn.width),
        height=round(turn.height),
        blocks=made,
        languages=languages(text, hints),
    )
    return DocumentText(text=text, pages=(page,))


def skew(lines: Sequence[Line]) -> float:
    """The angle of the page in radians: the median of its lines, each counted by its length.

    Lines shorter than twice their height say nothing: their boxes turn with the letters.
    """
    angles: list[tuple[float, float]] = []
    for line in lines:
        (x0, y0), (x1, y1), (x2, y2), _ = line.corners
        length = math.hypot(x1 - x0, y1 - y0)
        if length > 2 * math.hypot(x2 - x1, y2 - y1):
            angles.append((math.atan2(y1 - y0, x1 - x0), length))
    rough = _middle(angles)
    return rough + _middle(_across([_place(line, rough) for line in lines]))


def _across(lines: list[_Placed]) -> list[tuple[float, float]]:
    """(angle, distance) from the middle of each short line to that of its right neighbour.

    The corners of a cell are whole pixels, so its own angle is off by a degree or two; the
    way to the next cell is longer. Long lines need no such help, and those of two columns
    need not share their base lines.
    """
    found: list[tuple[float, float]] = []
    for line in lines:
        right = [
            other
            for other in lines
            if other.left >= line.right
            and abs(other.middle - line.middle) < 0.6 * min(line.height, other.height)
            and min(line.right - line.left, other.right - other.left) < 8 * line.height
        ]
        if right:
            next_ = min(right, key=lambda other: other.left)
            away = (next_.left + next_.right - line.left - line.right) / 2
            found.append((math.atan2(next_.middle - line.middle, away), away))
    return found


def _middle(angles: list[tuple[float, float]]) -> float:
    """The median of (angle, weight); 0 of none."""
    angles = sorted(angles)
    half, passed = sum(length for _, length in angles) / 2, 0.0
    for angle, length in angles:
        passed += length
        if passed >= half:
            return angle
    return 0.0


def languages(text: str, hints: Sequence[str] = ()) -> tuple[str, ...]:
    """What the scripts in ``text`` tell, most frequent first.

    Han is Japanese where there is kana, else Chinese. Latin letters are shared by hundreds
    of languages: a hint decides, then plain ASCII is taken for English, else nothing is said.
    """
    found = Counter(_script(char) for char in text if char.isalpha())
    latin = found.pop("LATIN", 0)
    kana = found.pop("HIRAGANA", 0) + found.pop("KATAKANA", 0)
    han = found.pop("CJK", 0)
    named: Counter[str] = Counter()
    for script, count in found.items():
        if script in _LANGUAGE_OF:
            named[_LANGUAGE_OF[script]] += count
    named["ja" if kana else "zh"] += han + kana
    hint = next((code for code in hints if code.split("-")[0] not in _NOT_LATIN), None)
    if hint is not None:
        named[hint] += latin
    elif all(char.isascii() for char in text if _script(char) == "LATIN"):
        named["en"] += latin
    return tuple(code for code, count in named.most_common() if count)


_LANGUAGE_OF = {"HANGUL": "ko", "GREEK": "el", "CYRILLIC": "ru", "THAI": "th", "ARABIC": "ar"}
_NOT_LATIN = {"zh", "ja", "ko", "el", "ru", "uk", "bg", "sr", "th", "ar", "fa", "he", "hi"}


def _script(char: str) -> str:
    return unicodedata.name(char, "").split(" ")[0]


def _turned(x: float, y: float, angle: float) -> Corner:
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


def _place(line: Line, angle: float) -> _Placed:
    corners = [_turned(x, y, -angle) for x, y in line.corners]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return _Placed(line, min(xs), min(ys), max(xs), max(ys))


def _regions(lines: list[_Placed]) -> list[list[_Placed]]:
    """Parts of the page, each to be read whole before the next: columns, and what spans them."""
    gutter = _gutter(lines)
    if gutter is None:
        return [lines] if lines else []
    regions: list[list[_Placed]] = []
    pending: list[_Placed] = []

    def flush() -> None:
        left = [line for line in pending if line.right <= gutter]
        right = [line for line in pending if line.right > gutter]
        if _is_prose(left) and _is_prose(right):
            regions.extend(_regions(left) + _regions(right))
        elif pending:
            regions.append(list(pending))
        pending.clear()

    for line in sorted(lines, key=lambda line: line.middle):
        if line.left < gutter < line.right:
            flush()
            regions.append([line])
        else:
            pending.append(line)
    flush()
    return regions


def _gutter(lines: list[_Placed]) -> float | None:
    """Where a column of prose ends and the next begins, None where there is no such place.

    A few lines may cross it, headings for instance. The cells of a table are no prose: a
    table is read row by row.
    """
    best: tuple[int, float, float] | None = None
    for edge in sorted({line.left for line in lines}):
        left = [line for line in lines if line.right <= edge]
        right = [line for line in lines if line.left >= edge]
        crossing = len(lines) - len(left) - len(right)
        if crossing * 4 > len(lines) or not (_is_prose(left) and _is_prose(right)):
            continue
        start = max(line.right for line in left)
        rank = (crossing, start - edge, (start + edge) / 2)
        best = min(best, rank) if best else rank
    return best[2] if best else None


def _is_prose(lines: list[_Placed]) -> bool:
    """Whether the lines fill their column as running text does, and cells and labels do not."""
    if len(lines) < 3:
        return False
    widths = sorted(line.right - line.left for line in lines)
    # Not the widest: a heading may reach past the column without crossing the gutter.
    full, usual = widths[(3 * len(widths) - 1) // 4], median(widths)
    # 15 half-width letters: below that a column would be narrower than a newspaper's.
    length = median(sum(2 - char.text.isascii() for char in line.line.chars) for line in lines)
    return usual >= 0.75 * full and length >= 15


def _rows(lines: list[_Placed]) -> list[_Row]:
    """Lines side by side, left to right, the rows from top to bottom."""
    rows: list[_Row] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if rows and _level(rows[-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda line: line.left)
    return rows


def _level(row: _Row, line: _Placed) -> bool:
    """Whether ``line`` stands beside the row's lines, and over or under none of them."""
    near = min(row, key=lambda other: max(other.left - line.right, line.left - other.right))
    shared = min(near.bottom, line.bottom) - max(near.top, line.top)
    if shared < 0.5 * min(near.height, line.height):
        return False
    # Boxes of neighbours touch; those of stacked lines share most of their width.
    return all(
        min(other.right, line.right) - max(other.left, line.left)
        < 0.5 * min(other.right - other.left, line.right - line.left)
        for other in row
    )


def _blocks(rows: list[_Row]) -> list[list[_Row]]:
    """Rows that stand together: a gap above a row of more than its height begins a block."""
    blocks: list[list[_Row]] = []
    for row in rows:
        if blocks:
            above = max(line.bottom for line in blocks[-1][-1])
            gap = min(line.top for line in row) - above
            if gap <= median(line.height for line in row):
                blocks[-1].append(row)
                continue
        blocks.append([row])
    return blocks


def _block(rows: list[_Row], angle: float, turn: Turn, *, last: bool) -> Block:
    words: list[TextWord] = []
    for number, row in enumerate(rows):
        for place, placed in enumerate(row):
            if place + 1 < len(row):
                end: Literal["", "space", "line"] = "space"
            else:
                end = "" if last and number == len(rows) - 1 else "line"
            words.extend(_words(placed.line, end, turn))
    flat = [placed for row in rows for placed in row]
    left, right = min(line.left for line in flat), max(line.right for line in flat)
    top, bottom = min(line.top for line in flat), max(line.bottom for line in flat)
    box = [
        _turned(x, y, angle)
        for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
    ]
    polygon = _polygon(box, turn)
    confidence = fmean(word.confidence for word in words)
    paragraph = Paragraph(words=tuple(words), polygon=polygon, confidence=confidence)
    return Block(paragraphs=(paragraph,), polygon=polygon, confidence=confidence)


def _words(line: Line, end: Literal["", "space", "line"], turn: Turn) -> list[TextWord]:
    """The words of a line; runs of spaces are one break, the last symbol carries ``end``."""
    runs: list[list[Char]] = [[]]
    spaced: list[bool] = []
    for char in line.chars:
        if char.text.isspace():
            if runs[-1]:
                runs.append([])
                spaced.append(True)
        else:
            if runs[-1] and _wide(char.text) != _wide(runs[-1][-1].text):
                runs.append([])
                spaced.append(False)
            runs[-1].append(char)
    runs = [run for run in runs if run]
    words: list[TextWord] = []
    for index, run in enumerate(runs):
        after = end if index == len(runs) - 1 else ("space" if spaced[index] else "")
        symbols = tuple(
            Symbol(
                text=char.text,
                polygon=_part(line, char.start, char.end, turn),
                confidence=char.confidence,
                break_after=after if place == len(run) - 1 else "",
            )
            for place, char in enumerate(run)
        )
        words.append(
            TextWord(
                symbols=symbols,
                polygon=_part(line, run[0].start, run[-1].end, turn),
                confidence=fmean(char.confidence for char in run),
            )
        )
    return words


def _wide(char: str) -> bool:
    """Chinese and Japanese characters, written without spaces; a Latin word inside is its own."""
    return unicodedata.east_asian_width(char) in "WF" and _script(char) != "HANGUL"


def _part(line: Line, start: float, end: float, turn: Turn) -> Polygon:
    first, second, third, fourth = line.corners
    return _polygon(
        [
            _between(first, second, start),
            _between(first, second, end),
            _between(fourth, third, end),
            _between(fourth, third, start),
        ],
        turn,
    )


def _between(a: Corner, b: Corner, share: float) -> Corner:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _polygon(corners: Sequence[Corner], turn: Turn) -> Polygon:
    placed = [turn.to_picture(x, y) for x, y in corners]
    return Polygon(
        points=tuple(
            Point(x=min(max(x, 0.0), turn.width), y=min(max(y, 0.0), turn.height))
            for x, y in placed
        )
    )
