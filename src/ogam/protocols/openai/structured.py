"""Structured output from any text generator: the form is written here, the model fills it in.

For each value that the form leaves open the model is asked for a short continuation, and what of
it fits is taken. So the form holds whatever the model says; that it makes sense is up to the
model. What the model could not fill is 0, the first option, an empty text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from ogam.capabilities.base import Units
from ogam.capabilities.text_generation import (
    Choice,
    GenerateRequest,
    GenerateResult,
    Message,
    TextDelta,
)
from ogam.errors import InvalidRequestError, OgamError, TooLargeError, UnsupportedOptionError
from ogam.protocols.openai import schemas
from ogam.protocols.openai.formats import formatted
from ogam.protocols.openai.schemas import Form, Node
from ogam.protocols.serving import Call

Ask = Callable[[GenerateRequest], Awaitable[GenerateResult]]

# What one value may take of the model, in tokens.
_TEXT, _SHORT = 64, 12
# A list that may go on goes on to this; beyond these depths and questions only what must be is.
MAX_ITEMS = 5
_MAX_DEPTH = 8
_MAX_ASKED = 200
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def form(given: Any, param: str) -> Form | None:
    """The form that a ``response_format`` or ``text.format`` asks for; None for plain text."""
    if given is None or given == {"type": "text"}:
        return None
    kind = given.get("type") if isinstance(given, dict) else None  # pyright: ignore
    if kind == "json_object":
        return schemas.free()
    if kind != "json_schema":
        raise InvalidRequestError(
            f"{param} is of no known type.",
            hint="Give text, json_object or json_schema.",
            param=param,
        )
    # Chat has it one level deeper than responses.
    inner: Any = given if "schema" in given else given.get("json_schema")  # pyright: ignore
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):  # pyright: ignore
        raise InvalidRequestError(f"{param} has no schema.", param=param)
    name: Any = inner.get("name")  # pyright: ignore
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{param} needs a name of up to 64 letters, digits, _ and -.", param=param
        )
    return Form(inner["schema"], param=param)


def wanted(
    call: Call, model: str, request: GenerateRequest, given: Any, param: str
) -> AsyncGenerator[TextDelta | GenerateResult] | None:
    """The pieces of the answer where a client asks for JSON; None where it does not.

    Each question is a call of the gateway's: of one route, one key, one ledger.
    """
    found = form(given, param)
    if found is None:
        return None
    if request.stop:
        raise UnsupportedOptionError(
            "Structured output ends where its form ends.", hint="Leave stop out.", param="stop"
        )
    target = call.model(model)
    gateway = call.gateway
    name = gateway.models("generate", target)[0]
    with suppress(OgamError):  # the route may go on behind a model that is not there
        gateway.registry.get(name)
    about = gateway.registry.manifest(name)

    async def ask(one: GenerateRequest) -> GenerateResult:
        return await gateway.answer("generate", one, GenerateResult, target)

    if about is not None and about.converses:
        # It is asked for what was said, and not for an idea.
        request = msgspec.structs.replace(request, temperature=0.0)
    answers = about is None or about.instructed or about.converses
    return write(found, request, ask, instructed=answers)


async def whole(pieces: AsyncGenerator[TextDelta | GenerateResult]) -> GenerateResult:
    """The result of a stream."""
    result: GenerateResult | None = None
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, GenerateResult):
                result = piece
    assert result is not None
    return result


async def write(
    form: Form, request: GenerateRequest, ask: Ask, *, instructed: bool
) -> AsyncGenerator[TextDelta | GenerateResult]:
    """Deltas of the JSON as it grows, of one sequence after the other, and the whole result last.

    ``request.max_tokens`` bounds what the model writes for one sequence; one that reaches it ends
    where it is, as ``length``. A model that is not ``instructed`` goes on from the JSON so far;
    one that is, is asked for each value.
    """
    choices: list[Choice] = []
    units = Units()
    last: GenerateResult | None = None
    for index in range(request.n):
        seed = request.seed
        if seed is not None:
            seed += index if seed < 0 else -index  # within its 64 bits
        own = msgspec.structs.replace(request, n=1, seed=seed)
        one = _Writer(form, own, ask, instructed=instructed, first=last is None)
        async for text in one.pieces():
            yield TextDelta(text=text, index=index)
        choices.append(Choice(text=one.text, finish_reason="length" if one.cut else "stop"))
        for result in one.results:
            last = result
            units += result.units
    assert last is not None
    yield msgspec.structs.replace(last, choices=tuple(choices), units=units)


class _CutError(Exception):
    """The model may write no more."""


class _Open(msgspec.Struct, frozen=True):
    """A value, a list's next item or an object's next free member, still to be written."""

    node: Node
    label: str
    depth: int
    count: int = 0
    names: tuple[str, ...] = ()


class _Writer:
    """One sequence."""

    def __init__(
        self, form: Form, request: GenerateRequest, ask: Ask, *, instructed: bool, first: bool
    ) -> None:
        self._form, self._request, self._ask = form, request, ask
        self._instructed, self._first = instructed, first
        self._left = math.inf if request.max_tokens is None else request.max_tokens
        self.text, self.cut = "", False
        self.results: list[GenerateResult] = []

    async def pieces(self) -> AsyncGenerator[str]:
        """The JSON, a piece for each answer of the model."""
        # A stack and not recursion: how deep a value goes is the client's to say.
        stack: list[str | _Open] = [_Open(self._form.root, "the answer", 0)]
        sent = 0
        try:
            while stack:
                top = stack.pop()
                if isinstance(top, str):
                    self.text += top
                    continue
                asked = len(self.results)
                stack += reversed(await self._written(top))
                if len(self.results) > asked and len(self.text) > sent:
                    yield self.text[sent:]
                    sent = len(self.text)
            if self._first and not self.results:
                # All is constant; still, some model of the route answers for it.
                await self._said(1, self._prompt("the answer", "any word", ""))
        except _CutError:
            self.cut = True
        if len(self.text) > sent:
            yield self.text[sent:]

    async def _written(self, one: _Open) -> list[str | _Open]:  # noqa: PLR0912
        """Write the start of a value; what comes after it."""
        form, depth = self._form, one.depth + 1
        spare = depth > _MAX_DEPTH or len(self.results) > _MAX_ASKED
        match one.node:
            case schemas.Ref() as node:
                return [_Open(form.target(node), _label(one.label, node.about), one.depth)]
            case schemas.Object(members=members):
                parts: list[str | _Open] = ["{"]
                for member in members:
                    if member.required or not (spare or form.size(member.value) == math.inf):
                        parts.append(f"{', ' if len(parts) > 1 else ''}{_json(member.name)}: ")
                        label = _label(_json(member.name), member.value.about)
                        parts.append(_Open(member.value, label, depth))
                return [*parts, "}"]
            case schemas.AnyOf(options=options):
                ends = [option for option in options if form.size(option) < math.inf]
                if spare:
                    return [_Open(min(ends, key=form.size), one.label, one.depth)]
                text = "" if len(ends) == 1 else await self._short(one.label, "its value as JSON")
                return [_Open(max(ends, key=lambda o: self._fits(o, text)), one.label, depth)]
            case schemas.Array():
                return await self._item(one, spare=spare)
            case schemas.Free():
                return await self._member(one)
            case schemas.Text() as node:
                await self._string(node, one.label)
            case schemas.Number() as node:
                kind = "one whole number" if node.integer else "one number"
                self.text += _number(node, await self._short(one.label, kind))
            case schemas.Choice(options=options):
                text = ""
                if len(options) > 1:
                    kind = "one of " + ", ".join(options[:20])
                    text = await self._short(one.label, kind)
                self.text += nearest(options, text)
            case _:  # pragma: no cover
                raise AssertionError(one.node)
        return []

    async def _item(self, one: _Open, *, spare: bool) -> list[str | _Open]:
        node = one.node
        assert isinstance(node, schemas.Array)
        if not one.count:
            self.text += "["
        more = one.count < node.least
        if not more and not spare and self._form.size(node.items) < math.inf:
            more = one.count < min(node.most, MAX_ITEMS) and await self._goes_on(one, "]")
        if not more:
            return ["]"]
        label = f"item {one.count + 1} of {one.label}"
        item = _Open(node.items, _label(label, node.items.about), one.depth + 1)
        rest = msgspec.structs.replace(one, count=one.count + 1)
        return [", ", item, rest] if one.count else [item, rest]

    async def _member(self, one: _Open) -> list[str | _Open]:
        self.text += "" if one.count else "{"
        if one.count == MAX_ITEMS or (one.count and not await self._goes_on(one, "}")):
            return ["}"]
        self.text += ', "' if one.count else '"'
        text = await self._said(
            _SHORT, self._prompt("the next member", "its name", ""), ('"', "\n")
        )
        name = _unquoted(text) or "answer"
        while name in one.names:
            name += "_"
        self.text += _json(name)[1:] + ": "
        rest = msgspec.structs.replace(one, count=one.count + 1, names=(*one.names, name))
        return [_Open(schemas.Text(), _json(name), one.depth + 1), rest]

    async def _goes_on(self, one: _Open, end: str) -> bool:
        """Whether the model would write another item, and not the end."""
        if self._instructed:
            asked = f'"yes" if {one.label} has more after these {one.count}, else "no"'
            text = await self._said(_SHORT, self._prompt(one.label, asked, ""))
            return _plain(text).startswith(("yes", "true"))
        text = (await self._said(4, self._prompt(one.label, "", ""))).lstrip()
        return text.startswith(",") if one.count else bool(text) and not text.startswith(end)

    async def _string(self, node: schemas.Text, label: str) -> None:
        kind = f"a text, a {node.format}" if node.format else "a text"
        text = await self._said(_TEXT, self._prompt(label, kind, '"'), ('"', "\n"))
        if node.format:
            self.text += _json(formatted(node.format, text))
            return
        self.text += _json(_unquoted(text))
        if self._left <= 0 and self.results[-1].choices[0].finish_reason == "length":
            self.text = self.text[:-1]
            raise _CutError

    async def _short(self, label: str, kind: str) -> str:
        return await self._said(_SHORT, self._prompt(label, kind, ""), ("\n",))

    def _prompt(self, label: str, kind: str, opening: str) -> dict[str, Any]:
        """What the model reads, as fields of a request."""
        given = self._request.messages
        if not self._instructed:
            said = "".join(f"{one.content}\n" for one in given)
            return {"messages": (), "prompt": f"{said}{self.text}{opening}"}
        asked = (
            f"The answer is written as JSON. So far: {self.text}\nNow write {kind}, for {label}. "
            "Write nothing else."
        )
        return {"messages": (*given, Message(role="user", content=asked))}

    async def _said(self, most: int, prompt: dict[str, Any], stop: tuple[str, ...] = ()) -> str:
        if self._left <= 0:
            raise _CutError
        # A model that is asked may begin with the quotation mark or the line that would end it.
        own = () if self._instructed else stop
        request = msgspec.structs.replace(
            self._request, **prompt, stop=own, max_tokens=int(min(most, self._left))
        )
        try:
            result = await self._ask(request)
        except TooLargeError:
            # What the client sent is not too large, then; what was written has become so.
            if not self.results:
                raise
            raise _CutError from None
        self.results.append(result)
        self._left -= result.units.output_tokens
        return result.text

    def _fits(self, node: Node, text: str) -> tuple[int, int]:
        """How well a continuation would begin a value: by its kind, then by what it names."""
        if isinstance(node, schemas.Ref):
            target = self._form.target(node)
            return (0, 0) if isinstance(target, schemas.Ref) else self._fits(target, text)
        start = text.lstrip()
        match node:
            case schemas.Object(members=members):
                return start.startswith("{"), sum(_json(one.name) in text for one in members)
            case schemas.Array():
                return start.startswith("["), 0
            case schemas.Number():
                return _NUMBER.match(start) is not None, 0
            case schemas.Choice(options=options):
                shared = max(_shared((one, start)) for one in options)
                return shared > 1, shared
            case schemas.AnyOf(options=options):
                return max(
                    (self._fits(o, text) for o in options if not isinstance(o, schemas.Ref)),
                    default=(0, 0),
                )
            case _:
                return start.startswith('"'), 0


def nearest(options: tuple[str, ...], text: str) -> str:
    """The option (JSON) that ``text`` begins with, names, or shares its beginning with.

    The longest, the earliest; the first where there is none.
    """
    said = _plain(text)
    plain = [_plain(one) for one in options]

    def rank(at: int) -> tuple[int, int, int]:
        one = plain[at]
        if one and said.startswith(one):
            return 3, len(one), -at
        found = re.search(rf"(?<!\w){re.escape(one)}(?!\w)", said) if one else None
        if found:
            return 2, -found.start(), -at
        return 1, _shared((one, said)), -at

    return options[max(range(len(options)), key=rank)]


def _number(node: schemas.Number, text: str) -> str:
    found = _NUMBER.search(text)
    value = float(found[0]) if found else 0.0
    if abs(value) > 2**53:
        value = 0.0
    value = float(min(max(value, node.low), node.high))
    return str(int(value)) if node.integer or value.is_integer() else repr(value)


def _unquoted(text: str) -> str:
    """The text up to a closing quotation mark, its escapes read where they are JSON's."""
    raw = text.strip().removeprefix('"')
    found = re.match(r'(?:[^"\\]|\\.)*', raw, re.DOTALL)
    inner = found[0] if found else raw
    try:
        read = json.loads(f'"{inner}"', strict=False)
    except ValueError:
        read = inner
    # Half of a pair of surrogates is no text.
    whole = read.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.strip()


def _shared(texts: tuple[str, str]) -> int:
    """How many characters two texts begin with in common."""
    pairs = enumerate(zip(*texts, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(map(len, texts)))


def _plain(text: str) -> str:
    return text.strip(" \t\r\n\"'`.").casefold()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _label(name: str, about: str) -> str:
    return f"{name} ({about})" if about and about not in name else name
