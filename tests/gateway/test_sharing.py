"""Texts to classify go to the model that knows their language."""

from __future__ import annotations

import pytest

from ogam.capabilities.classification import ClassifyRequest
from ogam.errors import UnsupportedOptionError
from ogam.gateway.sharing import Classifying, by_language

MODELS = {
    "en": Classifying(languages=("en",)),
    "ko": Classifying(languages=("ko",)),
    "any": Classifying(zero_shot=True),
}


def test_each_text_goes_to_the_model_of_its_language():
    request = ClassifyRequest(texts=("A fine film.", "정말 재미있다", "Dull.", "별로예요"))
    assert by_language(request, MODELS) == {("en",): (0, 2), ("ko",): (1, 3)}


def test_labels_of_the_callers_own_go_to_a_model_that_takes_any():
    request = ClassifyRequest(texts=("정말 재미있다",), labels=("sport", "film"))
    assert by_language(request, MODELS) == {("any",): (0,)}


def test_without_labels_anywhere_the_error_asks_for_some():
    with pytest.raises(UnsupportedOptionError, match="labels"):
        by_language(ClassifyRequest(texts=("x",)), {"any": MODELS["any"]})
