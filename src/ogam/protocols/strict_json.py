"""JSON that goes on as it came, read so that no other reader can find something else in it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

import msgspec

from ogam.errors import InvalidRequestError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def decode(data: bytes) -> dict[str, Any]:
    """The object in ``data``. InvalidRequestError where two readers could find different things.

    A name given twice, NaN and infinities, bytes that are not UTF-8 and halves of characters are
    refused: a vendor might read ``"n": 1, "n": 100`` the other way round.
    """
    try:
        text = data.decode()
        body = _decoder.decode(text)
        if _SURROGATE.search(text):
            msgspec.json.encode(body)
    except RecursionError:
        problem = "it is nested too deep"
    except ValueError as error:  # UnicodeError and JSONDecodeError are
        problem = str(error).split(": line")[0]
    else:
        if isinstance(body, dict):
            return cast(dict[str, Any], body)
        problem = "it is no object"
    raise InvalidRequestError(f"The body is not usable as JSON: {problem[:120]}.")


def with_field(data: bytes, name: str, value: str | None) -> bytes:
    """The object in ``data`` with one field of that value, or without it; all else as it stands."""
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    if value is None:
        fields.pop(name, None)
    else:
        fields[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(fields)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        # set.add returns None.
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"{twice[:40]!r} is given twice")
    return values


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_constant, parse_float=_finite)
