"""Which steps of a route are for a request, and in which order. Pure but for the draw by weight.

Knows no engine: it looks at the request, the caller and the settings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import SeeRequest
from ogam.errors import ForbiddenError, NotConfiguredError, OgamError
from ogam.gateway.caller import Caller
from ogam.routes import Step, When, matches

# A step so written takes the model's name from the caller.
_CALLERS = "/*"
_ALWAYS = When()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What conditions are about. None: the request has no such thing, or it is not known."""

    languages: tuple[str, ...] | None = None
    pair: str = ""
    features: tuple[str, ...] | None = None
    characters: int | None = None
    seconds: float | None = None


class Skipped(NamedTuple):
    """A step that is not taken, and why: the caller's key may not, where it is ``forbidden``."""

    step: Step
    reason: str
    forbidden: bool = False


class Plan(NamedTuple):
    """The steps to try in order, and those that are not for this request."""

    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]

    def refusal(self) -> OgamError:
        """What to tell the caller where no step is left."""
        reasons = "; ".join(f"{one.step.model}: {one.reason}" for one in self.skipped)
        if any(one.forbidden for one in self.skipped):
            return ForbiddenError(f"This key may not use the models of the route ({reasons}).")
        return NotConfiguredError(
            f"No model of the route is for this request ({reasons}).",
            hint="Put one without conditions at its end.",
        )


def facts(request: Any, seconds: float | None = None) -> Facts:
    """What a capability's request is about. ``seconds`` of a recording are told, as finding them
    means decoding it: see :func:`measures_sound`.
    """
    match request:
        case TranslateRequest(texts=texts, target=target, source=source):
            pair = "" if source is None else f"{_base(source)}-{_base(target)}"
            return Facts(languages=(target,), pair=pair, characters=sum(map(len, texts)))
        case GenerateRequest(prompt=prompt, messages=messages):
            return Facts(characters=len(prompt) + sum(len(one.content) for one in messages))
        case SpeakRequest(text=text, language=language):
            return Facts(languages=_of(language), characters=len(text))
        case ClassifyRequest(texts=texts) | EmbedRequest(texts=texts):
            return Facts(characters=sum(map(len, texts)))
        case TranscribeRequest(options=options):
            return Facts(languages=_of(options.language), seconds=seconds)
        case RecognitionOptions(language=language):
            return Facts(languages=_of(language))
        case SeeRequest(features=features, languages=spoken):
            return Facts(features=features or None, languages=spoken or None)
        case _:
            return Facts()


def measures_sound(steps: Sequence[Step]) -> bool:
    """Whether the steps have conditions on the length of a recording."""
    return any(one.when.min_seconds or one.when.max_seconds for one in steps)


def plan(
    steps: Sequence[Step], about: Facts, caller: Caller, draw: random.Random | None = None
) -> Plan:
    """The steps that are for a request, those with weights drawn. ``draw`` is for tests."""
    taken: list[Step] = []
    skipped: list[Skipped] = []
    for written in steps:
        step = _named(written, caller)
        reason = _against(step.when, about, caller)
        if reason is None and step.model.endswith(_CALLERS):
            reason = "the caller named no model of the vendor's"
        if reason is not None:
            skipped.append(Skipped(step, reason))
        elif not caller.key.policy.allows_model(caller.asked, step.model):
            skipped.append(Skipped(step, "the key may not use it", forbidden=True))
        else:
            taken.append(step)
    return Plan(tuple(_drawn(taken, draw)), tuple(skipped))


def _named(step: Step, caller: Caller) -> Step:
    """A step ``vendor/*`` with the model that the caller named."""
    if not step.model.endswith(_CALLERS) or not caller.asked or "/" in caller.asked:
        return step
    return msgspec.structs.replace(step, model=step.model[:-1] + caller.asked)


def _drawn(steps: list[Step], draw: random.Random | None) -> list[Step]:
    if not any(step.weight for step in steps):
        return steps
    order: list[Step] = []
    group: list[Step] = []
    for step in (*steps, None):
        if step is not None and step.weight is not None:
            group.append(step)
            continue
        if group:
            weights = [one.weight or 0.0 for one in group]
            first = (draw or random).choices(group, weights)[0]
            order += [first, *(one for one in group if one is not first)]
            group = []
        if step is not None:
            order.append(step)
    return order


def _against(when: When, about: Facts, caller: Caller) -> str | None:
    """Why a step is not for a request; None where it is."""
    if when == _ALWAYS:
        return None
    if when.keys and not (matches(caller.key.name, when.keys) or matches(caller.key.id, when.keys)):
        return "it is for other keys"
    if when.languages and not _spoken(when.languages, about):
        return f"it is for {', '.join(when.languages)}"
    if when.features and not (about.features and set(about.features) <= set(when.features)):
        return f"it is for the features {', '.join(when.features)}"
    for number, low, high, unit in (
        (about.characters, when.min_characters, when.max_characters, "characters"),
        (about.seconds, when.min_seconds, when.max_seconds, "seconds"),
    ):
        if low is not None and (number is None or number < low):
            return f"it is for {low:g} {unit} and more"
        if high is not None and (number is None or number > high):
            return f"it is for {high:g} {unit} at most"
    return None


def _spoken(wanted: tuple[str, ...], about: Facts) -> bool:
    have = {about.pair} if about.pair else set[str]()
    for tag in about.languages or ():
        have |= {tag.lower(), _base(tag)}
    return any(one.lower() in have for one in wanted)


def _base(tag: str) -> str:
    return tag.lower().replace("_", "-").partition("-")[0]


def _of(language: str | None) -> tuple[str, ...] | None:
    return None if language is None else (language,)
