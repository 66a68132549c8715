"""Calls to one of Google's REST APIs: a message out, a message in, errors in Ogam's words.

Knows no API. The key stands in a header, never in the URL.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec

from ogam.errors import NotConfiguredError, TooLargeError, VendorError
from ogam.net import Client, Headers
from ogam.protocols.forwarding_client import Fields, Forwarded, Raw
from ogam.protocols.google import client_errors, protojson
from ogam.protocols.google.client_auth import Auth
from ogam.protocols.google.client_rpc import Rpcs
from ogam.vendors import Vendor

T = TypeVar("T")
# Google's limit on a request in JSON, its media in base64 included.
# https://cloud.google.com/vision/quotas and https://cloud.google.com/speech-to-text/quotas
MAX_JSON = 10 * 1024 * 1024


class Api:
    """One vendor's API."""

    def __init__(self, vendor: Vendor, http: Client) -> None:
        self.vendor, self.auth, self._http = vendor, Auth(vendor), http
        self.rpc = Rpcs(vendor, self.auth)

    def close(self) -> None:
        """End what it connected by gRPC."""
        self.rpc.close()

    async def post(self, path: str, body: msgspec.Struct, kind: type[T]) -> T:
        """Send ``body``, and read what is answered as ``kind``.

        TooLargeError before anything is sent where it is more than Google takes.
        """
        data = await asyncio.to_thread(msgspec.json.encode, body)
        if len(data) > MAX_JSON:
            raise TooLargeError(
                f"The request has {len(data):,} bytes; {self.vendor.name} takes {MAX_JSON:,}.",
                hint="Make the picture or the recording smaller.",
            )
        return await self._call("POST", path, kind, data)

    async def get(self, path: str, kind: type[T]) -> T:
        """Ask for what ``path`` names."""
        return await self._call("GET", path, kind, b"")

    async def forward(
        self, method: str, path: str, query: str, body: bytes, headers: Fields
    ) -> Forwarded:
        """A client's request as it came, with the account's credentials, and the raw reply:
        see :class:`ogam.protocols.forwarding_client.Raw`.
        """
        own = await self.auth.headers()
        raw = Raw(self._http, self.vendor, lambda: own, self._failed)
        return await raw.forward(method, path, query, body, headers)

    async def project(self) -> str:
        """The operator's project; empty where none is known."""
        try:
            return await self.auth.project()
        except NotConfiguredError:
            return ""

    def _failed(self, status: int, headers: Headers, body: bytes) -> None:
        error = client_errors.of_reply(self.vendor.name, status, body, headers.retry_after)
        if isinstance(error, VendorError):
            raise error

    async def _call(self, method: str, path: str, kind: type[T], data: bytes) -> T:
        headers = await self.auth.headers()
        if data:
            headers.append(("content-type", "application/json"))
        reply = await self._http.request(
            method, path, headers=headers, body=data, timeout=self.vendor.timeout
        )
        name = self.vendor.name
        if not 200 <= reply.status < 300:
            raise client_errors.of_reply(name, reply.status, reply.body, reply.headers.retry_after)
        try:
            return await asyncio.to_thread(protojson.read, reply.body, kind)
        except msgspec.MsgspecError as error:
            raise self.odd(str(error)) from None

    def odd(self, why: Any) -> VendorError:
        """What to raise where an answer is not what Google promises."""
        return VendorError(f"{self.vendor.name} answered what is no answer: {str(why)[:200]}.")
