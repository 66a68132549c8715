"""What goes through to a vendor that speaks Google Vision's protocol: pictures, and pages of files.

Only the model of the features changes, where the route names one, and the project. What names a
picture or a file in ``gs://`` takes the ordinary way: that is a folder here, and not a bucket of
the operator's. So do operations, whose end nobody here would be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.errors import InvalidRequestError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, strict_json
from ogam.protocols.forwarding import Head
from ogam.protocols.google import passing as google
from ogam.protocols.google import passing_rpc
from ogam.protocols.google.grpc import Rpc, from_message, parsed, types
from ogam.protocols.google.passing import field, items, text
from ogam.protocols.google.protojson import number
from ogam.protocols.google_vision import convert, wire, wire_files
from ogam.protocols.google_vision.annotate import MAX_IMAGES, MAX_PAGES
from ogam.protocols.serving import Call, Protocol
from ogam.routes import Step, matches

# Google's types by the names that prices have for them.
_BILLED: dict[str, str] = {
    **convert.FEATURES,
    "LANDMARK_DETECTION": "landmarks",
    "LOGO_DETECTION": "logos",
    "SAFE_SEARCH_DETECTION": "safe_search",
    "WEB_DETECTION": "web",
}
# Google has 13 kinds.
_MAX_FEATURES = 64
_NAMES = {value: name for name, value in wire.FEATURE_TYPES.items()}


async def images(call: Call, data: bytes) -> Response | None:
    """The vendor's own answer about pictures, where the route leads to one that speaks this."""
    return await _through(call, data, wire.BatchAnnotateImagesRequest)


async def files(call: Call, data: bytes) -> Response | None:
    """The same about pages of files."""
    return await _through(call, data, wire_files.BatchAnnotateFilesRequest)


