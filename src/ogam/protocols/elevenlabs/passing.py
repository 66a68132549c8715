"""What goes through to a vendor that speaks ElevenLabs's protocol: texts to speak, recordings to
transcribe, and what is asked about its voices.

Only the model's name changes, where the route names one. The socket ``stream-input`` is
:mod:`ogam.protocols.elevenlabs.passing_socket`'s.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.gateway import bounds, routing
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.passed import PassedRequest
from ogam.gateway.routing import Facts
from ogam.media import Audio
from ogam.protocols import forwarding, forwarding_form, strict_json
from ogam.protocols.elevenlabs import convert_heard, convert_spoken, languages, speaking
from ogam.protocols.forwarding import Head
from ogam.protocols.forwarding_form import Recording
from ogam.protocols.serving import Call, raw_path

# The vendor's ids; all else in an address might lead elsewhere than it seems.
ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
# What asks for nothing that is billed beyond the text. Not so: pronunciation dictionaries, which
# put other words in, and what nobody here has heard of.
_FREE = frozenset(
    (
        *("text", "model_id", "language_code", "voice_settings", "seed", "use_pvc_as_ivc"),
        *("previous_text", "next_text", "previous_request_ids", "next_request_ids"),
        *("apply_text_normalization", "apply_language_text_normalization"),
    )
)
_FREE_QUERY = frozenset(("enable_logging", "optimize_streaming_latency", "output_format"))
# The same of a recording. Not so: several channels, entities, and all that is fetched.
_FREE_FIELDS = frozenset(
    (
        *("model_id", "file", "file_format", "language_code", "secondary_language_codes"),
        *("timestamps_granularity", "diarize", "num_speakers", "diarization_threshold"),
        *("tag_audio_events", "temperature", "seed", "additional_formats", "webhook_metadata"),
    )
)
# What listens where no model of the vendor's is named: the form must name one.
_HEARS = "scribe_v1"


class _Peek(msgspec.Struct):
    text: Any = None
    model_id: Any = None
    language_code: Any = None


class _Length(msgspec.Struct):
    audio_duration_secs: float | None = None


async def speech(call: Call) -> Response | None:
    """The vendor's own speech, where the route leads to one that speaks ElevenLabs's protocol."""
    voice = call.params["voice_id"]
    own = voice in call.gateway.config.names or not ID.fullmatch(voice)
    if own or not call.gateway.forwards(call.protocol.name):
        return None
    data = await call.request.body()
    try:
        peek = msgspec.json.decode(data, type=_Peek)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(peek.text, str) or not isinstance(peek.model_id, str | None):
        return None
    passing = _Text(call, data, peek)
    return await forwarding.through(call, "speak", call.model(peek.model_id), passing)


async def recording(call: Call) -> Response | None:
    """The vendor's own transcript, where the route leads to one."""
    if not call.gateway.forwards(call.protocol.name):
        return None
    found = await forwarding_form.read(call)
    if found is None:
        return None
    form, file, texts = found
    # The SDK sends "null" for what it has no value for.
    fields = [(name, value) for name, value in texts if value not in ("null", "")]
    target = call.model(dict(fields).get("model_id"))
    passing = _Recording(call, form, file, fields)
    if routing.measures_sound(call.gateway.route("transcribe", target).steps):
        await passing.measure()
    return await forwarding.through(call, "transcribe", target, passing)


async def about_voices(call: Call) -> Response | None:
    """The vendor's own answer about its voices, where it is the first to speak."""
    gateway = call.gateway
    voice = call.params.get("voice_id", "")
    if voice in gateway.config.names or (voice and not ID.fullmatch(voice)):
        return None
    name = next(iter(gateway.config.routes.of("speak").names), "")
    if not speaking.at_vendor(gateway, name):
        return None
    path, query, headers = _where(call)
    engine = gateway.engine("speak", name)
    got = await call.while_there(engine.raw.forward("GET", path, query, b"", headers))
    return Response(got.body, got.status, dict(got.headers))


