"""The console: one page at ``/`` that uses the server as an SDK would. Knows no vendor.

Plain files, no build: ``index.html``, ``app.js``, ``usage.js``, ``style.css``, and
``words.json`` with every word of the page in English and Korean.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from importlib import metadata, resources
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ogam import registry
from ogam.capabilities.base import CAPABILITIES, Capability
from ogam.config import Config
from ogam.errors import AuthenticationError, OgamError, OverloadedError
from ogam.gateway.keys import Keys
from ogam.server.app import Plain

# path -> file, media type
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/console/usage.js": ("usage.js", "text/javascript; charset=utf-8"),
    "/console/style.css": ("style.css", "text/css; charset=utf-8"),
    "/console/words.json": ("words.json", "application/json"),
}
# Only what this server sends runs, and nothing is sent elsewhere; sounds and pictures that the
# user chose are blobs of the page's own.
_HEADERS = {
    "cache-control": "no-cache",  # asked for again each time, and answered by 304
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def pages(config: Config, keys: Keys, ready: Callable[[], bool]) -> list[Plain]:
    """The page, its parts, and ``/console/state.json``, which wants the key where there is one."""
    folder = resources.files(__name__)
    files = [
        _file(path, (folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
    ]
    return [*files, Plain("/console/state.json", _state(config, keys, ready))]


def _file(path: str, content: bytes, kind: str) -> Plain:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_HEADERS, "etag": tag}

    async def handler(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return Plain(path, handler)


def _state(config: Config, keys: Keys, ready: Callable[[], bool]) -> Any:
    async def handler(request: Request) -> Response:
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        headers = {**_HEADERS, "cache-control": "no-store"}
        try:
            keys.check(shown.strip() if kind.lower() == "bearer" else None)
        except (AuthenticationError, OverloadedError) as error:
            said: dict[str, Any] = {"error": {"message": str(error)}}
            return Response(msgspec.json.encode(said), 401, headers, "application/json")
        routes = await asyncio.to_thread(_routes, config)
        state = {
            "version": metadata.version("ogam"),
            "key_needed": bool(keys),
            "ready": ready(),
            "routes": routes,
        }
        return Response(msgspec.json.encode(state), 200, headers, "application/json")

    return handler


def _routes(config: Config) -> dict[str, list[dict[str, Any]]]:
    return {
        capability: [_model(capability, name) for name in config.routes.of(capability).names]
        for capability in CAPABILITIES
    }


def _model(capability: Capability, name: str) -> dict[str, Any]:
    """Whether a model of a route could answer, as far as can be told without loading it."""
    why = ""
    try:
        cls = registry.engine_class(registry.parse(name).engine)
        if missing := registry.missing_modules(cls):
            why = f"{', '.join(missing)} is not installed."
        elif capability not in cls.capabilities:
            why = f"It cannot {capability}."
    except OgamError as error:
        why = str(error)
    return {"model": name, "ready": not why, "why": why}
