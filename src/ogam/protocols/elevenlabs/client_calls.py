"""Requests to ElevenLabs: its key, its errors, its JSON. Knows no capability.

https://elevenlabs.io/docs/eleven-api/resources/errors
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from ogam import errors, net
from ogam.protocols.elevenlabs import wire_answers
from ogam.protocols.forwarding_client import Raw
from ogam.vendors import BUILT_IN, Vendor

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

T = TypeVar("T")
# The codes that say what of a request is at fault; all other refusals go by their status.
_CODES: dict[str, type[errors.OgamError]] = {
    "voice_not_found": errors.UnknownVoiceError,
    "model_not_found": errors.UnknownModelError,
    "unsupported_language": errors.UnknownLanguageError,
    "unsupported_parameter": errors.UnsupportedOptionError,
    "max_character_limit_exceeded": errors.TooLargeError,
    "invalid_audio": errors.InvalidMediaError,
}
_KNOWN = frozenset((*_CODES, "quota_exceeded"))
# The vendor's word for a parameter where a capability has another.
_PARAMS = {
    "file": "audio",
    "keyterms": "phrases",
    "language_code": "language",
    "model_id": "model",
    "speed": "rate",
    "voice_id": "voice",
}


class Account:
    """One account at one address: its key, its sockets, and what its errors mean."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor

    def headers(self) -> list[tuple[str, str]]:
        """What every request carries; NotConfiguredError where the vendor's own wants a key."""
        if not self.vendor.key and self.vendor.url == BUILT_IN["elevenlabs"].url:
            raise errors.NotConfiguredError(
                f"There is no key for {self.vendor.name}.",
                hint=f"Set ELEVENLABS_API_KEY, or key_env in [vendors.{self.vendor.name}].",
            )
        given = list(self.vendor.headers.items())
        return [("xi-api-key", self.vendor.key), *given] if self.vendor.key else given

    @asynccontextmanager
    async def connected(
        self, path: str, purpose: str, **limits: Any
    ) -> AsyncGenerator[ClientConnection]:
        """A WebSocket of the vendor's. VendorError and its like where it does not open."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        address = f"ws{self.vendor.url.removeprefix('http')}{path}"
        headers, patience = self.headers(), self.vendor.connect_timeout
        try:
            socket = await connect(
                address, additional_headers=headers, open_timeout=patience, **limits
            )
        except InvalidStatus as error:
            said = bytes(error.response.body or b"")
            raise self.refusal(error.response.status_code, said) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise errors.VendorError(
                f"{self.vendor.name} cannot be reached {purpose}: {type(error).__name__}.",
                sent=False,
            ) from None
        try:
            yield socket
        finally:
            await socket.close()

    def decode(self, data: bytes | str, kind: type[T]) -> T:
        """JSON as ``kind``; VendorError where it is something else."""
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.broken(f"not the JSON it promises: {error}") from None

    def broken(self, what: str) -> errors.VendorError:
        """The error of an answer that is ``what``."""
        return errors.VendorError(
            f"{self.vendor.name} answered {self.vendor.told(what)}.",
            hint=f"Is {self.vendor.url} ElevenLabs's?",
        )

    def refusal(self, status: int, body: bytes, wait: float | None = None) -> errors.OgamError:
        """The error that a status and its body stand for."""
        code, said, param = _read(body)
        message = (
            f"{self.vendor.name} refused: {self.vendor.told(said or code or f'status {status}')}"
        )
        param = _PARAMS.get(param, param) or None
        kind = _CODES.get(code)
        if status < 500 and status not in (401, 403, 429):
            if kind is None and status == 404:
                kind = errors.UnknownModelError
            if kind is None and status == 413:
                kind = errors.TooLargeError
            if kind is None and status in (400, 415, 422):
                kind = errors.InvalidRequestError
            if kind is not None:
                return kind(message, param=param)
        return errors.VendorError(
            message, hint=self._hint(status, code), status=status, retry_after=wait
        )

    def _hint(self, status: int, code: str) -> str:
        if code == "quota_exceeded" or status == 402:
            return "The subscription's characters are spent: raise its limit, or route elsewhere."
        if status in (401, 403):
            return f"The key for {self.vendor.name} on this server is wrong or may not do this."
        if status == 429:
            return "Too many requests at once for the subscription; ask again later."
        return ""


class Calls(Account):
    """What one account is asked over HTTP."""

    def __init__(self, vendor: Vendor, http: net.Client) -> None:
        super().__init__(vendor)
        self._http = http
        self.raw = Raw(http, vendor, self.headers, self._failed)

    async def ask(self, path: str, kind: type[T]) -> T:
        """What a GET answers, which bills nothing."""
        try:
            reply = await self._http.request(
                "GET", path, headers=self.headers(), timeout=self.vendor.timeout
            )
            self._check(reply.status, reply.headers, reply.body)
            return self.decode(reply.body, kind)
        except errors.VendorError as error:
            error.sent = False
            raise

    async def post(self, path: str, content_type: str, body: bytes, kind: type[T]) -> T:
        """What a POST answers."""
        reply = await self._http.request(
            "POST",
            path,
            headers=[*self.headers(), ("content-type", content_type)],
            body=body,
            timeout=self.vendor.timeout,
        )
        self._check(reply.status, reply.headers, reply.body)
        return self.decode(reply.body, kind)

    @asynccontextmanager
    async def stream(self, path: str, body: bytes) -> AsyncGenerator[net.Streamed]:
        """What a POST of JSON answers, as it comes."""
        async with self._http.stream(
            "POST",
            path,
            headers=[*self.headers(), ("content-type", "application/json")],
            body=body,
            timeout=self.vendor.timeout,
        ) as answer:
            if answer.status != 200:
                self._check(answer.status, answer.headers, await answer.read())
            yield answer

    def _failed(self, status: int, headers: net.Headers, body: bytes) -> None:
        failure = self.refusal(status, body, headers.retry_after)
        if isinstance(failure, errors.VendorError):
            raise failure

    def _check(self, status: int, headers: net.Headers, body: bytes) -> None:
        if status // 100 != 2:
            raise self.refusal(status, body, headers.retry_after)


def _read(body: bytes) -> tuple[str, str, str]:
    """Code, message and parameter of an error, each empty where it is not told."""
    try:
        detail = msgspec.json.decode(body, type=wire_answers.Failure).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", "", ""
    if isinstance(detail, str):
        return "", detail, ""
    if isinstance(detail, list):
        entries = [
            cast("dict[str, Any]", one)
            for one in cast("list[Any]", detail)
            if isinstance(one, dict)
        ]
        places = [str(part) for one in entries[:1] for part in _parts(one.get("loc"))]
        said = "; ".join(str(one.get("msg", "")) for one in entries)
        return "", said, places[-1] if places[1:] else ""
    if isinstance(detail, dict):
        about = cast("Mapping[str, Any]", detail)
        code = next(
            (str(about[one]) for one in ("code", "status") if str(about.get(one)) in _KNOWN),
            str(about.get("status") or about.get("code") or ""),
        )
        param = str(about.get("param") or "").rpartition(".")[2]
        return code, str(about.get("message") or ""), param
    return "", "", ""


def _parts(place: Any) -> list[Any]:
    return cast("list[Any]", place) if isinstance(place, list) else []
