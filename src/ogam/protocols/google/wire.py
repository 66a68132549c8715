"""What Google's protocols have in common in their JSON."""

from __future__ import annotations

from typing import Any

import msgspec


class Operation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """https://cloud.google.com/vision/docs/reference/rest/v1/operations#Operation."""

    name: str
    metadata: dict[str, Any] = {}
    done: bool = False
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
