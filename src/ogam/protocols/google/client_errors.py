"""Google's errors as Ogam's: of REST, of gRPC, and those inside a reply. One table.

https://google.aip.dev/193 and https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

import msgspec

from ogam.errors import (
    InvalidRequestError,
    OgamError,
    TooLargeError,
    UnknownLanguageError,
    UnknownModelError,
    VendorError,
)
from ogam.protocols.google.codes import CODES

_NAMES = {number: name for name, number in CODES.items()}
# What the request itself is to blame for.
_CALLERS: dict[str, type[OgamError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": UnknownModelError,
}
# What it is not, with the HTTP status that stands for it.
_VENDORS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "DEADLINE_EXCEEDED": 504,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
# Google says of a wrong key that the argument is invalid, and why in the details.
_KEYS = ("API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED")
_LONGEST = 500


class Said(NamedTuple):
    """A ``google.rpc.Status``: the code's name, and details as their JSON."""

    name: str
    message: str
    details: Sequence[Any] = ()


class _Error(msgspec.Struct):
    message: str = ""
    status: str = ""
    details: list[Any] = []


class _Body(msgspec.Struct):
    error: _Error


def of_reply(who: str, status: int, body: bytes, wait: float | None) -> OgamError:
    """The error of an HTTP reply of the vendor ``who``. Any status but a good one."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        if status == 413:
            return TooLargeError(f"{who}: the request is too large.")
        # Not in Google's words, so perhaps not Google's: nothing is the caller's fault.
        return VendorError(
            f"{who} answered {status}.",
            hint="Is its url right?" if status < 500 else "",
            status=status,
            retry_after=wait,
        )
    return of_status(who, Said(error.status, error.message, error.details), status, wait)


def of_rpc(who: str, error: Any) -> OgamError:
    """The error of a gRPC call (``grpc.aio.AioRpcError``)."""
    details: list[Any] = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            details += _details(value)
    return of_status(who, Said(error.code().name, error.details() or "", details))


def of_inner(who: str, error: dict[str, Any]) -> OgamError:
    """The error of a ``google.rpc.Status`` as JSON: of an operation, or inside a reply."""
    code, details = error.get("code"), error.get("details")
    name = _NAMES.get(code, "UNKNOWN") if isinstance(code, int) else "UNKNOWN"
    return of_status(
        who, Said(name, str(error.get("message", "")), details if isinstance(details, list) else ())
    )


def of_status(
    who: str, said: Said, http: int | None = None, retry_after: float | None = None
) -> OgamError:
    """The one table. ``http`` is the status where the error came by HTTP."""
    text = f"{who}: {said.message[:_LONGEST] or said.name}"
    reason = field = ""
    for one in said.details:
        if not isinstance(one, dict):
            continue
        told = cast(dict[str, Any], one)
        reason = reason or str(told.get("reason", ""))
        retry_after = _number(told.get("retryDelay"), "s") or retry_after
        field = field or _field(told)
    if reason in _KEYS or said.name in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        status = 401 if reason in _KEYS else http or _VENDORS[said.name]
        hint = "Is the key right, and the API enabled in its project?"
        return VendorError(text, hint=hint, status=status)
    kind = _CALLERS.get(said.name)
    if kind is None:
        status = http or _VENDORS.get(said.name)
        return VendorError(text, status=status, retry_after=retry_after)
    if field.endswith(("languageCode", "languageCodes", "language_code")):
        kind = UnknownLanguageError
    return kind(text, param=field or None)


def _field(detail: dict[str, Any]) -> str:
    """The field that a google.rpc.BadRequest names."""
    with suppress(KeyError, IndexError, TypeError):
        return str(detail["fieldViolations"][0]["field"])
    return ""


def _details(data: bytes) -> list[Any]:
    """The details of a serialised google.rpc.Status that are of a known type."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    found: list[Any] = []
    with suppress(DecodeError, ValueError):
        for one in status_pb2.Status.FromString(data).details:
            kind = getattr(error_details_pb2, one.TypeName().rpartition(".")[2], None)
            if kind is not None:
                found.append(json_format.MessageToDict(kind.FromString(one.value)))
    return found


def _number(text: Any, ending: str = "") -> float | None:
    with suppress(ValueError, TypeError, AttributeError):
        return max(0.0, float(text.removesuffix(ending)))
    return None
