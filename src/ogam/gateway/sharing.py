"""One request shared among the models of a route: to classify, each text by its language.

Knows no engine: which languages a model has is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ogam.capabilities import languages
from ogam.capabilities.base import Units
from ogam.capabilities.classification import Classification, ClassifyRequest, ClassifyResult
from ogam.errors import UnsupportedOptionError


class Classifying(msgspec.Struct, frozen=True, kw_only=True):
    """What sharing must know of a model: its languages (none: all), and whether it takes labels."""

    languages: tuple[str, ...] = ()
    zero_shot: bool = False


def by_language(
    request: ClassifyRequest, models: Mapping[str, Classifying]
) -> dict[str, tuple[int, ...]]:
    """Which model of a route labels which texts, by their places in the request.

    With labels of the caller's own it is the first that takes any. Without, a text goes to the
    first model with labels of its own that knows its language.
    """
    everything = tuple(range(len(request.texts)))
    if request.labels:
        chosen = next((name for name, one in models.items() if one.zero_shot), next(iter(models)))
        return {chosen: everything}
    own = {name: one for name, one in models.items() if not one.zero_shot}
    if not own:
        raise UnsupportedOptionError(
            f"{', '.join(models)} has no labels of its own.",
            hint="Give the labels to choose among: labels=('sport', 'politics').",
            param="labels",
        )
    known = list(dict.fromkeys(tag for one in own.values() for tag in one.languages))
    shares: dict[str, list[int]] = {}
    for place, text in enumerate(request.texts):
        tag = languages.guess(text, known) if known else ""
        name = next(
            (name for name, one in own.items() if not one.languages or tag in one.languages)
        )
        shares.setdefault(name, []).append(place)
    return {name: tuple(places) for name, places in shares.items()}


def part(request: ClassifyRequest, places: Sequence[int]) -> ClassifyRequest:
    """The request for the texts at ``places``."""
    return msgspec.structs.replace(request, texts=tuple(request.texts[one] for one in places))


def joined(
    count: int, shares: Sequence[Sequence[int]], parts: Sequence[ClassifyResult]
) -> ClassifyResult:
    """The results of the shares as one, in the order of the ``count`` texts."""
    if len(parts) == 1:
        return parts[0]
    found: list[Classification | None] = [None] * count
    tokens = [0] * count
    units = Units()
    for places, result in zip(shares, parts, strict=True):
        units += result.units
        for at, place in enumerate(places):
            found[place] = result.classifications[at]
            tokens[place] = result.tokens[at] if result.tokens else 0
    return ClassifyResult(
        engine=",".join(dict.fromkeys(one.engine for one in parts)),
        model=",".join(one.model for one in parts),
        units=units,
        classifications=tuple(one for one in found if one is not None),
        tokens=tuple(tokens),
    )
