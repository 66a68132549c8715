"""The OpenAPI 3.1 document of everything that is served, made from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, cast

import msgspec

from ogam.protocols.serving import Protocol, Route

# Where each vendor's SDK puts its key; any of these is asked for once the server has keys.
_KEYS: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "xi-api-key": {"type": "apiKey", "in": "header", "name": "xi-api-key"},
    "deepl": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "DeepL-Auth-Key KEY",
    },
    "x-goog-api-key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
}
_KEY_OF = {"openai": "bearer", "elevenlabs": "xi-api-key", "deepl": "deepl"}


def document(
    protocols: Sequence[Protocol], own: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Paths, parameters, bodies and replies; where two protocols share a path, the first's.

    ``own`` are paths of the server's own, as the document says them.
    """
    kinds = [
        kind
        for protocol in protocols
        for route in protocol.routes
        for kind in (route.body, *_replies(route))
        if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    known = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {**(own or {})}
    for protocol in protocols:
        for route in protocol.routes:
            methods = paths.setdefault(route.path, {})
            if route.method.lower() not in methods:
                methods[route.method.lower()] = _operation(protocol, route, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ogam", "version": metadata.version("ogam")},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _KEYS},
    }


def _operation(protocol: Protocol, route: Route, known: dict[str, Any]) -> dict[str, Any]:
    names: list[str] = re.findall(r"\{(\w+)\}", route.path)
    success: dict[str, Any] = {"description": "The answer."}
    answers: dict[str, Any] = {media: {} for media in route.media}
    if route.reply is not None:
        either = [known[repr(kind)] for kind in _replies(route)]
        whole: dict[str, Any] = either[0] if len(either) == 1 else {"anyOf": either}
        answers["application/json"] = {"schema": whole}
    if answers:
        success["content"] = answers
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{protocol.name}_{route.method}_{route.path}".lower()),
        "summary": route.summary,
        "tags": [protocol.name],
        "security": [] if route.open else [{_KEY_OF.get(protocol.name, "x-goog-api-key"): []}, {}],
        "responses": {
            str(route.status): success,
            "4XX": {"description": "An error, in the vendor's shape."},
        },
    }
    if route.page:
        found["externalDocs"] = {"url": route.page}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    if route.query is not None:
        parameters += _asked(route.query)
    if parameters:
        found["parameters"] = parameters
    content: dict[str, Any] = {}
    if route.body is not None:
        content["application/json"] = {"schema": known[repr(route.body)]}
    if route.form is not None:
        content["multipart/form-data"] = {"schema": _form(route)}
    if content:
        found["requestBody"] = {"required": True, "content": content}
    return found


def _replies(route: Route) -> tuple[Any, ...]:
    given: Any = route.reply
    return cast("tuple[Any, ...]", given) if isinstance(given, tuple) else (given,)


def _fields(kind: Any) -> dict[str, Any]:
    """An object's schema with its fields in place, and what they refer to too."""
    found = msgspec.json.schema(kind)
    every: dict[str, Any] = found.get("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            given = cast(dict[str, Any], value)
            if "$ref" in given:
                return whole(every[given["$ref"].rpartition("/")[2]])
            return {name: whole(one) for name, one in given.items() if name != "$defs"}
        if isinstance(value, list):
            return [whole(one) for one in cast(list[Any], value)]
        return value

    return whole(found)


def _form(route: Route) -> dict[str, Any]:
    schema = _fields(route.form)
    if not route.file:
        return schema
    file = {"type": "string", "format": "binary"}
    return {
        **schema,
        "properties": {**schema["properties"], route.file: file},
        "required": [*schema["required"], route.file],
    }


def _asked(kind: Any) -> list[dict[str, Any]]:
    schema = _fields(kind)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema["required"],
            "schema": _given(field),
        }
        for name, field in schema["properties"].items()
    ]


def _given(field: dict[str, Any]) -> dict[str, Any]:
    """A field of a query: what would be null is left out."""
    found = {name: one for name, one in field.items() if (name, one) != ("default", None)}
    kinds = [one for one in found.pop("anyOf", ()) if one != {"type": "null"}]
    several = {"anyOf": kinds} if len(kinds) > 1 else {}
    return {**found, **(kinds[0] if len(kinds) == 1 else several)}
