"""One request shared among the models of a route: to classify, each text by its language.

Knows no engine: which languages a model has is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from ogam.capabilities import languages
from ogam.capabilities.base import Units
from ogam.capabilities.classification import Classification, ClassifyRequest, ClassifyResult
from ogam.capabilities.vision import FEATURES, Feature, SeeResult
from ogam.errors import UnsupportedOptionError


class Classifying(msgspec.Struct, frozen=True, kw_only=True):
    """What sharing must know of a model: its languages (none: all), and whether it takes labels."""

    languages: tuple[str, ...] = ()
    zero_shot: bool = False


# The models that stand in for each other, in the order of the route.
Candidates = tuple[str, ...]


def by_language(
    request: ClassifyRequest, models: Mapping[str, Classifying]
) -> dict[Candidates, tuple[int, ...]]:
    """Which models of a route label which texts, by their places in the request.

    With labels of the caller's own it is those that take any. Without, a text goes to the
    models with labels of their own that know its language.
    """
    everything = tuple(range(len(request.texts)))
    if request.labels:
        takes = tuple(name for name, one in models.items() if one.zero_shot)
        return {takes or tuple(models): everything}
    own = {name: one for name, one in models.items() if not one.zero_shot}
    if not own:
        raise UnsupportedOptionError(
            f"{', '.join(models)} has no labels of its own.",
            hint="Give the labels to choose among: labels=('sport', 'politics').",
            param="labels",
        )
    known = list(dict.fromkeys(tag for one in own.values() for tag in one.languages))
    shares: dict[Candidates, list[int]] = {}
    for place, text in enumerate(request.texts):
        tag = languages.guess(text, known) if known else ""
        takes = tuple(
            name for name, one in own.items() if not one.languages or tag in one.languages
        )
        shares.setdefault(takes, []).append(place)
    return {takes: tuple(places) for takes, places in shares.items()}


def by_feature(
    wanted: Sequence[Feature], have: Mapping[str, Collection[Feature]]
) -> dict[Candidates, tuple[Feature, ...]]:
    """Which models of a route find which features of a picture: the first that has one, and
    behind it the others that do. Without any ``wanted``, all that they have.
    """
    shares: dict[Candidates, tuple[Feature, ...]] = {}
    asked = wanted or tuple(one for one in FEATURES if any(one in own for own in have.values()))
    for feature in dict.fromkeys(asked):
        takes = tuple(name for name, own in have.items() if feature in own)
        if not takes:
            found = sorted(frozenset[str]().union(*have.values()))
            raise UnsupportedOptionError(
                f"Nothing on the route for see finds {feature}.",
                hint=f"{', '.join(have)} find {', '.join(found)}.",
                param="features",
            )
        # Those that are first for something are asked once for all of it.
        key = next((one for one in shares if one[0] == takes[0]), takes)
        both = tuple(name for name in key if name in takes)
        shares[both] = (*shares.pop(key, ()), feature)
    return shares


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


def joined_seen(results: Sequence[SeeResult]) -> SeeResult:
    """What several models found in one picture, as one."""
    if len(results) == 1:
        return results[0]
    units = Units()
    for result in results:
        units += result.units
    found: dict[str, Any] = {}
    for field in ("faces", "objects", "labels", "colors", "crop_hints", "barcodes"):
        found[field] = tuple(item for result in results for item in getattr(result, field))
    return SeeResult(
        engine=",".join(result.engine for result in results),
        model=",".join(result.model for result in results),
        units=units,
        image=results[0].image,
        features=tuple(feature for result in results for feature in result.features),
        document=next((one.document for one in results if one.document), None),
        **found,
    )