class _Text:
    """A text on its way to be spoken."""

    features: tuple[str, ...] = ()

    def __init__(self, call: Call, data: bytes, peek: _Peek) -> None:
        self._call, self._data, self._peek = call, data, peek
        self.streamed = "/stream" in call.route.path
        self.promised: tuple[str, ...] | None = () if "with-timestamps" in call.route.path else None

    @property
    def said(self) -> bytes:
        """The body as it came."""
        return self._data

    def facts(self) -> Facts:
        """Its language and length."""
        code = self._peek.language_code
        tags = (languages.tag(code),) if isinstance(code, str) and code else None
        return Facts(languages=tags, characters=len(self._peek.text))

    def same(self) -> PassedRequest:
        """The body without the model's name, as the route's steps have their own."""
        body = strict_json.decode(self._data)
        body.pop("model_id", None)
        return forwarding.same(self._call, body)

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its characters."""
        body = strict_json.decode(self._data)
        given = {name for name, value in body.items() if value is not None}
        text = body.get("text")
        odd = (given - _FREE) | (set(self._call.request.query_params) - _FREE_QUERY)
        if odd or not isinstance(text, str):
            return forwarding.unknown(min(odd, default="text"))
        # As :mod:`ogam.gateway.bounds` counts: no other way to count characters finds more.
        return bounds.characters_bound(len(text.encode("utf-16-le")) // 2, price)

    def _made(self, model: str) -> bytes:
        if model == (self._peek.model_id or ""):
            return self._data
        return strict_json.with_field(self._data, "model_id", model or None)

    def told(self, head: Head) -> Units | None:
        """What the vendor says that it billed."""
        if head.status >= 400:
            return None
        text = self._peek.text
        return convert_spoken.billed(dict(head.headers).get("character-cost", ""), text)

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        path, query, headers = _where(self._call)
        got = await engine.raw.forward("POST", path, query, self._made(model), headers)
        head = Head(status=got.status, headers=got.headers)
        return head, got.body, self.told(head)

    @asynccontextmanager
    async def open(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> AsyncGenerator[_Sound]:
        """Send it, and take the sound as it comes."""
        path, query, headers = _where(self._call)
        sending = engine.raw.stream("POST", path, query, self._made(model), headers)
        async with sending as got:
            yield _Sound(got, self)


class _Sound:
    """Sound, or lines that hold some, on its way back."""

    def __init__(self, got: Any, text: _Text) -> None:
        self._got, self._text = got, text
        self.head = Head(status=got.status, headers=got.headers)
        self.units: Units | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The sound as it comes."""
        async for chunk in self._got.chunks:
            yield chunk
        self.units = self._text.told(self.head)


class _Recording(Recording):
    """A recording on its way to be transcribed."""

    free, model, words = _FREE_FIELDS, "model_id", "keyterms"

    @property
    def language(self) -> str | None:
        """The one that is named."""
        code = self.field("language_code")
        return languages.tag(code) if code else None

    def audio(self) -> Audio:
        """The sound, which may have no head."""
        data = self.form.content(self.file)
        raw = self.field("file_format") == "pcm_s16le_16"
        return Audio(data, encoding="pcm", sample_rate=16000) if raw else Audio(data)

    def odd(self) -> set[str]:
        """Fields, here and in the address."""
        names = [name for name, _ in self.fields]
        found = super().odd() | (set(self.call.request.query_params) - _FREE_QUERY)
        return found | ({"file_format"} if names.count("file_format") > 1 else set())

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        path, query, headers = _where(self.call)
        named = bool(model or self.field("model_id"))
        body = self.made(model or _HEARS) if named else self.form.data
        got = await engine.raw.forward("POST", path, query, body, headers)
        head = Head(status=got.status, headers=got.headers)
        return head, got.body, await self._told(head, got.body)

    async def _told(self, head: Head, body: bytes) -> Units | None:
        if head.status >= 400:
            return None
        try:
            seconds = msgspec.json.decode(body, type=_Length).audio_duration_secs
        except (msgspec.DecodeError, UnicodeDecodeError):
            seconds = None
        if seconds is None:
            await self.measure()
            seconds = self.seconds
        return None if seconds is None else convert_heard.billed(seconds)


def _where(call: Call) -> tuple[str, str, Sequence[tuple[str, str]]]:
    """The path and query as they travelled, and the header fields."""
    request = call.request
    query = request.scope["query_string"].decode("latin-1")
    return raw_path(request.scope), query, forwarding.fields(request)
