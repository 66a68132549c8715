"""Requests to DeepL: its key, its errors, its JSON. Knows no capability.

https://developers.deepl.com/docs/best-practices/error-handling
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ogam import errors, net
from ogam.protocols.deepl import wire_answers
from ogam.protocols.forwarding_client import Raw
from ogam.vendors import BUILT_IN, Vendor

T = TypeVar("T")
_JSON = "application/json"


class Calls:
    """One account at one address."""

    def __init__(self, vendor: Vendor, http: net.Client) -> None:
        self.vendor, self._http = vendor, http
        self.raw = Raw(http, vendor, self._headers, self._failed)

    async def send(
        self, method: str, path: str, body: bytes = b"", *, kind: str = _JSON, bills: bool = False
    ) -> bytes:
        """What a request answers. Only one that ``bills`` can have cost anything if it fails."""
        try:
            reply = await self._http.request(
                method,
                path,
                headers=[*self._headers(), *([("content-type", kind)] if body else [])],
                body=body,
                timeout=self.vendor.timeout,
            )
            if reply.status // 100 != 2:
                raise self._refusal(reply.status, reply.headers, reply.body)
        except errors.VendorError as error:
            error.sent = error.sent and bills
            raise
        return reply.body

    async def ask(self, path: str, kind: type[T]) -> T:
        """What a GET answers, which bills nothing."""
        return self.decode(await self.send("GET", path), kind)

    def _failed(self, status: int, headers: net.Headers, body: bytes) -> None:
        failure = self._refusal(status, headers, body)
        # A glossary or document that is not there is the client's to know.
        if isinstance(failure, errors.VendorError) and status != 404:
            raise failure

    def decode(self, data: bytes, kind: type[T], *, bills: bool = False) -> T:
        """JSON as ``kind``; VendorError where it is something else."""
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.broken(f"not the JSON it promises: {error}", bills=bills) from None

    def broken(self, what: str, *, bills: bool = False) -> errors.VendorError:
        """The error of an answer that is ``what``."""
        return errors.VendorError(
            f"{self.vendor.name} answered {self.vendor.told(what)}.",
            hint=f"Is {self.vendor.url} DeepL's?",
            sent=bills,
        )

    def _headers(self) -> list[tuple[str, str]]:
        own = ("https://api-free.deepl.com", BUILT_IN["deepl"].url)
        if not self.vendor.key and self.vendor.url in own:
            raise errors.NotConfiguredError(
                f"There is no key for {self.vendor.name}.",
                hint=f"Set DEEPL_AUTH_KEY, or key_env in [vendors.{self.vendor.name}].",
            )
        given = list(self.vendor.headers.items())
        if self.vendor.key:
            given.insert(0, ("authorization", f"DeepL-Auth-Key {self.vendor.key}"))
        return given

    def _refusal(self, status: int, headers: net.Headers, body: bytes) -> errors.OgamError:
        try:
            told = msgspec.json.decode(body, type=wire_answers.Failure)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = wire_answers.Failure()
        said = ". ".join(one.rstrip(".") for one in (told.message, told.detail) if one)
        message = f"{self.vendor.name} refused: {self.vendor.told(said or f'status {status}')}."
        if status in (400, 415, 422):
            return errors.InvalidRequestError(message)
        if status in (413, 414):
            return errors.TooLargeError(message)
        hint = ""
        if status == 456:
            message = (
                f"{self.vendor.name}'s quota is spent: {self.vendor.told(said or 'status 456')}."
            )
            hint = "Raise the account's limit, wait for its next period, or route elsewhere."
        elif status in (401, 403):
            hint = f"The key for {self.vendor.name} on this server is wrong or may not do this."
        return errors.VendorError(
            message, hint=hint, status=status, retry_after=headers.retry_after
        )
