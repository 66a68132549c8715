"""What goes through to a vendor that speaks Google Vision's protocol: pictures, and pages of files.

Only the model of the features changes, where the route names one, and the project. What names
``gs://`` takes the ordinary way: that is a folder here, but for the buckets that are the vendor's
to read.

An operation is billed for all pictures that it was asked for. How many pages a file has is not
told, so all that they may cost stays set aside: see :mod:`ogam.protocols.google.passing_work`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

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
from ogam.protocols.google import passing_rpc, passing_work, passing_work_rpc
from ogam.protocols.google.grpc import Rpc, from_message, parsed, types
from ogam.protocols.google.passing import field, items, text
from ogam.protocols.google.protojson import number
from ogam.protocols.google_vision import convert, operations, wire, wire_files
from ogam.protocols.google_vision.annotate import MAX_IMAGES, MAX_PAGES
from ogam.protocols.serving import Call, Protocol
from ogam.routes import Route, Step, matches

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


class Method(NamedTuple):
    """A method: its name, what it is asked, and how many pictures or files it takes at most;
    ``later`` says that it is an operation.
    """

    name: str
    kind: type[msgspec.Struct]
    most: int
    later: bool = False


IMAGES = Method("BatchAnnotateImages", wire.BatchAnnotateImagesRequest, MAX_IMAGES)
FILES = Method("BatchAnnotateFiles", wire_files.BatchAnnotateFilesRequest, MAX_IMAGES)
IMAGES_LATER = Method(
    "AsyncBatchAnnotateImages",
    wire_files.AsyncBatchAnnotateImagesRequest,
    operations.MAX_IMAGES,
    later=True,
)
FILES_LATER = Method(
    "AsyncBatchAnnotateFiles",
    wire_files.AsyncBatchAnnotateFilesRequest,
    operations.MAX_FILES,
    later=True,
)


async def annotated(call: Call, data: bytes, method: Method) -> Response | None:
    """The vendor's own answer, where the route leads to one that speaks this."""
    if not call.gateway.forwards(call.protocol.name) or not google.readable(call):
        return None
    try:
        body = await asyncio.to_thread(msgspec.json.decode, data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    asked = Asked(body, method)
    target = _named(call.gateway, call.protocol, call.model(asked.model or None), asked)
    if target is None:
        return None
    passing = _Body(call, data, asked, method)
    if method.later:
        return await passing_work.begin(call, "see", target, passing)
    return await forwarding.through(call, "see", target, passing)


def _named(gateway: Gateway, protocol: Protocol, target: Target, asked: Asked) -> Route | None:
    """The route with the model that was asked for in the place of ``google_vision/*``: those of
    Google's have a slash, so that nobody else puts them in. None for what does not go through.
    """
    if asked.too_many or len(asked.models) > 1:
        return None
    known = bool(asked.model) and matches(asked.model, protocol.vendor_names)
    route = gateway.route("see", target)
    steps: list[Step] = []
    for step in route.steps:
        name, _, written = step.model.partition("/")
        vendor = gateway.vendor(name)
        ours = vendor is not None and vendor.protocol == protocol.name
        if vendor is not None and ours and not google.stored(vendor, asked.uris):
            return None
        model = f"{name}/{asked.model}" if ours and known and written == "*" else step.model
        steps.append(msgspec.structs.replace(step, model=model))
    return msgspec.structs.replace(route, models=tuple(steps))


class Asked:
    """What is read of a request, ``body`` as its JSON: see :mod:`ogam.protocols.google.passing`."""

    def __init__(self, body: Any, method: Method) -> None:
        self.body, self._method = body, method
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
    def uris(self) -> list[str]:
        """What it names in Cloud Storage, to be read and to be written."""
        found: list[str] = []
        for one in (self.body, *self._requests):
            source = field(field(one, "image"), "source")
            found.append(text(source, "gcsImageUri"))
            if text(source, "imageUri").lower().startswith("gs:"):
                found.append(text(source, "imageUri"))
            found.append(text(field(field(one, "inputConfig"), "gcsSource"), "uri"))
            found.append(text(field(field(one, "outputConfig"), "gcsDestination"), "uri"))
        return [one for one in found if one]

    @property
    def too_many(self) -> bool:
        """Whether it is more than Google takes, so that nobody should count it."""
        return len(self._requests) > self._method.most or any(
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
            most = 1
            if field(one, "inputConfig") is not None:
                pages = operations.MAX_PAGES if self._method.later else MAX_PAGES
                most = len(items(field(one, "pages"))) or pages
            found.append((tuple(_kind(field(each, "type")) for each in features), most))
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

    def __init__(self, call: Call, data: bytes, asked: Asked, method: Method) -> None:
        super().__init__(call, data, asked)
        self._method = method
        self.features: tuple[str, ...] = every(asked)
        # Who asks for nothing is answered nothing.
        certain = bool(asked.pictures) and not google.masked(call)
        promised = "name" if method.later else "responses"
        self.promised: tuple[str, ...] | None = (promised,) if certain else ()
        self._priced = True

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its pictures and their features."""
        found = bounds.features_bound(self.features, price)
        self._priced = isinstance(found, Billing)
        odd = await asyncio.to_thread(google.odd, self._call, self._data, self._method.kind)
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
        """What was answered; None where nobody knows how many there are, or what one costs."""
        if self._method.later:
            return _begun(self._asked, self._method, priced=self._priced)
        try:
            answers = items(field(msgspec.json.decode(body), "responses"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        self.features = self._asked.answered(answers)
        return Units(image_features=len(self.features)) if self._priced else None


async def message(rpc: Rpc, data: bytes, method: Method) -> bytes | None:
    """The vendor's own answer to a message of gRPC, where the route leads to one that has it."""
    if not rpc.gateway.forwards(rpc.protocol.name):
        return None
    google_types = await types("google.cloud.vision_v1.types")
    name = f"{method.name}Request"
    sent = await asyncio.to_thread(parsed, getattr(google_types, name).pb(), data)
    asked = Asked(await asyncio.to_thread(from_message, sent), method)
    target = _named(rpc.gateway, rpc.protocol, rpc.model(asked.model or None), asked)
    if target is None:
        return None
    if method.later:
        answer = (await types("google.longrunning.operations_pb2")).Operation
    else:
        answer = getattr(google_types, f"{method.name}Response").pb()
    where = f"/google.cloud.vision.v1.ImageAnnotator/{method.name}"
    own = _Message(rpc, where, data, sent, answer)
    own.asked, own.features, own.kind, own.method = asked, every(asked), method.kind, method
    if method.later:
        return await passing_work_rpc.begin(rpc, "see", target, own)
    return await passing_rpc.through(rpc, "see", target, own)


class _Message(passing_rpc.Message):
    """A message on its way."""

    asked: Asked
    method: Method
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
        if self.method.later:
            return _begun(self.asked, self.method, priced=self._priced)
        self.features = self.asked.answered(items(answer.get("responses")))
        return Units(image_features=len(self.features)) if self._priced else None


def _begun(asked: Asked, method: Method, *, priced: bool) -> Units | None:
    """What an operation is billed for: its pictures; how many pages there are nobody is told."""
    if method is FILES_LATER or not priced:
        return None
    return Units(image_features=len(every(asked)))


def every(asked: Asked) -> tuple[str, ...]:
    """The features of all pictures that may be answered, each by its name."""
    return tuple(name for names, most in asked.pictures for name in names * most)


def _kind(value: Any) -> str:
    try:
        name = _NAMES[number(value, wire.FEATURE_TYPES, "type")]
    except (InvalidRequestError, TypeError):
        name = str(value)[:60]
    return _BILLED.get(name, name.lower())


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
