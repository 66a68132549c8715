"""Protocol buffers' JSON, as Google's REST reads and writes it, over msgspec's types.

A message is a :class:`Message`: fields in camelCase, defaults left out. Reading takes what
proto JSON takes: names in snake_case too, null for "not set", numbers as strings, enums by
name or number, base64 of either alphabet. Knows no service.

https://protobuf.dev/programming-guides/json
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec
from starlette.requests import Request

from ogam.errors import InvalidRequestError

T = TypeVar("T")
# An enum's value as it travels: clients send either, we send names.
Enum = int | str
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
# Fields of type bytes, in all messages read here.
_BYTES = frozenset({"content", "audioContent", "audio"})


def json_name(name: str) -> str:
    """``bounding_poly`` -> ``boundingPoly``; a trailing ``_`` (``type_``) is Python's alone."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class Message(
    msgspec.Struct,
    kw_only=True,
    rename=json_name,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """The base of wire types: the name of each field is the proto's, keywords with ``_``."""


def key(request: Request) -> str | None:
    """The API key, where Google's SDKs and curl put it."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if kind.lower() == "bearer" else None
    return request.headers.get("x-goog-api-key") or request.query_params.get("key") or bearer


def speaks(request: Request) -> bool:
    """Whether one of Google's SDKs, or curl with Google's key, asks."""
    return "x-goog-api-client" in request.headers or "x-goog-api-key" in request.headers


def parse(data: bytes, kind: type[T]) -> T:
    """JSON to ``kind``; InvalidRequestError in Google's words names the field at fault."""
    try:
        with suppress(msgspec.ValidationError):  # perhaps only one of the rarer forms
            return msgspec.json.decode(data or b"{}", type=kind)
        return msgspec.convert(_usual(msgspec.json.decode(data)), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"Invalid JSON payload received. {error}.") from None


def convert(value: Any, kind: type[T]) -> T:
    """A dictionary with camelCase keys and raw bytes (from a protocol buffer) to ``kind``."""
    try:
        return msgspec.convert(value, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise _wrong(error) from None


def read(data: bytes, kind: type[T]) -> T:
    """What a vendor answered. Fields that are not known here are left out: vendors add some.

    msgspec.MsgspecError where it is no such message.
    """
    try:
        with suppress(msgspec.ValidationError):
            return msgspec.json.decode(data, type=kind)
        return taken(msgspec.json.decode(data), kind)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(str(error)) from None


def taken(value: Any, kind: type[T]) -> T:
    """As :func:`read`, of JSON that is decoded already."""
    return msgspec.convert(_known(_usual(value), kind), kind, strict=False)


def _known(value: Any, kind: Any) -> Any:
    """``value`` without what ``kind`` has no field for."""
    if isinstance(value, list):
        (inner,) = get_args(kind) if get_origin(kind) is list else (None,)
        return [_known(item, inner) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    pairs = cast(dict[str, Any], value).items()
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return {key: _known(item, inner) for key, item in pairs}
    struct = next((one for one in (kind, *get_args(kind)) if _is_message(one)), None)
    if struct is None:
        return cast(Any, value)
    fields = _fields(struct)
    return {key: _known(item, fields[key]) for key, item in pairs if key in fields}


def _is_message(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def _wrong(error: msgspec.ValidationError) -> InvalidRequestError:
    said, _, place = str(error).partition(" - at `$")
    where = place.rstrip("`").lstrip(".")
    if found := _UNKNOWN.search(said):
        said = f'Unknown name "{found[1]}"{f" at {where!r}" if where else ""}: Cannot find field.'
    elif where:
        said = f"Invalid value at '{where}': {said}."
    return InvalidRequestError(f"Invalid JSON payload received. {said}", param=where or None)


def _usual(value: Any, name: str = "") -> Any:
    """The same JSON in its usual form."""
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value).items()
        names = [(json_name(key), item) for key, item in pairs if item is not None]
        if len(names) > len(dict(names)):
            raise msgspec.ValidationError("A field is given twice, in two spellings")
        return {key: _usual(item, key) for key, item in names}
    if isinstance(value, list):
        return [_usual(item) for item in cast(list[Any], value)]
    if isinstance(value, str) and name in _BYTES:
        plain = "".join(value.split()).rstrip("=").replace("-", "+").replace("_", "/")
        return plain + "=" * (-len(plain) % 4)
    return value


def number(value: Enum, numbers: Mapping[str, int], param: str) -> int:
    """An enum's number from its name or number; InvalidRequestError for one that is not there."""
    if isinstance(value, str):
        found = numbers.get(value)
        if found is None and value.isdecimal():
            return number(int(value), numbers, param)
    else:
        found = value if value in numbers.values() else None
    if found is None:
        raise InvalidRequestError(f"Invalid value at '{param}': {value!r}.", param=param)
    return found


def duration(seconds: float) -> str:
    """1.5 -> ``"1.500s"``."""
    return f"{seconds:.3f}s"


def seconds(text: str, param: str) -> float:
    """``"1.5s"`` -> 1.5."""
    try:
        found = float(text.removesuffix("s")) if text.endswith("s") else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidRequestError(
            f"Invalid value at '{param}': {text!r} is no duration.",
            hint="Seconds with an s, such as 1.5s.",
            param=param,
        )
    return found


def timestamp(unix: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
