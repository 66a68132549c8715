"""Requests and replies that go through unchanged, as the cache and the ledger see them."""

from __future__ import annotations

from typing import Any

from ogam.capabilities.base import Request, Result, Value

Fields = tuple[tuple[str, str], ...]


class PassedRequest(Request, frozen=True, kw_only=True):
    """What makes two of them equal: ``where`` they go (protocol, path, query) and the ``body``,
    as JSON's values. ``text`` is the part of it that a near one may stand for, which the body is
    then without; empty: there is none.
    """

    where: str
    body: Any
    text: str = ""


class PassedHead(Value, frozen=True, kw_only=True):
    """A reply before its body. ``headers`` are those that may go to the client."""

    model: str
    status: int
    headers: Fields


class PassedResult(Result, frozen=True, kw_only=True):
    """A reply: what it says it used in ``units``, and the whole ``body``, where it is kept."""

    status: int
    headers: Fields
    body: bytes

    @property
    def head(self) -> PassedHead:
        """What stands before the body."""
        return PassedHead(model=self.model, status=self.status, headers=self.headers)


def lasting(result: Result) -> bool:
    """Whether an answer may be given again: a vendor's refusal is for once."""
    return not isinstance(result, PassedResult) or result.status < 400
