"""A JSON schema as a form to fill in: what stands fixed, and what is left to write.

Takes the subset that the vendor documents for structured outputs
(https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas), but for
``pattern`` and ``multipleOf``; any other keyword is refused by name. Pure: knows no model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ogam.errors import InvalidRequestError, OgamError, UnsupportedOptionError
from ogam.protocols.openai.formats import FORMATS

# The vendor's bound on properties, here on all values; its bound on nesting is 10.
MAX_VALUES = 5000
MAX_NESTING = 32
# What is defined may refer to itself, so sizes are found by going round: time grows with both.
MAX_DEFINITIONS = 100

_ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "$schema", "$comment", "$defs", "definitions")
)
_KEYWORDS = {
    "object": frozenset(("properties", "required", "additionalProperties")),
    "array": frozenset(("items", "minItems", "maxItems")),
    "string": frozenset(("format",)),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "integer": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A value to write. ``about`` is what the schema says of it."""

    about: str = ""


class Text(Node, frozen=True, kw_only=True):
    """A string, perhaps of one of ``FORMATS``."""

    format: str = ""


class Number(Node, frozen=True, kw_only=True):
    """A number from ``low`` to ``high``, both included."""

    integer: bool
    low: float = -math.inf
    high: float = math.inf


class Choice(Node, frozen=True, kw_only=True):
    """One of several values, given as JSON: an enum, a constant, a boolean, null."""

    options: tuple[str, ...]


class Array(Node, frozen=True, kw_only=True):
    """``least`` to ``most`` items."""

    items: Node
    least: int = 0
    most: float = math.inf


class Member(msgspec.Struct, frozen=True):
    """One of an object's."""

    name: str
    value: Node
    required: bool


class Object(Node, frozen=True, kw_only=True):
    """The members in their order."""

    members: tuple[Member, ...]


class Free(Node, frozen=True, kw_only=True):
    """An object of strings whose names are the model's to choose."""


class AnyOf(Node, frozen=True, kw_only=True):
    """One of several kinds of value."""

    options: tuple[Node, ...]


class Ref(Node, frozen=True, kw_only=True):
    """What stands at a place of the schema, such as ``#/$defs/Step``."""

    to: str


