"""The OpenAPI 3.1 document of everything that is served, made from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

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
        for kind in (route.body, route.form, route.reply)
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
    if route.reply is not None:
        success["content"] = {"application/json": {"schema": known[repr(route.reply)]}}
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{protocol.name}_{route.method}_{route.path}".lower()),
        "summary": route.summary,
        "tags": [protocol.name],
        "security": [] if route.open else [{_KEY_OF.get(protocol.name, "x-goog-api-key"): []}, {}],
        "responses": {"200": success, "4XX": {"description": "An error, in the vendor's shape."}},
    }
    if route.page:
        found["externalDocs"] = {"url": route.page}
    if names:
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    bodies = {"application/json": route.body, "multipart/form-data": route.form}
    content = {
        media: {"schema": known[repr(kind)]} for media, kind in bodies.items() if kind is not None
    }
    if content:
        found["requestBody"] = {"required": True, "content": content}
    return found
