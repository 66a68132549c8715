"""What the gateway would do with a request, told without doing it.

Follows the same routing, prices, bounds and budgets as a call does; loads no model, asks no vendor.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ogam import registry, routes
from ogam.capabilities.base import Capability, Value
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import SeeRequest
from ogam.config import Config
from ogam.errors import InvalidRequestError
from ogam.gateway import bounds, routing
from ogam.gateway.billing import Billing
from ogam.gateway.caller import Caller
from ogam.gateway.ledger import BudgetState
from ogam.gateway.money import dollars
from ogam.gateway.prices import Book
from ogam.media import Audio, Image
from ogam.routes import Route
from ogam.vendors import Vendor

# A grey picture of one pixel: what is billed depends on no picture's content.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


class Over(Value, frozen=True, kw_only=True):
    """A budget that an attempt falls under: what is left of it, and whether the attempt fits."""

    budget: str
    left: str
    left_nano: int
    fits: bool


class Tried(Value, frozen=True, kw_only=True):
    """One model that would be tried. ``most`` is the most it could cost, None where that is not
    known, which ``why`` then says; ``note`` is a reason for which it would fail at once.
    """

    model: str
    weight: float | None = None
    price: str
    most: str | None = None
    most_nano: int | None = None
    why: str = ""
    budgets: tuple[Over, ...] = ()
    note: str = ""


class Skipped(Value, frozen=True, kw_only=True):
    """One model of the route that is not for the request."""

    model: str
    why: str


class Explanation(Value, frozen=True, kw_only=True):
    """All of it, in order."""

    capability: Capability
    over_budget: str
    tried: tuple[Tried, ...]
    skipped: tuple[Skipped, ...]


def request(
    capability: Capability,
    config: Config,
    *,
    text: str = "",
    language: str | None = None,
    features: Iterable[str] = (),
    seconds: float = 1.0,
) -> Any:
    """A request such as a client might send; what it does not name has the dearest default."""
    if capability == "generate":
        most = config.ledger.max_output_tokens
        return GenerateRequest(prompt=text or "?", max_tokens=most)
    if capability == "speak":
        return SpeakRequest(text=text or "?", language=language)
    if capability == "translate":
        return TranslateRequest(texts=(text or "?",), target=language or "de")
    if capability == "classify":
        return ClassifyRequest(texts=(text or "?",))
    if capability == "embed":
        return EmbedRequest(texts=(text or "?",))
    if capability == "see":
        chosen: Any = tuple(features)
        return SeeRequest(image=Image(_PIXEL), features=chosen)
    # A sample a millisecond.
    silence = bytes(2 * max(1, round(1000 * seconds)))
    sound = Audio(silence, encoding="pcm", sample_rate=1000)
    asked = TranscribeRequest(audio=sound)
    return msgspec.structs.replace(
        asked, options=msgspec.structs.replace(asked.options, language=language)
    )


def route(
    capability: Capability, config: Config, asked: str, vendors: Mapping[str, Vendor]
) -> Route:
    """Where a client's name leads: by ``[names]``, to a model of that name, else to the route, as
    a vendor's own names do.
    """
    names = config.names
    for pattern in (asked, *(one for one in names if fnmatch.fnmatchcase(asked, one))):
        if asked and names.get(pattern):
            return routes.route(names[pattern])
    if "/" in asked or asked in vendors or asked in registry.engine_names():
        return Route(models=(asked,))
    found = config.routes.of(capability)
    if not found.models:
        raise InvalidRequestError(
            f"No model is configured for {capability}.",
            hint=f'In ogam.toml: [routes] {capability} = ["engine/model"].',
        )
    return found


def explain(
    capability: Capability,
    asked: Any,
    config: Config,
    caller: Caller,
    *,
    vendors: Mapping[str, Vendor],
    book: Book,
    states: Iterable[BudgetState],
) -> Explanation:
    """What would be tried for ``asked`` (:func:`request`), by whom, and what it could cost."""
    found = route(capability, config, caller.asked, vendors)
    seconds = asked.audio.duration if isinstance(asked, TranscribeRequest) else None
    plan = routing.plan(found.steps, routing.facts(asked, seconds), caller)
    every = tuple(states)
    tried: list[Tried] = []
    for step in plan.steps:
        name, _, model = step.model.partition("/")
        vendor = vendors.get(name)
        if vendor is None or vendor.free:
            words = "free: it runs here" if vendor is None else "free: so [vendors] says"
            tried.append(Tried(model=step.model, weight=step.weight, price=words))
            continue
        price = book.find(name, model, capability)
        over = [one for one in every if _stands_over(one, caller, capability, name)]
        most = None if price is None else bounds.prove(capability, asked, price)
        nano = price.cost(most) if price is not None and isinstance(most, Billing) else None
        why = ""
        if price is None:
            why = "Its price is not known."
        elif most is not None and not isinstance(most, Billing):
            why = most.reason
        tried.append(
            Tried(
                model=step.model,
                weight=step.weight,
                price=price.words if price else "unknown",
                most=None if nano is None else dollars(nano),
                most_nano=nano,
                why=why,
                budgets=tuple(
                    Over(
                        budget=one.budget.id,
                        left=dollars(one.left),
                        left_nano=one.left,
                        fits=nano is not None and nano <= one.left,
                    )
                    for one in over
                ),
                note="" if vendor.key or vendor.credentials else f"No key of {name} is set.",
            )
        )
    return Explanation(
        capability=capability,
        over_budget=found.over_budget,
        tried=tuple(tried),
        skipped=tuple(Skipped(model=one.step.model, why=one.reason) for one in plan.skipped),
    )


def _stands_over(state: BudgetState, caller: Caller, capability: str, vendor: str) -> bool:
    own = state.budget
    subjects = {"total": "", "key": caller.key.id, "capability": capability, "vendor": vendor}
    return subjects[own.scope] == own.subject