class Form:
    """A schema that was found good. ``param`` is what errors name."""

    def __init__(self, schema: Any, *, param: str) -> None:
        self._schema, self._param = schema, param
        self._values = 0
        self._defined: dict[str, Node] = {}
        self._pending: list[str] = []
        self.root = self._node(schema, "#", 0)
        while self._pending:
            to = self._pending.pop()
            self._defined[to] = self._node(self._at(to), to, 0)
        self._sizes = dict.fromkeys(self._defined, math.inf)
        while self._grown():
            pass
        if self.size(self.root) > MAX_VALUES:
            raise self._wrong("The schema asks for a value without end, or a far too large one.")

    def target(self, node: Ref) -> Node:
        """What a reference leads to."""
        return self._defined[node.to]

    def size(self, node: Node) -> float:
        """How many values the smallest that fits has; inf where none ever ends."""
        match node:
            case Object():
                return 1 + sum(self.size(one.value) for one in node.members if one.required)
            case Array():
                return 1 + (node.least * self.size(node.items) if node.least else 0)
            case AnyOf():
                return 1 + min(self.size(one) for one in node.options)
            case Ref():
                return 1 + self._sizes[node.to]
            case _:
                return 1

    def _grown(self) -> bool:
        found = {to: self.size(node) for to, node in self._defined.items()}
        changed = found != self._sizes
        self._sizes = found
        return changed

    def _node(self, given: Any, place: str, depth: int) -> Node:
        self._values += 1
        if depth > MAX_NESTING or self._values > MAX_VALUES:
            raise self._wrong(
                f"The schema has over {MAX_VALUES:,} values or {MAX_NESTING} levels of nesting."
            )
        schema = self._mapping(given, place)
        about = schema.get("description", "")
        said = about if isinstance(about, str) else ""
        if "$ref" in schema:
            self._allow(schema, place, {"$ref"})
            return self._ref(schema["$ref"], place, said)
        if "anyOf" in schema:
            self._allow(schema, place, {"anyOf"})
            options = self._list(schema["anyOf"], f"{place}/anyOf")
            nodes = [
                self._node(one, f"{place}/anyOf/{at}", depth + 1) for at, one in enumerate(options)
            ]
            return AnyOf(options=tuple(nodes), about=said)
        kinds = self._kinds(schema, place)
        if "const" in schema or "enum" in schema:
            return self._choice(schema, kinds, place, said)
        if not kinds:
            self._allow(schema, place, set())
            raise self._wrong(f"The schema at {place} has no type.")
        allowed = set[str]().union(*(_KEYWORDS[kind] for kind in kinds))
        self._allow(schema, place, {"type", *allowed})
        nodes = [self._typed(kind, schema, place, depth, said) for kind in kinds]
        return nodes[0] if len(nodes) == 1 else AnyOf(options=tuple(nodes), about=said)

    def _typed(
        self, kind: str, schema: Mapping[str, Any], place: str, depth: int, about: str
    ) -> Node:
        match kind:
            case "object":
                return self._object(schema, place, depth, about)
            case "array":
                if "items" not in schema:
                    raise self._wrong(f"The array at {place} has no items.")
                least = self._count(schema.get("minItems", 0), f"{place}/minItems")
                most = self._count(schema.get("maxItems", math.inf), f"{place}/maxItems")
                if least > most:
                    raise self._wrong(f"At {place} minItems is over maxItems.")
                items = self._node(schema["items"], f"{place}/items", depth + 1)
                return Array(items=items, least=int(least), most=most, about=about)
            case "string":
                name = schema.get("format", "")
                if name and name not in FORMATS:
                    raise self._cannot(f"format {name!r}", place)
                return Text(format=name, about=about)
            case "boolean":
                return Choice(options=("true", "false"), about=about)
            case "null":
                return Choice(options=("null",), about=about)
            case _:
                return self._number(schema, place, about, integer=kind == "integer")

    def _object(self, schema: Mapping[str, Any], place: str, depth: int, about: str) -> Object:
        given = self._mapping(schema.get("properties", {}), f"{place}/properties")
        required = self._list(schema.get("required", []), f"{place}/required", empty=True)
        for name in required:
            if name not in given:
                raise self._wrong(f"{place} requires {name!r}, which is no property of it.")
        members = [
            Member(name, self._node(one, f"{place}/properties/{name}", depth + 1), name in required)
            for name, one in given.items()
        ]
        return Object(members=tuple(members), about=about)

    def _number(self, schema: Mapping[str, Any], place: str, about: str, *, integer: bool) -> Node:
        bounds = [schema.get(name) for name in ("minimum", "exclusiveMinimum")]
        bounds += [schema.get(name) for name in ("maximum", "exclusiveMaximum")]
        for one in bounds:
            if one is not None and (isinstance(one, bool) or not isinstance(one, int | float)):
                raise self._wrong(f"A bound at {place} is no number.")
            if one is not None and abs(one) > 2**53:
                raise self._wrong(f"A bound at {place} is beyond 2^53.")
        least, over, most, under = bounds
        if integer:
            lows = [least and math.ceil(least), None if over is None else math.floor(over) + 1]
            highs = [most and math.floor(most), None if under is None else math.ceil(under) - 1]
        else:
            lows = [least, None if over is None else math.nextafter(over, math.inf)]
            highs = [most, None if under is None else math.nextafter(under, -math.inf)]
        low = max((one for one in lows if one is not None), default=-math.inf)
        high = min((one for one in highs if one is not None), default=math.inf)
        if low > high:
            raise self._wrong(f"No number is within the bounds at {place}.")
        return Number(integer=integer, low=low, high=high, about=about)

    def _choice(
        self, schema: Mapping[str, Any], kinds: list[str], place: str, about: str
    ) -> Choice:
        self._allow(schema, place, {"type", "enum", "const"})
        options = self._list(schema.get("enum", [schema.get("const")]), f"{place}/enum")
        if "const" in schema:
            options = [one for one in options if _same(one, schema["const"])]
        fit = [one for one in options if not kinds or any(_is(one, kind) for kind in kinds)]
        if not fit:
            raise self._wrong(f"No value of the enum at {place} is of its type.")
        written = dict.fromkeys(json.dumps(one, ensure_ascii=False) for one in fit)
        return Choice(options=tuple(written), about=about)

    def _ref(self, to: Any, place: str, about: str) -> Ref:
        if not isinstance(to, str) or not to.startswith("#"):
            raise self._wrong(f"The $ref at {place} leads out of the schema.")
        if to not in self._defined:
            if len(self._defined) == MAX_DEFINITIONS:
                raise self._wrong(f"The schema refers to over {MAX_DEFINITIONS} definitions.")
            self._defined[to] = Ref(to=to)
            self._pending.append(to)
        return Ref(to=to, about=about)

    def _at(self, to: str) -> Any:
        found = self._schema
        for part in to.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = cast(Any, found).get(name) if isinstance(found, Mapping) else None  # pyright: ignore[reportUnknownMemberType]
        if found is None:
            raise self._wrong(f"The $ref {to!r} leads nowhere.")
        return found

    def _kinds(self, schema: Mapping[str, Any], place: str) -> list[str]:
        given = schema.get("type")
        if given is None:
            return []
        kinds = [given] if isinstance(given, str) else self._list(given, f"{place}/type")
        for kind in kinds:
            if not isinstance(kind, str) or kind not in _KEYWORDS:
                raise self._wrong(f"{kind!r} is no type (at {place}).")
        return kinds

    def _allow(self, schema: Mapping[str, Any], place: str, known: set[str]) -> None:
        for keyword in schema:
            if keyword not in known and keyword not in _ANNOTATIONS:
                raise self._cannot(f"the keyword {keyword!r}", place)

    def _mapping(self, given: Any, place: str) -> Mapping[str, Any]:
        if not isinstance(given, dict):
            raise self._wrong(f"The schema at {place} is no object.")
        return cast("dict[str, Any]", given)

    def _list(self, given: Any, place: str, *, empty: bool = False) -> list[Any]:
        if not isinstance(given, list) or not (given or empty):
            raise self._wrong(f"The list at {place} is none, or empty.")
        return cast("list[Any]", given)

    def _count(self, given: Any, place: str) -> float:
        if given is math.inf:
            return given
        if isinstance(given, bool) or not isinstance(given, int) or given < 0:
            raise self._wrong(f"{place} is no count.")
        return given

    def _wrong(self, said: str) -> OgamError:
        return InvalidRequestError(said, param=self._param)

    def _cannot(self, what: str, place: str) -> OgamError:
        return UnsupportedOptionError(
            f"Structured output here does not know {what} (at {place}).",
            hint="Leave it out of the schema.",
            param=self._param,
        )


def free() -> Form:
    """The form of any object at all."""
    form = Form({"type": "object"}, param="")
    form.root = Free()
    return form


def _is(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return not isinstance(value, bool) and (
            whole or (kind == "number" and isinstance(value, float))
        )
    types = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
    return isinstance(value, types[kind])


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