async def _through(call: Call, data: bytes, kind: type[msgspec.Struct]) -> Response | None:
    if not call.gateway.forwards(call.protocol.name) or not google.readable(call):
        return None
    try:
        body = await asyncio.to_thread(msgspec.json.decode, data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    asked = Asked(body)
    if asked.too_many or asked.stored or len(asked.models) > 1:
        return None
    target = _named(call.gateway, call.protocol, call.model(asked.model or None), asked)
    passing = _Body(call, data, asked, kind)
    return await forwarding.through(call, "see", target, passing)


def _named(gateway: Gateway, protocol: Protocol, target: Target, asked: Asked) -> Target:
    """The route with the model that was asked for in the place of ``google_vision/*``: those of
    Google's have a slash, so that nobody else puts them in.
    """
    if not asked.model or not matches(asked.model, protocol.vendor_names):
        return target
    route = gateway.route("see", target)
    steps: list[Step] = []
    for step in route.steps:
        name, _, written = step.model.partition("/")
        vendor = gateway.vendor(name)
        ours = written == "*" and vendor is not None and vendor.protocol == protocol.name
        model = f"{name}/{asked.model}" if ours else step.model
        steps.append(msgspec.structs.replace(step, model=model))
    return msgspec.structs.replace(route, models=tuple(steps))


class Asked:
    """What is read of a request, ``body`` as its JSON: see :mod:`ogam.protocols.google.passing`."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self._requests = items(field(body, "requests"))

    @property
    def models(self) -> list[str]:
        """The models that its features name. Several may lead to several."""
        features = (one for each in self._requests for one in items(field(each, "features")))
        found = (text(one, "model") for one in features)
        return list(dict.fromkeys(one for one in found if one))

    @property
    def model(self) -> str:
        """The one that it names."""
        return next(iter(self.models), "")

    def facts(self) -> Facts:
        """Its features, and the languages of its texts."""
        contexts = (field(one, "imageContext") for one in self._requests)
        hints = [each for one in contexts for each in items(field(one, "languageHints"))]
        spoken = tuple(dict.fromkeys(one for one in hints if isinstance(one, str)))
        features = tuple(dict.fromkeys(one for names, _ in self.pictures for one in names))
        return Facts(features=features or None, languages=spoken or None)

    @property
    def stored(self) -> bool:
        """Whether something is to be taken from Storage."""
        for one in self._requests:
            source = field(field(one, "image"), "source")
            uris = [text(source, "gcsImageUri"), text(source, "imageUri")]
            if uris[0] or uris[1].lower().startswith("gs:"):
                return True
            if field(field(one, "inputConfig"), "gcsSource"):
                return True
        return False

    @property
    def too_many(self) -> bool:
        """Whether it is more than Google takes, so that nobody should count it."""
        return len(self._requests) > MAX_IMAGES or any(
            len(items(field(one, "features"))) > _MAX_FEATURES
            or len(items(field(one, "pages"))) > MAX_PAGES
            for one in self._requests
        )

    @cached_property
    def pictures(self) -> list[tuple[tuple[str, ...], int]]:
        """Of each request the features by the names that prices have, and the most pictures."""
        found: list[tuple[tuple[str, ...], int]] = []
        for one in self._requests:
            features = items(field(one, "features"))
            found.append((tuple(_kind(field(each, "type")) for each in features), _most(one)))
        return found

    def answered(self, answers: Sequence[Any]) -> tuple[str, ...]:
        """The features of the pictures that were answered, each by its name."""
        found: list[str] = []
        for place, (names, _) in enumerate(self.pictures):
            one = answers[place] if place < len(answers) else None
            if _failed(one):
                continue
            pages = field(one, "responses")
            count = sum(not _failed(each) for each in items(pages)) if pages is not None else 1
            found += names * count
        return tuple(found)


class _Body(google.Body[Asked]):
    """Pictures or pages on their way."""

    def __init__(self, call: Call, data: bytes, asked: Asked, kind: type[msgspec.Struct]) -> None:
        super().__init__(call, data, asked)
        self._kind = kind
        self.features: tuple[str, ...] = every(asked)
        # Who asks for nothing is answered nothing.
        certain = bool(asked.pictures) and not google.masked(call)
        self.promised: tuple[str, ...] | None = ("responses",) if certain else ()
        self._priced = True

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its pictures and their features."""
        found = bounds.features_bound(self.features, price)
        self._priced = isinstance(found, Billing)
        odd = await asyncio.to_thread(google.odd, self._call, self._data, self._kind)
        return odd or found

    def _made(self, model: str, project: str) -> bytes:
        data = self._data
        if model != self._asked.model:
            data = _with_model(data, model)
        parent = text(self._asked.body, "parent")
        if parent != (moved := google.in_project(parent, project)):
            data = strict_json.with_field(data, "parent", moved)
        return data

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        project = await engine.raw.project()
        path, query, headers = google.where(self._call, project)
        body = await asyncio.to_thread(self._made, model, project)
        got = await engine.raw.forward("POST", path, query, body, headers)
        head = Head(status=got.status, headers=got.headers)
        if got.status >= 400:
            return head, got.body, None
        return head, got.body, await asyncio.to_thread(self._told, got.body)

    def _told(self, body: bytes) -> Units | None:
        """What was answered; None where nobody knows what one of it costs."""
        try:
            answers = items(field(msgspec.json.decode(body), "responses"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        self.features = self._asked.answered(answers)
        return Units(image_features=len(self.features)) if self._priced else None


async def message(rpc: Rpc, method: str, data: bytes, name: str) -> bytes | None:
    """The vendor's own answer to a message of gRPC, where the route leads to one that has it."""
    if not rpc.gateway.forwards(rpc.protocol.name):
        return None
    google_types = await types("google.cloud.vision_v1.types")
    sent = await asyncio.to_thread(parsed, getattr(google_types, f"{name}Request").pb(), data)
    asked = Asked(await asyncio.to_thread(from_message, sent))
    if asked.too_many or asked.stored or len(asked.models) > 1:
        return None
    target = _named(rpc.gateway, rpc.protocol, rpc.model(asked.model or None), asked)
    answer = getattr(google_types, f"{name}Response").pb()
    own = _Message(rpc, method, data, sent, answer)
    own.asked, own.features, own.kind = asked, every(asked), _KINDS[name]
    return await passing_rpc.through(rpc, "see", target, own)


class _Message(passing_rpc.Message):
    """A message on its way."""

    asked: Asked
    _priced = True

    def facts(self) -> Facts:
        """Its features and languages."""
        return self.asked.facts()

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its pictures and their features."""
        self._priced = isinstance(self.bound(price), Billing)
        return await super().prove(price)

    def bound(self, price: Price) -> Billing | Unprovable:
        """By its pictures and their features."""
        return bounds.features_bound(self.features, price)

    async def changed(self, message: Any, engine: Any, model: str) -> dict[str, str] | None:
        """The model, and the project."""
        parent = google.in_project(message.parent, await engine.raw.project())
        if model == self.asked.model and parent == message.parent:
            return {"parent": parent} if parent else None
        message.parent = parent
        if model != self.asked.model:
            for one in message.requests:
                for feature in one.features:
                    feature.model = model
        return {"parent": parent} if parent else {}

    async def told(self, answer: dict[str, Any]) -> Units | None:
        """The pictures that were answered."""
        self.features = self.asked.answered(items(answer.get("responses")))
        return Units(image_features=len(self.features)) if self._priced else None


_KINDS: dict[str, type[msgspec.Struct]] = {
    "BatchAnnotateImages": wire.BatchAnnotateImagesRequest,
    "BatchAnnotateFiles": wire_files.BatchAnnotateFilesRequest,
}


def every(asked: Asked) -> tuple[str, ...]:
    """The features of all pictures that may be answered, each by its name."""
    return tuple(name for names, most in asked.pictures for name in names * most)


def _kind(value: Any) -> str:
    try:
        name = _NAMES[number(value, wire.FEATURE_TYPES, "type")]
    except (InvalidRequestError, TypeError):
        name = str(value)[:60]
    return _BILLED.get(name, name.lower())


def _most(request: Any) -> int:
    """How many pictures a request may be: the pages that a file's names, else the first five."""
    if field(request, "inputConfig") is None:
        return 1
    return len(items(field(request, "pages"))) or MAX_PAGES


def _failed(answer: Any) -> bool:
    return bool(field(field(answer, "error"), "code"))


def _with_model(data: bytes, model: str) -> bytes:
    """The body with every feature by one model, or by none; all else as it stands."""
    Raw = dict[str, msgspec.Raw]  # noqa: N806 - a type
    body = msgspec.json.decode(data, type=Raw)
    try:
        requests = msgspec.json.decode(body["requests"], type=list[Raw])
        for request in requests:
            features = msgspec.json.decode(request.get("features", b"[]"), type=list[Raw])
            for one in features:
                one.pop("model", None)
                if model:
                    one["model"] = msgspec.Raw(msgspec.json.encode(model))
            request["features"] = msgspec.Raw(msgspec.json.encode(features))
    except (KeyError, msgspec.ValidationError):
        return data  # the vendor says what is wrong with it
    body["requests"] = msgspec.Raw(msgspec.json.encode(requests))
    return msgspec.json.encode(body)
