"""What a key may do, and how much of it in a minute. Knows no request and counts nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from ogam.capabilities.base import Capability
from ogam.errors import ForbiddenError
from ogam.routes import matches

_ALLOWED = ("capabilities", "models", "protocols")


class Policy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What one key may do. An empty tuple allows all; None is no limit.

    ``models`` are patterns (fnmatch) of the name that the client asks for, or of the model that is
    about to be tried: one of the two must fit. Limits are per minute: requests, tokens (in and
    out), characters, seconds of sound, features of pictures; ``concurrent`` calls at a time.
    """

    capabilities: tuple[Capability, ...] = ()
    models: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    characters_per_minute: int | None = None
    audio_seconds_per_minute: int | None = None
    image_features_per_minute: int | None = None
    concurrent: int | None = None

    def check_protocol(self, protocol: str) -> None:
        """ForbiddenError where this protocol is not for the key. Without a name, nothing is."""
        if protocol and self.protocols and protocol not in self.protocols:
            raise ForbiddenError(
                f"This key is not for the protocol {protocol}.",
                hint=f"It is for {', '.join(self.protocols)}.",
            )

    def check_capability(self, capability: Capability) -> None:
        """ForbiddenError where this capability is not for the key."""
        if self.capabilities and capability not in self.capabilities:
            raise ForbiddenError(
                f"This key may not {capability}.",
                hint=f"It may {', '.join(self.capabilities)}.",
            )

    def allows_model(self, asked: str, model: str) -> bool:
        """Whether ``model`` may be tried for a client that asked for the name ``asked``."""
        return (
            not self.models
            or matches(model, self.models)
            or bool(asked and matches(asked, self.models))
        )

    @property
    def allowed(self) -> dict[str, Any]:
        """What it may do, as the ledger keeps it."""
        return {name: one for name, one in self._built().items() if name in _ALLOWED}

    @property
    def limits(self) -> dict[str, Any]:
        """How much of it, as the ledger keeps it."""
        return {name: one for name, one in self._built().items() if name not in _ALLOWED}

    @property
    def words(self) -> str:
        """All of it on one line, for people; empty where nothing is restricted."""
        found = [f"only {', '.join(one)}" for one in self.allowed.values()]
        found += [f"{one:,} {name.replace('_', ' ')}" for name, one in self.limits.items()]
        return "; ".join(found)

    def _built(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)


def stored(allowed: dict[str, Any], limits: dict[str, Any]) -> Policy:
    """The policy that the ledger kept so. msgspec.ValidationError where it is of another Ogam."""
    return msgspec.convert({**allowed, **limits}, Policy)
