"""What Google's protocols share of bodies that go through unchanged: where they go, what is read
of them, and what of them is kept. Knows no service.
"""

from __future__ import annotations

import base64
import re
from binascii import Error
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import unquote

import msgspec

from ogam.errors import InvalidRequestError
from ogam.gateway.bounds import Unprovable
from ogam.gateway.passed import PassedRequest
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, strict_json
from ogam.protocols.google import protojson
from ogam.protocols.serving import Call, raw_path
from ogam.vendors import Vendor

Fields = list[tuple[str, str]]
# They show who asks; the vendor's own credentials stand in their place.
_SHOWN = frozenset(("key", "access_token", "bearer_token", "oauth_token"))
# What asks for nothing that is billed. https://cloud.google.com/apis/docs/system-parameters
_FREE_QUERY = frozenset(
    ("alt", "fields", "prettyPrint", "quotaUser", ".xgafv", "key", "access_token")
)
# Whose project it is called for, what of the path may change on the way, and another method than
# the one that was sent.
_DROPPED = frozenset(("x-goog-request-params", "x-goog-user-project", "x-http-method-override"))
_PROJECT = re.compile(r"(?<![^/])projects/[^/:]+")


def readable(call: Call) -> bool:
    """Whether the body is JSON, and so will be the reply. Others take the ordinary way, as do
    addresses that hold header fields, a body or a method.
    """
    kind = call.request.headers.get("content-type", "application/json")
    if not kind.lower().startswith("application/json"):
        return False
    for name, value in _query(call):
        plain = name.removeprefix("$")
        if plain == "alt" and not value.lower().startswith("json"):
            return False
        if plain in ("callback", "req", "ct") or plain.startswith("http"):
            return False
    return True


def where(call: Call, project: str) -> tuple[str, str, Fields]:
    """The path as it travelled, in the operator's ``project`` where that is known, the query
    without a key, and the header fields.
    """
    request = call.request
    path = in_project(raw_path(request.scope), project)
    parts = request.scope["query_string"].decode("latin-1").split("&")
    query = "&".join(one for one in parts if unquote(one.partition("=")[0]) not in _SHOWN)
    headers = [one for one in forwarding.fields(request) if one[0] not in _DROPPED]
    return path, query, headers


def in_project(name: str, project: str) -> str:
    """A resource's name, or a path, in another project; as it is where none is given."""
    return _PROJECT.sub(lambda _: f"projects/{project}", name, count=1) if project else name


def stored(vendor: Vendor, uris: Sequence[str]) -> bool:
    """Whether ``gs://`` means what lies at the vendor: elsewhere it is a folder here."""
    return all(map(vendor.reads, uris))


def masked(call: Call) -> bool:
    """Whether only some fields of the reply are asked for."""
    return any(name.removeprefix("$") == "fields" for name, _ in _query(call))


def field(value: Any, name: str) -> Any:
    """A field of an object in JSON by its usual name, however it is spelled; None: not there."""
    if not isinstance(value, dict):
        return None
    pairs = cast("dict[str, Any]", value).items()
    return next((one for key, one in pairs if protojson.json_name(key) == name), None)


def items(value: Any) -> list[Any]:
    """A list, or none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: Any, name: str) -> str:
    """A field that is a text; empty where it is none."""
    found = field(value, name)
    return found if isinstance(found, str) else ""


def content(value: Any, name: str) -> bytes:
    """A field that is bytes: in base64, or, of a protocol buffer, as they are."""
    found = field(value, name)
    if isinstance(found, bytes):
        return found
    plain = text(value, name)
    try:
        return base64.b64decode(plain, validate=True)
    except (Error, ValueError):
        plain = "".join(plain.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (Error, ValueError):
        raise InvalidRequestError("It is not in base64.", param=name) from None


def odd(call: Call, data: bytes, kind: type[msgspec.Struct]) -> Unprovable | None:
    """Why nobody knows what a body costs, where it has fields that nobody here has heard of.

    InvalidRequestError where two readers could find different things in it.
    """
    names = {name.removeprefix("$") for name, _ in _query(call)} - _FREE_QUERY
    if names:
        return unknown(min(names))
    strict_json.decode(data)
    try:
        protojson.parse(data, kind)
    except InvalidRequestError as error:
        return Unprovable(
            reason=f"What this costs is not known: {error.message}", hint="Leave it out."
        )
    return None


def unknown(name: str) -> Unprovable:
    """Nobody knows what ``name`` costs."""
    return Unprovable(reason=f"What {name[:60]!r} costs is not known.", hint="Leave it out.")


def kept(value: Any) -> bytes:
    """What was asked as it may be kept, as JSON: pictures and sound by their hash."""
    try:
        return msgspec.json.encode(_told(value))
    except RecursionError:
        return b""


class About(Protocol):
    """What a service reads of a request, ``body`` as its JSON."""

    body: Any

    @property
    def uris(self) -> list[str]:
        """What it names in Cloud Storage."""
        ...

    def facts(self) -> Facts:
        """What conditions of a route are about."""
        ...


A = TypeVar("A", bound=About)


class Body(forwarding.Whole, Generic[A]):
    """A body in JSON on its way."""

    def __init__(self, call: Call, data: bytes, asked: A) -> None:
        self._call, self._data, self._asked = call, data, asked

    @property
    def said(self) -> bytes:
        """The body, pictures and sound by their hash."""
        return kept(self._asked.body)

    def facts(self) -> Facts:
        """What conditions of a route are about."""
        return self._asked.facts()

    def same(self) -> PassedRequest | None:
        """The body as it is kept, at an address without a key; what lies elsewhere may change."""
        if self._asked.uris:
            return None
        said, query = self.said, where(self._call, "")[1]
        return forwarding.same(self._call, msgspec.json.decode(said), query=query) if said else None


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    pairs = cast("dict[str, Any]", value).items()
    return {key: _hash(one) if key == "content" else _told(one) for key, one in pairs}


def _hash(value: Any) -> Any:
    try:
        data = content({"content": value}, "content")
    except InvalidRequestError:
        data = str(value).encode()
    return {"sha256": sha256(data).hexdigest()}


def _query(call: Call) -> list[tuple[str, str]]:
    return list(call.request.query_params.multi_items())
