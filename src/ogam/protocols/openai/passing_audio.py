"""What goes through to a vendor that speaks OpenAI's protocol: texts to say, and recordings.

Only the model's name changes. Speech that is billed by tokens tells them in events alone, so of a
file all that is set aside stays so; such speech has no bound. Translations are the vendor's own,
where the route for recordings leads there.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.gateway import bounds, routing
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.passed import PassedRequest
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, forwarding_form, strict_json
from ogam.protocols.forwarding import Head
from ogam.protocols.forwarding_form import Recording
from ogam.protocols.openai import errors, languages, usage
from ogam.protocols.serving import Call

# What is billed by the text, or the sound, alone.
_FREE = frozenset(
    ("model", "input", "voice", "instructions", "response_format", "speed", "stream_format")
)
_FREE_FIELDS = frozenset(
    (
        *("model", "file", "language", "prompt", "response_format", "temperature", "stream"),
        *("timestamp_granularities[]", "include[]", "chunking_strategy"),
    )
)
# Bytes of an answer that are kept to see what it tells.
_MOST = 1024 * 1024
# Replies in these are no JSON.
_WRITTEN = ("text", "srt", "vtt")


class _Peek(msgspec.Struct):
    model: Any = None
    input: Any = None
    voice: Any = None
    stream_format: Any = None


async def speech(call: Call) -> Response | None:
    """The vendor's own speech, where the route leads to one that speaks OpenAI's protocol."""
    if not call.gateway.forwards(call.protocol.name):
        return None
    data = await call.request.body()
    try:
        peek = msgspec.json.decode(data, type=_Peek)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(peek.model, str) or not isinstance(peek.input, str):
        return None
    if isinstance(peek.voice, str) and peek.voice in call.gateway.config.names:
        return None  # it leads to a model of its own
    passing = _Text(call, data, peek)
    # What breaks in the middle of a file can only be cut off.
    broken = errors.broken if peek.stream_format == "sse" else None
    return await forwarding.through(call, "speak", call.model(peek.model), passing, broken=broken)


async def recording(call: Call, path: Literal["transcriptions", "translations"]) -> Response | None:
    """The vendor's own transcript or translation, where the route leads to one."""
    if not call.gateway.forwards(call.protocol.name):
        return None
    found = await forwarding_form.read(call)
    if found is None:
        return None
    form, file, fields = found
    model = dict(fields).get("model")
    if not model:
        return None
    target = call.model(model)
    passing = _Recording(call, form, file, fields)
    passing.path = f"/audio/{path}"
    passing.streamed = passing.field("stream").lower() in ("true", "1")
    passing.promised = None if passing.field("response_format") in _WRITTEN else ("text",)
    if routing.measures_sound(call.gateway.route("transcribe", target).steps):
        await passing.measure()
    return await forwarding.through(call, "transcribe", target, passing, broken=errors.broken)


class _Text:
    """A text on its way to be spoken."""

    features: tuple[str, ...] = ()
    streamed = True
    promised: tuple[str, ...] | None = None

    def __init__(self, call: Call, data: bytes, peek: _Peek) -> None:
        self._call, self._data, self._peek = call, data, peek

    @property
    def said(self) -> bytes:
        """The body as it came."""
        return self._data

    def facts(self) -> Facts:
        """Its length."""
        return Facts(characters=len(self._peek.input))

    def same(self) -> PassedRequest:
        """The body without the model's name, as the route's steps have their own."""
        body = strict_json.decode(self._data)
        body.pop("model", None)
        return forwarding.same(self._call, body)

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its characters."""
        body = strict_json.decode(self._data)
        odd = {name for name, value in body.items() if value is not None} - _FREE
        text = body.get("input")
        if odd or not isinstance(text, str):
            return forwarding.unknown(min(odd, default="input"))
        if price.bills == "tokens":
            return Unprovable(
                reason="How many tokens the vendor makes of speech is not known before.",
                hint="Use a model that is billed by characters, such as tts-1.",
            )
        # As :mod:`ogam.gateway.bounds` counts: no other way to count characters finds more.
        return bounds.characters_bound(len(text.encode("utf-16-le")) // 2, price)

    async def send(
        self, engine: Any, model: str, *, paid: bool
    ) -> tuple[Head, bytes, Units | None]:
        """Nothing asks for it whole."""
        raise NotImplementedError

    @asynccontextmanager
    async def open(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> AsyncGenerator[_Stream]:
        """Send it, and take the sound as it comes."""
        data = self._data
        if model != self._peek.model:
            data = strict_json.with_field(data, "model", model)
        headers = forwarding.fields(self._call.request)
        async with engine.raw.stream("POST", "/audio/speech", "", data, headers) as got:
            yield _Stream(got, Units(characters=len(self._peek.input)))


class _Recording(Recording):
    """A recording on its way to be written down."""

    free, model, words = _FREE_FIELDS, "model", "prompt"
    path = ""

    @property
    def language(self) -> str | None:
        """The one that is named."""
        code = self.field("language")
        return languages.tag(code) if code else None

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        headers = forwarding.fields(self.call.request)
        got = await engine.raw.forward("POST", self.path, "", self.made(model), headers)
        head = Head(status=got.status, headers=got.headers)
        if got.status >= 400:
            return head, got.body, None
        told = usage.usage_of(got.body)
        if told is None or not told.audio_ms:
            # Tokens are billed for some models, and time for others: both are told.
            await self.measure()
            if self.seconds is not None:
                told = (told or Units()) + Units(audio_ms=math.ceil(self.seconds * 1000))
        return head, got.body, told

    @asynccontextmanager
    async def open(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> AsyncGenerator[_Stream]:
        """Send it, and take the text as it comes."""
        headers = forwarding.fields(self.call.request)
        sending = engine.raw.stream("POST", self.path, "", self.made(model), headers)
        async with sending as got:
            yield _Stream(got, None)


class _Stream:
    """Sound, or events, on their way back. ``known``: what was used, whatever is told besides."""

    def __init__(self, got: Any, known: Units | None) -> None:
        self._got, self._known = got, known
        self._tap = usage.UsageTap()
        self.head = Head(status=got.status, headers=got.headers)
        kind = dict(got.headers).get("content-type", "")
        self._tells = kind.startswith("text/event-stream")
        self.units: Units | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Each as it comes. Models that have no events answer whole, though asked for them."""
        whole = b""
        async for chunk in self._got.chunks:
            if self._tells:
                self._tap.feed(chunk)
            elif self._known is None and len(whole) < _MOST:
                whole += chunk
            yield chunk
        told = self._tap.usage or usage.usage_of(whole)
        self.units = told + self._known if told and self._known else told or self._known
