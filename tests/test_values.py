"""Requests refuse what nobody could answer; units add up exactly; vectors are plain numbers."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.capabilities.embedding import Vectors, cosine
from ogam.capabilities.speech_recognition import Keyword, RecognitionOptions
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import Polygon
from ogam.errors import InvalidRequestError

counts = st.integers(0, 10**15)
units = st.builds(
    Units,
    input_tokens=counts,
    output_tokens=counts,
    characters=counts,
    audio_ms=counts,
    image_features=counts,
)


@given(st.lists(units, max_size=20))
def test_units_add_up_in_any_order(parts: list[Units]) -> None:
    forward, backward = Units(), Units()
    for one in parts:
        forward += one
    for one in reversed(parts):
        backward += one
    assert forward == backward
    assert forward.characters == sum(one.characters for one in parts)


@given(units)
def test_units_survive_json(one: Units) -> None:
    assert msgspec.json.decode(msgspec.json.encode(one), type=Units) == one


def test_values_are_frozen_and_keyword_only() -> None:
    with pytest.raises(TypeError):
        Units(1)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Units().characters = 1  # type: ignore[misc]


finite = st.floats(-1e6, 1e6, width=32)


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.lists(st.lists(finite, min_size=n, max_size=n), min_size=1, max_size=6)
    )
)
def test_vectors_are_what_was_put_in(rows: list[list[float]]) -> None:
    vectors = Vectors.from_rows(rows)
    assert vectors.tolist() == rows
    assert np.array_equal(np.asarray(vectors), np.array(rows, dtype=np.float32))
    assert (len(vectors), vectors.dimensions) == (len(rows), len(rows[0]))
    assert list(vectors[-1]) == rows[-1]
    with pytest.raises(IndexError):
        vectors[len(rows)]


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        Vectors.from_rows([[1.0], [1.0, 2.0]])


same_length = st.integers(1, 16).flatmap(
    lambda n: st.tuples(*[st.lists(finite, min_size=n, max_size=n)] * 2)
)


@given(same_length)
def test_the_cosine_is_symmetric_and_bounded(pair: tuple[list[float], list[float]]) -> None:
    left, right = pair
    assert -1 <= cosine(left, right) <= 1
    assert cosine(left, right) == cosine(right, left)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=9), st.floats(0.01, 100))
def test_the_cosine_ignores_length(row: list[float], factor: float) -> None:
    assert math.isclose(cosine(row, [value * factor for value in row]), 1, abs_tol=1e-9)


def test_zeros_have_no_direction() -> None:
    assert cosine([0.0, 0.0], [1.0, 0.0]) == 0


@given(st.text())
def test_a_prompt_is_taken_or_refused_in_one_line(text: str) -> None:
    try:
        GenerateRequest(prompt=text)
    except InvalidRequestError as error:
        assert not text.strip() or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
        assert "\n" not in str(error)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not both"):
        RecognitionOptions(grammar="#JSGF V1.0;", keywords=(Keyword(phrase="x"),))
    with pytest.raises(InvalidRequestError):
        TranslateRequest(texts=(), target="de")
    with pytest.raises(InvalidRequestError):
        TranslateRequest(texts=("x",), target=" ")


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_box_has_its_bounds(x: float, y: float, width: float, height: float) -> None:
    assert Polygon.box(x, y, width, height).bounds == (x, y, x + width, y + height)
