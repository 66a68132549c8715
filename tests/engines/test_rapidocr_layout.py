"""The page made of lines: nothing lost, the order a reader would follow, true polygons."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.vision import DocumentText
from ogam.engines.rapidocr.layout import Char, Line, Turn, document, languages, skew

PAGE = Turn(0, 1000, 1000)


def line(text: str, x: float, y: float, width: float | None = None, height: float = 20) -> Line:
    wide = width if width is not None else 10.0 * len(text)
    share = 1 / len(text)
    return Line(
        ((x, y), (x + wide, y), (x + wide, y + height), (x, y + height)),
        tuple(Char(c, i * share, (i + 1) * share, 0.9) for i, c in enumerate(text)),
    )


def rebuilt(found: DocumentText) -> str:
    breaks = {"": "", "space": " ", "line": "\n"}
    return "".join(s.text + breaks[s.break_after] for word in found.words for s in word.symbols)


def rotated(lines: list[Line], degrees: float) -> list[Line]:
    a = math.radians(degrees)

    def turn(p: tuple[float, float]) -> tuple[float, float]:
        x, y = p[0] - 500, p[1] - 500
        return 500 + x * math.cos(a) - y * math.sin(a), 500 + x * math.sin(a) + y * math.cos(a)

    return [
        Line((turn(q[0]), turn(q[1]), turn(q[2]), turn(q[3])), chars)
        for q, chars in ((item.corners, item.chars) for item in lines)
    ]


TEXT = st.text(alphabet="ab 1.é中国カ한　", min_size=1, max_size=30)
LINES = st.lists(
    st.builds(
        line, TEXT, st.floats(0, 900), st.floats(0, 900), st.floats(5, 400), st.floats(5, 60)
    ),
    max_size=25,
)


@given(LINES, st.integers(0, 3))
def test_the_symbols_and_their_breaks_spell_the_text(lines: list[Line], quarters: int) -> None:
    found = document(lines, Turn(quarters, 1000, 1000))
    assert rebuilt(found) == found.text
    assert found.text == found.text.strip()
    assert "\n\n" not in found.text
    assert "  " not in found.text


@given(LINES, st.integers(0, 3))
def test_no_character_is_lost_or_invented(lines: list[Line], quarters: int) -> None:
    given_ = sorted("".join(c.text for item in lines for c in item.chars if not c.text.isspace()))
    assert sorted("".join(document(lines, Turn(quarters, 1000, 1000)).text.split())) == given_


@given(LINES)
def test_every_polygon_has_four_corners_inside_the_picture(lines: list[Line]) -> None:
    found = document(lines, Turn(1, 1000, 1000))
    for page in found.pages:
        for block in page.blocks:
            for paragraph in block.paragraphs:
                parts = [block, paragraph, *paragraph.words]
                parts += [symbol for word in paragraph.words for symbol in word.symbols]
                for part in parts:
                    assert len(part.polygon.points) == 4
                    assert 0 <= part.confidence <= 1
                    for point in part.polygon.points:
                        assert 0 <= point.x <= 1000
                        assert 0 <= point.y <= 1000


@given(st.permutations(range(6)))
def test_the_order_of_detection_does_not_matter(order: list[int]) -> None:
    lines = [line(f"row {n} left", 50, 50 + 40 * (n // 2)) for n in (0, 2, 4)]
    lines += [line(f"right {n}", 400, 52 + 40 * (n // 2)) for n in (0, 2, 4)]
    found = document([lines[n] for n in order], PAGE)
    assert found.text == "row 0 left right 0\nrow 2 left right 2\nrow 4 left right 4"


def test_a_table_is_read_row_by_row() -> None:
    cells = [("Item", "Qty", "Price"), ("Nails", "100", "4.20"), ("Glue", "1", "6.25")]
    lines = [
        line(text, x, 100 + 40 * row)
        for row, texts in enumerate(cells)
        for x, text in zip((50, 400, 700), texts, strict=True)
    ]
    assert document(lines, PAGE).text == "Item Qty Price\nNails 100 4.20\nGlue 1 6.25"


def columns() -> list[Line]:
    left = [line(f"the left column row {n}", 50, 200 + 30 * n, 400) for n in range(5)]
    # Set lower by half a line: columns need not share their base lines.
    right = [line(f"the right column row {n}", 530, 215 + 30 * n, 400) for n in range(5)]
    heading = line("A heading over both columns", 50, 100, 880, 40)
    footer = line("And a line under them both", 50, 450, 880)
    return [heading, *left, *right, footer]


@pytest.mark.parametrize("degrees", [0, 4, -4])
def test_columns_are_read_one_after_the_other(degrees: float) -> None:
    expected = [
        "A heading over both columns",
        *(f"the left column row {n}" for n in range(5)),
        *(f"the right column row {n}" for n in range(5)),
        "And a line under them both",
    ]
    assert document(rotated(columns()[::-1], degrees), PAGE).text.split("\n") == expected


@pytest.mark.parametrize("degrees", [-12, -3, 0, 5])
def test_skew_is_found(degrees: float) -> None:
    assert math.degrees(skew(rotated(columns(), degrees))) == pytest.approx(degrees, abs=0.01)


def test_rows_of_a_skewed_table_stay_together() -> None:
    lines = [line(f"{c}{r}", 50 + 300 * c, 100 + 40 * r, 60) for r in range(4) for c in range(3)]
    expected = "\n".join(" ".join(f"{c}{r}" for c in range(3)) for r in range(4))
    assert document(rotated(lines, 4)[::-1], PAGE).text == expected


def test_a_wide_gap_begins_a_block() -> None:
    lines = [line("one", 50, 100), line("two", 50, 125), line("three", 50, 300)]
    found = document(lines, PAGE)
    assert found.text == "one\ntwo\nthree"
    texts = [[p.text for p in block.paragraphs] for block in found.pages[0].blocks]
    assert texts == [["one\ntwo"], ["three"]]


@pytest.mark.parametrize(
    ("quarters", "corners"),
    [
        (0, [(100, 50), (200, 50), (200, 70), (100, 70)]),
        (1, [(750, 100), (750, 200), (730, 200), (730, 100)]),
        (2, [(700, 550), (600, 550), (600, 530), (700, 530)]),
        (3, [(50, 500), (50, 400), (70, 400), (70, 500)]),
    ],
)
def test_a_turned_page_gives_turned_polygons(
    quarters: int, corners: list[tuple[float, float]]
) -> None:
    found = document([line("abcdefghij", 100, 50)], Turn(quarters, 800, 600))
    assert [(p.x, p.y) for p in found.words[0].polygon.points] == corners


def test_symbols_divide_their_line_as_the_characters_do() -> None:
    (word, other) = document([line("ab cd", 100, 50, 50)], PAGE).words
    assert [symbol.polygon.bounds for symbol in word.symbols + other.symbols] == [
        pytest.approx((100 + x, 50, 110 + x, 70)) for x in (0, 10, 30, 40)
    ]
    assert word.polygon.bounds == pytest.approx((100, 50, 120, 70))


def test_chinese_beside_latin_is_another_word_without_a_space() -> None:
    found = document([line("使用CUDA操作", 0, 0)], PAGE)
    assert [word.text for word in found.words] == ["使用", "CUDA", "操作"]
    assert found.text == "使用CUDA操作"


def test_nothing_gives_an_empty_page() -> None:
    found = document([line("  ", 0, 0)], PAGE)
    assert found.text == ""
    assert found.pages[0].blocks == ()


@pytest.mark.parametrize(
    ("text", "hints", "expected"),
    [
        ("Hello there", (), ("en",)),
        ("Größe", (), ()),
        ("Größe", ("de",), ("de",)),
        ("Hello", ("ja", "fr"), ("fr",)),
        ("春分のひ", (), ("ja",)),
        ("中国人 OK", (), ("zh", "en")),
        ("안녕하세요", ("en",), ("ko",)),
        ("12.50 %", (), ()),
    ],
)
def test_languages_are_told_by_script(
    text: str, hints: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert languages(text, hints) == expected
