"""What goes through to a vendor that speaks DeepL's protocol: texts, and texts to improve.

Only the kind of model changes, where the route names one. Glossaries that were made here are
unknown there: what names one takes the ordinary way, where its terms are put in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.dispatch import Gateway
from ogam.gateway.passed import PassedRequest
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, strict_json
from ogam.protocols.deepl import languages, wire, wire_answers
from ogam.protocols.deepl.state import form, state
from ogam.protocols.forwarding import Head
from ogam.protocols.serving import Call, raw_path

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_IDS = ("glossary_id", "glossary_ids")


async def texts(call: Call) -> Response | None:
    """The vendor's own translations, where the route leads to one that speaks DeepL's protocol."""
    passing = await _read(call, wire.TranslateBody)
    if passing is None or await has_own_glossary(call.gateway, passing.glossaries):
        return None
    return await forwarding.through(call, "translate", call.model(None), passing)


async def improvements(call: Call, kind: type[msgspec.Struct]) -> Response | None:
    """The vendor's own improvements, where the route to translate leads to it first.

    They are billed as translations are. Nothing else on that route could take its place.
    """
    passing = await _read(call, kind)
    if passing is None:
        return None
    gateway, route = call.gateway, call.gateway.config.routes.of("translate")
    first = next((at for at, one in enumerate(route.names) if not at_vendor(gateway, one)), None)
    only = msgspec.structs.replace(route, models=route.models[:first])
    return await forwarding.through(call, "translate", only, passing) if only.models else None


def at_vendor(gateway: Gateway, model: str) -> bool:
    """Whether a model is one of a vendor that speaks this protocol."""
    vendor = gateway.vendor(model)
    return vendor is not None and vendor.protocol == "deepl"


async def has_own_glossary(gateway: Gateway, identities: Sequence[str]) -> bool:
    """Whether one of these glossaries was made here."""
    has = state(gateway).glossaries.has
    return bool(identities) and await asyncio.to_thread(lambda: any(map(has, identities)))


def where(call: Call, kind: str | None = None) -> tuple[str, list[tuple[str, str]]]:
    """The path as it travelled, and the header fields: ``kind`` in place of the content type."""
    request = call.request
    given = [one for one in forwarding.fields(request) if kind is None or one[0] != "content-type"]
    return raw_path(request.scope), given + ([("content-type", kind)] if kind else [])


async def _read(call: Call, kind: type[msgspec.Struct]) -> _Texts | None:
    """A body that may go through; None where there is nobody to send it to, or it is none.

    DeepL takes fields from the address too, where nobody counts them here.
    """
    if not call.gateway.forwards(call.protocol.name) or call.request.scope["query_string"]:
        return None
    try:
        passing = _Texts(call, await call.request.body(), kind)
    except (msgspec.DecodeError, ValueError):
        return None
    return passing


class _Texts(forwarding.Whole):
    """Texts on their way."""

    promised: tuple[str, ...] | None = ("translations", "improvements")

    def __init__(self, call: Call, data: bytes, kind: type[msgspec.Struct]) -> None:
        self._call, self._data, self._kind = call, data, kind
        self._form = form(call)
        self._fields = (
            _of_form(data) if self._form else msgspec.json.decode(data, type=dict[str, Any])
        )
        self._texts = _listed(self._fields.get("text"))

    @property
    def glossaries(self) -> list[str]:
        """Those that it names."""
        return [one for name in _IDS for one in _listed(self._fields.get(name), cut=self._form)]

    @property
    def said(self) -> bytes:
        """The body as it came."""
        return self._data

    def facts(self) -> Facts:
        """Its languages and length."""
        source, target = self._fields.get("source_lang"), self._fields.get("target_lang")
        count = sum(map(len, self._texts))
        if not isinstance(target, str) or not target:
            return Facts(characters=count)
        pair = ""
        if isinstance(source, str) and source:
            pair = f"{languages.base(source)}-{languages.base(target)}".lower()
        return Facts(languages=(languages.tag(target),), pair=pair, characters=count)

    def same(self) -> PassedRequest:
        """Its fields."""
        body = self._fields if self._form else strict_json.decode(self._data)
        return forwarding.same(self._call, body)

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its characters, as DeepL counts: code points."""
        body = self._fields if self._form else strict_json.decode(self._data)
        known = {one.encode_name for one in msgspec.structs.fields(self._kind)}
        odd = {name for name, value in body.items() if value is not None} - known
        if odd:
            return Unprovable(
                reason=f"What {min(odd)[:60]!r} costs is not known.", hint="Leave it out."
            )
        return bounds.characters_bound(sum(map(len, _listed(body.get("text")))), price)

    def _made(self, model: str) -> bytes:
        named = model and self._kind is wire.TranslateBody
        if not named or model == self._fields.get("model_type"):
            return self._data
        if not self._form:
            return strict_json.with_field(self._data, "model_type", model)
        kept = [one for one in wire.fields(self._data) if one[0] != "model_type"]
        return urlencode([*kept, ("model_type", model)]).encode()

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        path, headers = where(self._call, _FORM if self._form else _JSON)
        got = await engine.raw.forward("POST", path, "", self._made(model), headers)
        head = Head(status=got.status, headers=got.headers)
        units = None if got.status >= 400 else await self._told(got.body)
        return head, got.body, units

    async def _told(self, body: bytes) -> Units:
        """What it says that it billed; where it was not asked for that, all characters."""
        try:
            said = msgspec.json.decode(body, type=wire_answers.Translations).translations
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = []
        told = [one.billed_characters for one in said if one.billed_characters is not None]
        whole = len(told) == len(self._texts)
        count = sum(told) if whole else sum(map(len, self._texts))
        return Units(characters=count)


def _of_form(data: bytes) -> dict[str, Any]:
    """The fields of a URL-encoded body, each a list. ValueError where it is none."""
    found: dict[str, Any] = {}
    for name, value in wire.fields(data):
        found.setdefault(name.removesuffix("[]"), []).append(value)
    return {name: one[0] if name in _SINGLE else one for name, one in found.items()}


_SINGLE = ("source_lang", "target_lang", "model_type")


def _listed(value: Any, *, cut: bool = False) -> list[str]:
    """Texts out of one or several; with ``cut`` also out of such with commas."""
    given = cast("list[Any]", value) if isinstance(value, list) else [value]
    found = [one for one in given if isinstance(one, str)]
    return [part for one in found for part in one.split(",")] if cut else found
