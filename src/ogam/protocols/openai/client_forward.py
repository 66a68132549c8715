"""Bodies that go through unchanged: which header fields go with them, and which come back.

A field of the client's is dropped where it is about this connection, about the client itself, or
shows a key; one of the vendor's where it is not about this answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

Fields = Sequence[tuple[str, str]]

_DROPPED = frozenset(
    (
        # RFC 9110, section 7.6.1, and what says where a message ends
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # keys and accounts: the vendor's own stand in their place
        "api-key",
        "authorization",
        "cookie",
        "openai-organization",
        "openai-project",
        "x-api-key",
        "x-goog-api-key",
        "xi-api-key",
        # what is read along on the way must not be compressed
        "accept-encoding",
        # who asks, and from where
        "forwarded",
        "origin",
        "referer",
        "via",
        "x-real-ip",
    )
)
_DROPPED_STARTS = ("cf-", "proxy-", "sec-", "x-forwarded-", "x-ogam-")
_KEPT = frozenset(("content-encoding", "content-type"))
_KEPT_STARTS = ("openai-", "retry-after", "x-ratelimit-")
# They name the operator's account, which is not the client's affair.
_ACCOUNT = frozenset(("openai-organization", "openai-project"))


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's reply as it came. ``headers`` are those that may go to the client."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ForwardedStream(msgspec.Struct, frozen=True, kw_only=True):
    """The same, its body as it comes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: AsyncIterator[bytes]


def request_headers(given: Fields) -> list[tuple[str, str]]:
    """What of a client's header fields goes to the vendor, names in lower case."""
    fields = [(name.lower(), value) for name, value in given]
    named = {
        one.strip().lower()
        for name, value in fields
        if name == "connection"
        for one in value.split(",")
    }
    return [
        (name, value)
        for name, value in fields
        if name not in _DROPPED and name not in named and not name.startswith(_DROPPED_STARTS)
    ]


def reply_headers(given: Fields) -> tuple[tuple[str, str], ...]:
    """What of the vendor's goes to the client; its ``x-request-id`` under a name of its own."""
    kept: list[tuple[str, str]] = []
    for name, value in given:
        if name == "x-request-id":
            kept.append(("x-vendor-request-id", value))
        elif name in _KEPT or (name.startswith(_KEPT_STARTS) and name not in _ACCOUNT):
            kept.append((name, value))
    return tuple(kept)
