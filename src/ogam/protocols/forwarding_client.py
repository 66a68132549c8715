"""Raw requests to a vendor, for bodies that go through unchanged: which header fields go with
them, which come back, and the exchange itself.

A field of the client's is dropped where it is about this connection, about the client itself, or
shows a key; one of the vendor's where it is not about this answer. Knows no vendor's errors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

import msgspec

from ogam import net
from ogam.vendors import Vendor

Fields = Sequence[tuple[str, str]]
# Raises where a status that is no 2xx is not the request's fault.
Check = Callable[[int, net.Headers, bytes], None]

DROPPED = frozenset(
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
_KEPT = frozenset(
    (
        "character-cost",
        "content-disposition",
        "content-encoding",
        "content-type",
        "history-item-id",
    )
)
_KEPT_STARTS = ("openai-", "retry-after", "x-ratelimit-")
# They name the operator's account, which is not the client's affair.
_ACCOUNT = frozenset(("openai-organization", "openai-project"))
# Each vendor's name for the id of a request; the server gives its own under the same.
_REQUEST_IDS = frozenset(("request-id", "x-request-id", "x-trace-id"))


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
    fields = [(lower, value) for name, value in given if (lower := _goes(name))]
    for name, value in given:
        if name.lower() == "connection":
            named = {one.strip().lower() for one in value.split(",")}
            fields = [field for field in fields if field[0] not in named]
    return fields


# A client's fields are the same from call to call.
_going = lru_cache(64)(request_headers)


@lru_cache(256)
def _goes(name: str) -> str:
    """The name in lower case; empty where the field does not go to the vendor."""
    lower = name.lower()
    return "" if lower in DROPPED or lower.startswith(_DROPPED_STARTS) else lower


def reply_headers(given: Fields) -> tuple[tuple[str, str], ...]:
    """What of the vendor's goes to the client; its id of the request under a name of its own."""
    return tuple([(shown, value) for name, value in given if (shown := _comes(name))])


@lru_cache(256)
def _comes(name: str) -> str:
    """The name under which the client gets the field; empty where it does not."""
    if name in _REQUEST_IDS:
        return "x-vendor-request-id"
    kept = name in _KEPT or (name.startswith(_KEPT_STARTS) and name not in _ACCOUNT)
    return name if kept else ""


class Raw:
    """A vendor's raw way: a client's requests with the account's key, and the raw replies.

    ``headers()`` are the vendor's own, its key among them. What the vendor finds wrong in a
    request comes back as it said it; ``check`` raises VendorError for all else: the key, the
    quota, too many requests, a failure.
    """

    def __init__(
        self, http: net.Client, vendor: Vendor, headers: Callable[[], Fields], check: Check
    ) -> None:
        self._http, self._vendor, self._headers, self._check = http, vendor, headers, check

    async def forward(
        self, method: str, path: str, query: str, body: bytes, headers: Fields
    ) -> Forwarded:
        """Ask, and take the whole reply. ``path`` and ``query`` as they came, percent signs and
        all.
        """
        reply = await self._http.request(
            method,
            _address(path, query),
            headers=self._merged(headers),
            body=body,
            timeout=self._vendor.timeout,
        )
        if not 200 <= reply.status < 300:
            self._check(reply.status, reply.headers, reply.body)
        return Forwarded(
            status=reply.status, headers=reply_headers(reply.headers.items()), body=reply.body
        )

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, query: str, body: bytes, headers: Fields
    ) -> AsyncGenerator[ForwardedStream]:
        """As :meth:`forward`, for a reply that is read as it comes. Leaving ends the connection."""
        async with self._http.stream(
            method,
            _address(path, query),
            headers=self._merged(headers),
            body=body,
            timeout=self._vendor.timeout,
        ) as streamed:
            chunks: AsyncIterator[bytes] = aiter(streamed)
            if not 200 <= streamed.status < 300:
                said = await streamed.read()
                self._check(streamed.status, streamed.headers, said)
                chunks = _once(said)
            yield ForwardedStream(
                status=streamed.status,
                headers=reply_headers(streamed.headers.items()),
                chunks=chunks,
            )

    def _merged(self, given: Fields) -> list[tuple[str, str]]:
        fields = dict(_going(tuple(given)))
        fields.update([(name.lower(), value) for name, value in self._headers()])
        return list(fields.items())


def _address(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
