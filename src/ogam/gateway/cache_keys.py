"""What makes two requests equal to the cache: a SHA-256 of all that an answer depends on.

That is the capability, the models of the route that are for the request, and the request with
media by the hash of their bytes and without the fields that have their default value, so that a
field which is added later leaves the old keys as they are. A default that changes, or a field
that goes, does not: then ``_VERSION`` goes up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec

from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.gateway.passed import PassedRequest
from ogam.gateway.trail import Trail
from ogam.media import Audio, Image
from ogam.routes import Route, Step

_VERSION = 1
# An encoder reads the first 256 tokens, and a token is at least about a character. Two texts of
# 400 words that differ in the last had a cosine of 1.
_MOST_CHARACTERS = 256
_NUMBER = re.compile(r"\d+")


class Ask(NamedTuple):
    """One call: ``steps`` are those of its route that are for it, ``patient`` as in the gateway."""

    trail: Trail
    route: Route
    steps: Sequence[Step]
    request: Any
    patient: bool = False

    @property
    def owner(self) -> str:
        """Whose answers it may get; empty: everyone's."""
        return self.trail.caller.key.id if self.route.cache_per_key else ""


class Meaning(NamedTuple):
    """A text, and the hash of all that must be equal for a near text's answer to do."""

    text: str
    scope: str


def key(ask: Ask) -> str:
    """The key of a call's answer: 64 hexadecimal digits."""
    return _hash("exact", *_common(ask), plain(ask.request))


def meaning(ask: Ask, encoder: str) -> Meaning | None:
    """The text of a request that a near one may stand for; None: only an equal one may.

    It is the last message of the user, the prompt, or the one text to classify. What is to be
    translated, spoken or embedded has no stand-in. Numbers in the text must be equal: "17 times
    3" and "17 times 4" have a cosine of 0.84.
    """
    rest = plain(ask.request)
    match ask.request:
        case GenerateRequest(messages=(*_, last)) if last.role == "user":
            text = last.content
            rest["messages"][-1].pop("content")
        case GenerateRequest(messages=(), prompt=text):
            rest.pop("prompt")
        case ClassifyRequest(texts=(text,)):
            rest.pop("texts")
        case PassedRequest(text=text) if text:
            rest.pop("text")
        case _:
            return None
    if len(text) > _MOST_CHARACTERS:
        return None
    return Meaning(text, _hash("near", encoder, *_common(ask), rest, _NUMBER.findall(text)))


def media(request: Any) -> tuple[Audio | Image, ...]:
    """The recordings and pictures in a request."""
    values = (getattr(request, name) for name in request.__struct_fields__)
    return tuple(one for one in values if isinstance(one, Audio | Image))


def plain(value: Any) -> Any:
    """A value in lists, texts and numbers, equal where the values are equal."""
    match value:
        case None | str():
            return value
        case bool() | int():
            return int(value)
        case float():
            return int(value) if value.is_integer() else value
        case bytes():
            return {"sha256": hashlib.sha256(value).hexdigest()}
        case Image():
            return plain(value.data)
        case Audio():
            # A file tells its own rate; samples without a header do not.
            raw = (value.encoding, value.sample_rate, value.channels) if value.encoding else ()
            return {**plain(value.data), "raw": list(raw)}
        case msgspec.Struct():
            fields = ((name, getattr(value, name), own) for name, own in _defaults(type(value)))
            return {name: plain(one) for name, one, default in fields if one != default}
        case Mapping():
            pairs = cast(Mapping[Any, Any], value).items()
            return {str(name): plain(one) for name, one in pairs}
        case Sequence():
            return [plain(one) for one in cast(Sequence[Any], value)]
        case _:
            raise TypeError(f"{type(value).__name__} has no plain form")


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (
            one.name,
            one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory(),
        )
        for one in msgspec.structs.fields(kind)
    )


def _common(ask: Ask) -> tuple[Any, ...]:
    return ask.trail.capability, _models(ask.steps), ask.owner


def _models(steps: Sequence[Step]) -> list[str]:
    """The models in their order; those that share requests by weight, in none."""
    models: list[str] = []
    drawn: list[str] = []
    for step in steps:
        if step.weight is None:
            models += [*sorted(drawn), step.model]
            drawn = []
        else:
            drawn.append(step.model)
    return [*models, *sorted(drawn)]


def _hash(*parts: Any) -> str:
    text = json.dumps([_VERSION, *parts], ensure_ascii=False, sort_keys=True)
    # A lone surrogate has no place in UTF-8, and is no reason to fail here.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
