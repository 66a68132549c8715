"""What was asked and answered, as JSON to be kept: texts whole, media by their hash alone."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import msgspec

from ogam.gateway.ledger import Ledger
from ogam.gateway.ledger.redaction import Redaction
from ogam.media import Audio, Image
from ogam.routes import Route


def keep(ledger: Ledger, call: str, route: Route, request: Any, answer: Any) -> None:
    """Keep a call's request and answer, values or JSON, without what the route takes out."""
    redaction = _redaction(route.redact)
    ledger.record(call, redaction.json(_json(request)), redaction.json(_json(answer)))


@lru_cache(maxsize=64)
def _redaction(patterns: tuple[str, ...]) -> Redaction:
    return Redaction(patterns)


def _json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Audio | Image):
        data = value.data
        return {"media_type": value.media_type, "sha256": hashlib.sha256(data).hexdigest()}
    return str(value)
