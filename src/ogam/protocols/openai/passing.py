"""What goes through to a vendor that speaks OpenAI's protocol: JSON bodies of five paths.

Only the model's name changes, and, where it costs money, the maximum to write. A stream that
costs money is asked for its usage; a client that did not ask for it does not see it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Capability, Units
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.passed import PassedRequest
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, strict_json
from ogam.protocols.forwarding import Head
from ogam.protocols.openai import bodies, errors, usage
from ogam.protocols.serving import Call

# The paths whose streams tell their usage only when asked.
_ASKED = ("chat/completions", "completions")
# The name under which the answer stands, where that is not "choices".
_ANSWERED = {"responses": "output", "embeddings": "data", "moderations": "results"}


class _Peek(msgspec.Struct):
    model: Any = None
    stream: Any = None


_peek = msgspec.json.Decoder(_Peek)


async def through(call: Call, capability: Capability, path: bodies.Path) -> Response | None:
    """The vendor's own reply, where the route leads to one that speaks OpenAI's protocol."""
    if not call.gateway.forwards(call.protocol.name):
        return None
    data = await call.request.body()
    try:
        peek = _peek.decode(data)
    except msgspec.DecodeError:
        return None
    if not isinstance(peek.model, str):
        return None
    target = call.model(peek.model)
    passing = _Body(call, path, data, streamed=peek.stream is True)
    return await forwarding.through(call, capability, target, passing, broken=errors.broken)


class _Body:
    """One JSON body on its way."""

    features: tuple[str, ...] = ()

    def __init__(self, call: Call, path: bodies.Path, data: bytes, *, streamed: bool) -> None:
        self._call, self._data = call, data
        self._path: bodies.Path = path
        self._fields = forwarding.fields(call.request)
        self.streamed = streamed
        self.promised: tuple[str, ...] | None = (_ANSWERED.get(path, "choices"),)
        self._read: dict[str, Any] | None = None
        self._with_maximum: tuple[dict[str, Any], bytes] | None = None

    @property
    def _body(self) -> dict[str, Any]:
        if self._read is None:
            self._read = strict_json.decode(self._data)
        return self._read

    @property
    def _bounded(self) -> tuple[dict[str, Any], bytes]:
        """With a maximum, and without the model: what is read, and what is sent of it."""
        if self._with_maximum is None:
            most = self._call.gateway.config.ledger.max_output_tokens
            body = bodies.with_maximum(self._path, self._body, most)
            body.pop("model", None)
            if self._hides_usage:
                options: dict[str, Any] = body.get("stream_options") or {}
                body["stream_options"] = {**options, "include_usage": True}
            self._with_maximum = body, msgspec.json.encode(body)
        return self._with_maximum

    @property
    def _hides_usage(self) -> bool:
        if not self.streamed or self._path not in _ASKED:
            return False
        options = self._body.get("stream_options")
        return not (isinstance(options, dict) and options.get("include_usage"))  # pyright: ignore[reportUnknownMemberType]

    @property
    def said(self) -> bytes:
        """The body as it came."""
        return self._data

    def facts(self) -> Facts:
        """Its size: what is said is most of it."""
        return Facts(characters=len(self._data))

    def same(self) -> PassedRequest:
        """The body without the model's name, as the route's steps have their own. A near one may
        stand for the user's last text.
        """
        body = {name: value for name, value in self._body.items() if name != "model"}
        text = ""
        match body:
            case {"messages": [*before, {"role": "user", "content": str(text), **last}]}:
                body["messages"] = [*before, {"role": "user", **last}]
            case {"prompt": str(text)} if self._path == "completions":
                del body["prompt"]
            case {"input": str(text)} if self._path == "responses":
                del body["input"]
            case _:
                pass
        return forwarding.same(self._call, body, text=text)

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By what its fields say; the model's name is no part of what is read."""
        body, written = self._bounded
        return bodies.chat_body_bound(self._path, body, len(written), price)

    def _made(self, engine: Any, model: str, *, paid: bool) -> bytes:
        if not paid:
            return msgspec.json.encode({**self._body, "model": model})
        body, written = self._bounded
        most = body.get("max_completion_tokens")
        if most is not None and not engine.own and "max_completion_tokens" not in self._body:
            # Other servers know the older name alone, and would write without end.
            body = {k: v for k, v in body.items() if k != "max_completion_tokens"}
            return msgspec.json.encode({**body, "model": model, "max_tokens": most})
        name = msgspec.json.encode(model)
        return b'{"model":%b%b%b' % (name, b"," if body else b"", written[1:])

    async def send(
        self, engine: Any, model: str, *, paid: bool
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        made = self._made(engine, model, paid=paid)
        got = await engine.raw.forward("POST", f"/{self._path}", "", made, self._fields)
        told = usage.usage_of(got.body)
        if self._path == "moderations":
            told = told or Units()  # they tell none, and OpenAI bills nothing for them
        return Head(status=got.status, headers=got.headers), got.body, told

    @asynccontextmanager
    async def open(self, engine: Any, model: str, *, paid: bool) -> AsyncGenerator[_Events]:
        """Send it, and read the reply as it comes."""
        made = self._made(engine, model, paid=paid)
        async with engine.raw.stream("POST", f"/{self._path}", "", made, self._fields) as got:
            yield _Events(got, hides=paid and self._hides_usage)


class _Events:
    """A stream of events on its way back."""

    def __init__(self, got: Any, *, hides: bool) -> None:
        self._got, self._hides = got, hides
        self._tap = usage.UsageTap()

    @property
    def head(self) -> Head:
        """What stands before the body."""
        return Head(status=self._got.status, headers=self._got.headers)

    @property
    def units(self) -> Units | None:
        """What it said it used."""
        return self._tap.usage

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The events; one that only tells the usage is kept back where nobody asked for it."""
        rest = b""
        async for chunk in self._got.chunks:
            self._tap.feed(chunk)
            if not self._hides:
                yield chunk
                continue
            rest += chunk
            events = rest.split(b"\n\n")
            rest = events.pop()
            shown = b"".join(one + b"\n\n" for one in events if not usage.only_usage(one))
            if shown:
                yield shown
        if rest:
            yield rest
