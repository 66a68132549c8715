"""Who may call: Ogam's own keys. Knows no protocol; each finds its key in its own place."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from ogam.errors import AuthenticationError


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was shown and is known. ``id`` may be logged, the key may not."""

    id: str


_ANYONE = Key(id="")


class Keys:
    """The keys in force. Without any, everyone may call, whatever key they show."""

    def __init__(self, accepted: Sequence[str]) -> None:
        self._hashes = [hash_key(one) for one in accepted]

    def check(self, shown: str | None) -> Key:
        """The key behind ``shown``; AuthenticationError where there is none."""
        if not self._hashes:
            return _ANYONE
        if not shown:
            raise AuthenticationError(
                "No API key was given.", hint="Send the key this server was started with."
            )
        digest = hash_key(shown)
        # Every hash is compared, each in constant time.
        found = [one for one in self._hashes if hmac.compare_digest(one, digest)]
        if not found:
            raise AuthenticationError(
                "The API key is not known here.", hint="Send the key this server was started with."
            )
        return Key(id=digest[:12])


def hash_key(key: str) -> str:
    """How a key is kept: SHA-256 in hex. ``sha256:HEX`` stands for a key already hashed."""
    if key.startswith("sha256:"):
        return key.removeprefix("sha256:").lower()
    return hashlib.sha256(key.encode()).hexdigest()
