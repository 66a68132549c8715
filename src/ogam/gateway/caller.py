"""Who asks: the key, the protocol and the request's id, for routes, limits, budgets and ledger.

Bound to the context of a request, because what stands between a handler and the gateway need
not know of it. The library's calls have none of their own: no key, protocol "library".
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from ogam.gateway import ids
from ogam.gateway.keys import ANYONE, Key

if TYPE_CHECKING:
    from ogam.gateway.trail import Trail
    from ogam.routes import Route


class Caller:
    """One request's. ``asked`` is the model's name as the client gave it; ``answered`` becomes
    the model that answered, once one has, and ``cached`` how, where that was from the cache.
    ``trail`` is of a call that was begun and is not over, ``rest`` the steps that it has still to
    try. ``trace`` is the W3C traceparent that came with the request.
    """

    __slots__ = (
        "_calls",
        "answered",
        "asked",
        "cached",
        "id",
        "key",
        "protocol",
        "rest",
        "trace",
        "trail",
    )

    def __init__(
        self,
        *,
        key: Key | None = None,
        protocol: str = "library",
        request: str = "",
        trace: str = "",
    ) -> None:
        self.key = key or ANYONE
        self.protocol, self.trace = protocol, trace
        self.id = request or ids.new()
        self.answered = self.asked = self.cached = ""
        self.trail: Trail | None = None
        self.rest: Route | None = None
        self._calls = 0

    def next_id(self) -> str:
        """The id of the next call: the request's own, and with a number where it makes more."""
        self._calls += 1
        return self.id if self._calls == 1 else f"{self.id}.{self._calls}"


_bound: ContextVar[Caller | None] = ContextVar("ogam_caller", default=None)


def current() -> Caller:
    """The caller of the request that is being answered."""
    return _bound.get() or Caller()


def bind(caller: Caller) -> None:
    """From here on, in this context, ``caller`` asks."""
    _bound.set(caller)
