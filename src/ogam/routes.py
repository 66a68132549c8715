"""Routes: which models to try for a capability or a name, in which order, and when.

Settings only; :mod:`ogam.gateway.routing` follows them. In ogam.toml a route is a list, whose
first model answers and whose others stand behind it::

    [routes]
    speak = ["elevenlabs/eleven_flash_v2_5", "espeak"]
    generate = [
        { model = "openai/gpt-4o-mini", weight = 3, when = { keys = ["team-*"] } },
        { model = "ollama/llama3.2", weight = 1, timeout = 20 },
        "starter/write",
    ]

or a table, where more is to be said of all of it::

    [routes.translate]
    models = ["deepl", "starter/translate"]
    over_budget = "next"
    cache = "exact"
    timeout = 30
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import Literal

import msgspec


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request must be for a step to be taken. What is not given is not asked.

    ``languages`` are tags: of the target for a translation, ``en-de`` for a pair, of the speech
    or the text otherwise; ``features`` are those to see, all of which must be among them.
    ``keys`` are names or ids of the caller's key (fnmatch). A text is counted in characters, a
    recording in seconds.
    """

    languages: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    min_characters: int | None = None
    max_characters: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a route; ``openai/*`` is the one that the caller named.

    Steps with a ``weight`` that follow each other share the requests: one of them, drawn by
    weight, comes first and the others behind it. ``timeout`` bounds an attempt in seconds.
    """

    model: str
    weight: float | None = None
    timeout: float | None = None
    when: When = When()


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The models to try in order, and what holds for all of them.

    ``timeout`` bounds all attempts together, in seconds. ``retries``: how often one vendor is
    asked again where that is safe. ``over_budget``: what a budget refuses is refused to the
    caller, or goes to the ``next`` model that costs nothing. ``cache``: equal requests get the
    answer of the first (``exact``), or texts nearer than ``similarity`` (cosine) too
    (``semantic``); ``replay`` answers from what was kept before and from nothing else
    (docs/cache.md). What is older than ``cache_seconds`` is asked for again; with
    ``cache_per_key`` no key gets what another one asked for.
    ``record`` keeps text and answer of each call in the ledger, without what matches
    ``redact`` (regular expressions).
    """

    models: tuple[str | Step, ...]
    timeout: float | None = None
    retries: int = 1
    over_budget: Literal["refuse", "next"] = "refuse"
    cache: Literal["", "exact", "semantic", "replay"] = ""
    cache_seconds: float = 86_400.0
    cache_per_key: bool = False
    similarity: float = 0.97
    record: bool = False
    redact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        steps = tuple(Step(model=one) if isinstance(one, str) else one for one in self.models)
        msgspec.structs.force_setattr(self, "models", steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The models, each a step."""
        return self.models  # pyright: ignore[reportReturnType]

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(one.model for one in self.steps)


# How a route may be written.
Written = tuple[str | Step, ...] | Route
_ENCODER = "starter/all-MiniLM-L6-v2"
# Speech in the languages that have a model of their own; the rest is taken for English.
_HEARD = tuple(
    Step(model=f"starter/speech-{one}", when=When(languages=(one,))) for one in ("de", "es")
)


def route(written: str | Written) -> Route:
    """What was written as a Route; a text names one model, or several with commas between."""
    if isinstance(written, Route):
        return written
    if isinstance(written, str):
        return Route(models=tuple(one.strip() for one in written.split(",") if one.strip()))
    return Route(models=written)


class Routes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each capability its route; empty: nothing is configured yet.

    ``see`` shares the features of one request among its models: each feature goes to the first
    model that has it. ``classify`` shares the texts: labels of the caller's own go to a model
    that takes any, else a text to one that knows its language.
    """

    generate: Written = ("starter/write",)
    speak: Written = ("espeak",)
    see: Written = ("rapidocr", "opencv")
    transcribe: Written = (*_HEARD, "pocketsphinx")
    translate: Written = ("starter/translate",)
    classify: Written = ("starter/sentiment-en", "starter/sentiment-ko", _ENCODER)
    embed: Written = (_ENCODER,)

    def of(self, capability: str) -> Route:
        """The route of a capability."""
        return route(getattr(self, capability))


def problem(given: Route) -> str | None:
    """What is wrong with a route's numbers, in words; None where nothing is."""
    if given.timeout is not None and given.timeout <= 0:
        return "timeout must be above 0"
    if given.retries < 0 or given.retries > 10:
        return "retries must be from 0 to 10"
    if not given.cache_seconds > 0:
        return "cache_seconds must be above 0"
    if not 0 < given.similarity <= 1:
        return "similarity must be above 0 and at most 1"
    for pattern in given.redact:
        try:
            re.compile(pattern)
        except re.error as error:
            return f"redact has {pattern!r}, which is no regular expression: {error.msg}"
    for step in given.steps:
        if not step.model.strip():
            return "a model's name is empty"
        if step.weight is not None and not 0 < step.weight < 1e9:
            return f"the weight of {step.model} must be above 0"
        if step.timeout is not None and step.timeout <= 0:
            return f"the timeout of {step.model} must be above 0"
    return None


@lru_cache(4096)
def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of the patterns (fnmatch, with regard to case)."""
    return any(fnmatch.fnmatchcase(name, one) for one in patterns)
