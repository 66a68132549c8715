"""Multipart bodies as wire types. The SDK writes lists as ``x[]`` and objects as ``x[y]``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import FormData, UploadFile

from ogam.errors import InvalidRequestError

T = TypeVar("T")
_NESTED = re.compile(r"(\w+)\[(\w*)\]")


def fields(parts: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """The fields as ``kind``; InvalidRequestError names the one at fault."""
    values: dict[str, Any] = {}
    for name, value in parts:
        nested = _NESTED.fullmatch(name)
        if nested is None:
            values[name] = value
        elif nested[2]:
            values[nested[1]] = {**_holder(values, nested[1], dict), nested[2]: value}
        else:
            values[nested[1]] = [*_holder(values, nested[1], list), value]
    try:
        # Not strict: all is text in a form.
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        param = place.rstrip("`").lstrip(".") or None
        where = f" (at {param})" if param else ""
        raise InvalidRequestError(f"The form is wrong: {said}{where}.", param=param) from None


def _holder(values: dict[str, Any], name: str, kind: type[Any]) -> Any:
    holder = values.get(name, kind())
    if not isinstance(holder, kind):
        raise InvalidRequestError(f"{name} is given in two ways.", param=name)
    return holder


def split(form: FormData, name: str = "file") -> tuple[list[tuple[str, str]], UploadFile]:
    """The fields, and the file called ``name``, which must be there."""
    every = form.multi_items()
    file = next((one for key, one in every if key == name and isinstance(one, UploadFile)), None)
    if file is None:
        raise InvalidRequestError(
            f"{name} is missing.", hint="Send it as a part with a file name.", param=name
        )
    return [(key, one) for key, one in every if isinstance(one, str)], file
