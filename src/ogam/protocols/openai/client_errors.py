"""What a vendor that speaks OpenAI's protocol says went wrong, as Ogam's errors.

By status, ``code`` and ``param``, never by its words. The words are passed on, but for those about
the key, which name a part of it.

https://developers.openai.com/api/docs/guides/error-codes
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec

from ogam import errors
from ogam.net import Headers
from ogam.protocols.openai.wire_replies import Failure

# The request's fault: another try, or another vendor, would not mend it.
_REQUEST = frozenset((400, 404, 409, 413, 415, 422))
# ... but for these codes, which are about the operator's account.
_ACCOUNT = frozenset(("billing_hard_limit_reached", "billing_not_active", "insufficient_quota"))
_UNSUPPORTED = frozenset(("unsupported_parameter", "unsupported_value"))
_TOO_LONG = frozenset(("context_length_exceeded", "string_above_max_length", "too_large"))
# By what it is about.
_BY_PARAM: dict[str, type[errors.OgamError]] = {
    "file": errors.InvalidMediaError,
    "language": errors.UnknownLanguageError,
    "voice": errors.UnknownVoiceError,
}
# OpenAI's word for a parameter -> the capability's
_PARAMS = {
    "file": "audio",
    "input": "text",
    "max_completion_tokens": "max_tokens",
    "messages": "message",
    "speed": "rate",
}
_LONGEST = 500  # characters of a vendor's words that are passed on


def failure(
    status: int, headers: Headers, body: bytes, *, vendor: str, key: str = ""
) -> errors.OgamError:
    """The error for a reply of any status but 2xx."""
    told = _told(body)
    said = _words(told.message, key)
    where = f"{vendor} answered {status}"
    if status == 401:
        return errors.VendorError(
            f"{where}: it does not take this key.",
            hint=f"Check the key of [vendors.{vendor}].",
            status=status,
        )
    if status == 404 and not told.message:
        return errors.VendorError(
            f"{where}: there is nothing at that address.",
            hint=f"Check the url of [vendors.{vendor}]; it ends in /v1 as a rule.",
            status=status,
        )
    if status in _REQUEST and told.code not in _ACCOUNT:
        return _request(status, told, f"{vendor} refused the request: {said or status}")
    return errors.VendorError(
        f"{where}: {said}" if said else f"{where}.",
        hint=f"Check the account and the key of [vendors.{vendor}]."
        if status in (402, 403) or told.code in _ACCOUNT
        else "",
        status=status,
        retry_after=retry_after(headers),
    )


def _request(status: int, told: Failure, message: str) -> errors.OgamError:
    param = _PARAMS.get(told.param or "", told.param)
    kind: type[errors.OgamError] = errors.InvalidRequestError
    if told.param in _BY_PARAM and told.code not in _TOO_LONG:
        kind = _BY_PARAM[told.param]
    elif status == 404 or told.code == "model_not_found":
        kind, param = errors.UnknownModelError, "model"
    elif status == 413 or told.code in _TOO_LONG:
        kind = errors.TooLargeError
        if told.code == "context_length_exceeded":
            param = param or "message"
    elif told.code in _UNSUPPORTED:
        kind = errors.UnsupportedOptionError
    return kind(message, param=param)


def broken(data: bytes, *, vendor: str, key: str = "") -> errors.VendorError:
    """The error for the event that ends a stream in its middle: final, since pieces are out."""
    said = _words(_told(data).message or data.decode(errors="replace"), key)
    return errors.VendorError(f"{vendor} broke off: {said or 'it did not say why'}")


def unreadable(why: object, *, vendor: str) -> errors.VendorError:
    """The error for a body that is not what the protocol promises."""
    return errors.VendorError(f"{vendor} answered something else than OpenAI's protocol has: {why}")


def retry_after(headers: Headers) -> float | None:
    """The seconds that a vendor asks to wait: OpenAI's own ``retry-after-ms`` comes first."""
    try:
        seconds = float(headers.get("retry-after-ms")) / 1000
    except ValueError:
        return headers.retry_after
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _told(body: bytes) -> Failure:
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Failure()
    if isinstance(whole, dict):
        named = cast("dict[str, Any]", whole)
        # vLLM has put the fields on top; FastAPI's servers have "detail".
        whole = named.get("error") or named.get("detail") or named
    return _failure(whole)


def _failure(error: Any) -> Failure:
    if isinstance(error, str):
        return Failure(message=error)
    if not isinstance(error, dict):
        return Failure(message=msgspec.json.encode(error).decode()) if error else Failure()
    try:
        return msgspec.convert(error, Failure, strict=False)
    except msgspec.ValidationError:
        message = cast("dict[str, Any]", error).get("message")
        return Failure(message=message if isinstance(message, str) else None)


def _words(message: str | None, key: str) -> str:
    said = " ".join((message or "").split())
    if key:
        said = said.replace(key, "…")
    return f"{said[:_LONGEST]}…" if len(said) > _LONGEST else said
