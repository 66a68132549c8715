"""Where in a TOML file a setting stands, so that an error can name the line."""

from __future__ import annotations

import re

_TABLE = re.compile(r"^\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*(?P<key>"[^"]*"|'[^']*'|[\w.-]+(\s*\.\s*[\w-]+)*)\s*=""")
# How msgspec writes the key of a table whose keys are free.
ANY = "..."
_PART = re.compile(r"\[\d+\]|(\.\.\.|[\w-]+)")


def place(said: str) -> list[str]:
    """The names in msgspec's ``… - at `$.routes.generate[1].model```; numbers are left out, and
    ``...`` stands for any.
    """
    found = re.search(r"at `\$?(?P<path>[^`]*)`", said)
    path = found["path"] if found else ""
    names = [name for name in _PART.findall(path) if name]
    field = re.search(r"(?:unknown|missing required) field `(\w+)`", said)
    return [*names, field[1]] if field and "unknown" in said else names


def line(text: str, names: list[str], value: str = "") -> int | None:
    """The number of the line that comes nearest to what ``names`` lead to, of several the one
    that holds ``value``; None: nothing does.
    """
    best, at = 0, None
    table: list[str] = []
    for number, one in enumerate(text.splitlines(), 1):
        if head := _TABLE.match(one):
            table = _names(head["name"])
            depth = _shared(table, names)
        elif key := _KEY.match(one):
            depth = _shared([*table, *_names(key["key"])], names)
            # A table written in a line of its own: what is asked for may stand inside it.
            rest = names[depth:]
            depth += bool(rest and depth and re.search(rf"\b{re.escape(rest[0])}\s*=", one))
        elif names and best and re.search(rf"\b{re.escape(names[-1])}\s*=", one):
            depth = best + 1  # an entry of a list over several lines
        else:
            continue
        if depth > best or (depth == best > 0 and value and value in one):
            best, at = depth, number
    return at


def _names(written: str) -> list[str]:
    parts = re.findall(r""""([^"]*)"|'([^']*)'|([\w-]+)""", written)
    return [one or two or three for one, two, three in parts]


def _shared(own: list[str], names: list[str]) -> int:
    """How many names in a row lead the same way; 0 where ``own`` leads elsewhere."""
    count = 0
    for mine, theirs in zip(own, names, strict=False):
        if mine != theirs != ANY:
            return 0
        count += 1
    return count
