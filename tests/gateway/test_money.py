"""Amounts of money: exact both ways, and nothing but an amount is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.gateway.money import MOST, NANO, dollars, parse


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("12.50", 12_500_000_000),
        ("$12.50", 12_500_000_000),
        (" $12.5\n", 12_500_000_000),
        ("0", 0),
        ("0.000000001", 1),
        ("007", 7 * NANO),
        ("1,250", 1250 * NANO),
        ("$1,234,567.000000001", 1_234_567 * NANO + 1),
        ("9223372036.854775807", MOST),
    ],
)
def test_an_amount_is_read_exactly(text, nano):
    assert parse(text) == nano


@pytest.mark.parametrize(
    "wrong",
    [
        *("", " ", "$", "-1", "+1", "-$1", "$-1", "1-", "nan", "NaN", "inf", "1e3", "1E3", "0x10"),
        *("1.", ".5", "1..2", "1.2.3", "0.0000000001", "1 000", "1_000", "1'000", "1.000,50"),
        *("1,00", "1000,000", ",100", "1,,000", "1,0000", "0,5", "$ 5", "5$", "5 USD", "€5", "₩5"),
        *("٣", "１２", "¹", "1\x00", "1\n2", "9223372036.854775808", "1" * 20, "9" * 10_000),
    ],
)
def test_what_is_no_amount_is_refused_in_one_short_line(wrong):
    with pytest.raises(InvalidRequestError) as caught:
        parse(wrong)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (12_500_000_000, "$12.50"),
        (75_000, "$0.000075"),
        (1, "$0.000000001"),
        (0, "$0.00"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-500_000_000, "-$0.50"),
        (-1, "-$0.000000001"),
    ],
)
def test_an_amount_reads_as_people_write_it(nano, text):
    assert dollars(nano) == text


@given(st.integers(0, MOST))
def test_what_is_written_is_read_back_to_the_last_nano_dollar(nano):
    assert parse(dollars(nano)) == nano


@given(st.integers(0, MOST), st.integers(0, MOST))
def test_no_two_amounts_look_alike(one, other):
    assert (dollars(one) == dollars(other)) == (one == other)


@given(st.integers(0, 9_000_000_000), st.integers(0, NANO - 1), st.booleans(), st.booleans())
def test_commas_and_the_sign_of_the_dollar_change_nothing(whole, part, comma, sign):
    text = f"{'$' if sign else ''}{f'{whole:,}' if comma else whole}.{part:09}"
    assert parse(text) == whole * NANO + part


@given(st.text())
def test_any_text_is_an_amount_or_refused(text):
    try:
        nano = parse(text)
    except InvalidRequestError:
        return
    assert type(nano) is int
    assert 0 <= nano <= MOST
