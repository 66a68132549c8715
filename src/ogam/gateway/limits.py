"""How much a key may ask for: requests and units in a minute, calls at a time.

Requests and calls at a time are counted before the work; units when it is over, as they are not
known before: what goes over the limit is a debt, and until it is worked off the key waits. All of
it is in memory: several processes each let through a key's whole limit. Knows no model.
"""

from __future__ import annotations

import time

from ogam.capabilities.base import Capability, Units
from ogam.errors import RateLimitedError
from ogam.gateway.caller import Caller
from ogam.gateway.keys import Key, Keys
from ogam.gateway.policy import Policy

# limit -> what it counts, in words
_UNITS = {
    "tokens_per_minute": "tokens",
    "characters_per_minute": "characters",
    "audio_seconds_per_minute": "seconds of sound",
    "image_features_per_minute": "features of pictures",
}


class Bucket:
    """So many a minute: it holds a minute's worth, fills at an even rate, and may be in debt."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.most = per_minute
        self._level, self._at = float(per_minute), now

    def wait(self, now: float) -> float:
        """Seconds until there is one; 0 where there is."""
        self._fill(now)
        return max(0.0, (1 - self._level) * 60 / self.most)

    def take(self, amount: float, now: float) -> None:
        """Take so much, whether it is there or not."""
        self._fill(now)
        self._level -= amount

    def _fill(self, now: float) -> None:
        self._level = min(self.most, self._level + max(0.0, now - self._at) * self.most / 60)
        self._at = now


class _Use:
    """What one key uses."""

    def __init__(self, policy: Policy, now: float) -> None:
        self.policy = policy
        self.free = not policy.limits
        self.running = 0
        asked = policy.requests_per_minute
        self.requests = None if asked is None else Bucket(asked, now)
        self.units = {
            name: Bucket(most, now)
            for name in _UNITS
            if (most := getattr(policy, name)) is not None
        }

    def charge(self, units: Units, now: float) -> None:
        """Count what a call used."""
        used = {
            "tokens_per_minute": units.input_tokens + units.output_tokens,
            "characters_per_minute": units.characters,
            "audio_seconds_per_minute": units.audio_ms / 1000,
            "image_features_per_minute": units.image_features,
        }
        for name, bucket in self.units.items():
            bucket.take(used[name], now)


class Ticket:
    """One call that was let in."""

    __slots__ = ("_use",)

    def __init__(self, use: _Use) -> None:
        use.running += 1
        self._use: _Use | None = use

    def close(self, units: Units) -> None:
        """The call is over and used so much. Only the first time counts."""
        use, self._use = self._use, None
        if use is not None:
            use.running -= 1
            use.charge(units, time.monotonic())

    def __del__(self) -> None:
        # A call that was let in and never begun, because its client left in between.
        self.close(Units())


class Limits:
    """One gateway's."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._uses: dict[str, _Use] = {}

    def admit(self, caller: Caller, capability: Capability) -> Ticket | None:
        """Let one call in; None where nothing about its key is to be counted.

        AuthenticationError where its key has ended meanwhile, ForbiddenError where it may not do
        this, RateLimitedError where it has to wait.
        """
        if not caller.key.id:
            return None
        key = caller.key = self._keys.now(caller.key)
        policy = key.policy
        policy.check_capability(capability)
        policy.check_protocol(caller.protocol)
        now = time.monotonic()
        use = self._uses.get(key.id)
        if use is None or use.policy is not policy:
            use = self._renewed(key.id, policy, now)
        if use.free:
            return None
        _refuse(use, f"The key {key.name or key.id!r}", now)
        if use.requests is not None:
            use.requests.take(1, now)
        return Ticket(use)

    def running(self, key: Key) -> int:
        """How many calls of the key are under way, where it has limits."""
        use = self._uses.get(key.id)
        return 0 if use is None else use.running

    def _renewed(self, key: str, policy: Policy, now: float) -> _Use:
        """The key's counts, which go on where the keys were only read again."""
        old = self._uses.get(key)
        if old is not None and old.policy == policy:
            old.policy = policy
            return old
        new = self._uses[key] = _Use(policy, now)
        return new


def _refuse(use: _Use, who: str, now: float) -> None:
    most = use.policy.concurrent
    if most is not None and use.running >= most:
        raise RateLimitedError(
            f"{who} may make {most} calls at a time.",
            hint="Wait for one to end.",
            limit="concurrent",
        )
    buckets = [] if use.requests is None else [("requests", use.requests)]
    for what, bucket in (*buckets, *((_UNITS[name], one) for name, one in use.units.items())):
        wait = bucket.wait(now)
        if wait > 0:
            raise RateLimitedError(
                f"{who} has used its {bucket.most:,} {what} a minute.",
                hint=f"Come again in {wait:.1f} s.",
                retry_after=wait,
                limit=what,
            )
