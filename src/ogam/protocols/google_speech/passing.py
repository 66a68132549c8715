"""What goes through to a vendor that speaks Speech-to-Text's protocol: recordings of a minute.

Only the model changes, where the route names one, and version 2's recogniser, which stands in the
operator's project. A body goes where its own version is spoken: ``google_speech/v2/long`` takes
version 2's, ``google_speech/latest_long`` version 1's, ``google_speech`` either; on a route that
also leads to the other, and where sound is to be taken from ``gs://`` (a folder here), the call
takes the ordinary way.

Operations do: the client asks about its operation in later requests, which may never come, so
nothing here would be told what it was billed.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.errors import InvalidRequestError, OgamError
from ogam.gateway import bounds, routing
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.routing import Facts
from ogam.media import Audio, sniff, wav
from ogam.protocols import forwarding
from ogam.protocols.forwarding import Head
from ogam.protocols.google import passing as google
from ogam.protocols.google import passing_rpc
from ogam.protocols.google.grpc import Rpc, from_message, parsed, types
from ogam.protocols.google.passing import field, items, text
from ogam.protocols.google.protojson import number, seconds
from ogam.protocols.google_speech import convert, sound, wire, wire_v2
from ogam.protocols.google_speech.client_wishes import Model
from ogam.protocols.serving import Call, Protocol
from ogam.routes import Route, Step, matches

_KINDS: dict[int, type[msgspec.Struct]] = {1: wire.RecognizeRequest, 2: wire_v2.RecognizeRequest}


async def recording(call: Call, data: bytes, version: int) -> Response | None:
    """The vendor's own transcript, where the route leads to one that speaks this version."""
    if not call.gateway.forwards(call.protocol.name) or not google.readable(call):
        return None
    if call.params.get("recognizer", "_") != "_":
        return None  # one that has settings of its own, so perhaps a dearer model
    try:
        asked = Asked(await asyncio.to_thread(msgspec.json.decode, data), version)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if asked.uri:
        return None
    named = call.model(asked.model or None)
    target = spoken(call.gateway, call.protocol, named, asked)
    if target is None:
        return None
    passing = _Recording(call, data, asked)
    if routing.measures_sound(target.steps):
        await asked.measure()
    return await forwarding.through(call, "transcribe", target, passing)


def spoken(gateway: Gateway, protocol: Protocol, target: Target, asked: Asked) -> Route | None:
    """The route with the version and the model of its steps told; None where a step speaks the
    other version, or none is this protocol's.
    """
    route = gateway.route("transcribe", target)
    known = matches(asked.model, protocol.vendor_names)
    steps: list[Step | str] = []
    for step in route.steps:
        vendor = gateway.vendor(step.model)
        if vendor is None or vendor.protocol != protocol.name:
            steps.append(step)
            continue
        # Version 2 stands in a project. Where none is known, version 1 may do it the ordinary way.
        project = vendor.project or (vendor.credentials and not vendor.key)
        if asked.version == 2 and not project:
            return None
        name, _, written = step.model.partition("/")
        version, model = parted(written)
        if version != asked.version and written not in ("", "*"):
            return None
        if model in ("", "*"):
            model = asked.model if known else ""
        told = "/".join(one for one in (name, "v2" if asked.version == 2 else "", model) if one)
        steps.append(msgspec.structs.replace(step, model=told))
    return msgspec.structs.replace(route, models=tuple(steps))


def parted(model: str) -> tuple[int, str]:
    """``v2/long`` -> version 2, its model ``long``."""
    first, _, rest = model.partition("/")
    return (int(first[1]), rest) if first in ("v1", "v2") else (1, model)


class Asked:
    """What is read of a request, ``body`` as its JSON: see :mod:`ogam.protocols.google.passing`."""

    def __init__(self, body: Any, version: int) -> None:
        self.body, self.version = body, version
        self._config = field(body, "config")
        self._sound = field(body, "audio") if version == 1 else body
        self.uri, self.model = text(self._sound, "uri"), text(self._config, "model")
        self._seconds: float | None = None

    @property
    def language(self) -> str:
        """The first that is named; empty where none is, or Google finds it out."""
        if self.version == 1:
            return text(self._config, "languageCode")
        first = next(iter(items(field(self._config, "languageCodes"))), "")
        return first if isinstance(first, str) and first != "auto" else ""

    @property
    def _separate(self) -> bool:
        if self.version == 1:
            return field(self._config, "enableSeparateRecognitionPerChannel") is True
        mode = field(field(self._config, "features"), "multiChannelMode")
        return mode in (1, "SEPARATE_RECOGNITION_PER_CHANNEL")

    @property
    def raw(self) -> tuple[str, int, int]:
        """What it says of its sound: the encoding's name, its rate and channels (0: not told)."""
        told, kinds = self._config, wire.ENCODINGS
        if self.version == 2:
            told, kinds = field(told, "explicitDecodingConfig"), wire_v2.ENCODINGS
        try:
            code = number(field(told, "encoding") or 0, kinds, "encoding")
        except (InvalidRequestError, TypeError):
            code = 0
        rate, channels = field(told, "sampleRateHertz"), field(told, "audioChannelCount")
        return (
            next(name for name, one in kinds.items() if one == code),
            rate if isinstance(rate, int) else 0,
            channels if isinstance(channels, int) else 0,
        )

    @property
    def billed_channels(self) -> int:
        """How many channels of a stream count, by what it says of itself (0: not told)."""
        return self.raw[2] if self._separate else 1

    def facts(self) -> Facts:
        """Its language, and its length where that was measured."""
        code = self.language
        return Facts(languages=(convert.tag(code),) if code else None, seconds=self._seconds)

    def audio(self, *, most: bool = False) -> tuple[Audio, ...]:
        """The sound by each way it may be read, the likeliest last; with ``most`` to the end of
        the bytes, whatever a header says of its length. An OgamError where it is none.
        """
        data = google.content(self._sound, "content")
        encoding, rate, channels = self.raw
        raw: Any = sound.RAW.get(encoding)
        if encoding in sound.MAGIC and not data.startswith(b"#!AMR"):
            data = sound.MAGIC[encoding] + data
        found: list[Audio] = []
        if raw:
            found.append(
                Audio(data, encoding=raw, sample_rate=rate or None, channels=channels or 1)
            )
        head = wav.header(data)
        if head is not None and head.is_pcm16:
            rate, channels = head.sample_rate, head.channels
            rest = data[head.start : None if most else head.stop]
            found.append(Audio(rest, encoding="pcm", sample_rate=rate, channels=channels))
        elif not raw or sniff.audio_type(data) is not None:
            found.append(Audio(data))
        return tuple(found)

    async def measure(self) -> tuple[float, int] | None:
        """Its seconds and how many channels count, as far as that can be read here."""
        try:
            found = (await asyncio.to_thread(self.audio))[-1]
            self._seconds = await asyncio.to_thread(lambda: found.duration)
        except OgamError:
            return None
        return self._seconds, found.channels if self._separate else 1

    def bound(self, price: Price) -> Billing | Unprovable:
        """The most that its sound is billed for. Blocking."""
        try:
            readings = self.audio(most=True)
            found = [
                bounds.prove("transcribe", TranscribeRequest(audio=one), price) for one in readings
            ]
        except OgamError as error:
            return Unprovable(
                reason=f"How long the recording is cannot be read here: {error.message}",
                hint=error.hint,
            )
        doubt = next((one for one in found if isinstance(one, Unprovable)), None)
        proven = [one for one in found if isinstance(one, Billing)]
        return doubt or max(proven, key=lambda one: one.units.audio_ms)

    async def told(self, answer: Any) -> Units | None:
        """What the vendor says that it billed, else what it says it rounds to."""
        told = text(answer, "totalBilledTime")
        if self.version == 2:
            told = text(field(answer, "metadata"), "totalBilledDuration")
        if told:
            try:
                return Units(audio_ms=math.ceil(seconds(told, "totalBilledTime") * 1000))
            except InvalidRequestError:
                return None
        measured = await self.measure()
        return None if measured is None else Units(audio_ms=1000 * convert.billed(*measured))


class _Recording(google.Body[Asked]):
    """A recording on its way."""

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its seconds."""
        kind = _KINDS[self._asked.version]
        odd = await asyncio.to_thread(google.odd, self._call, self._data, kind)
        return odd or await asyncio.to_thread(self._asked.bound, price)

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole."""
        path, query, headers = google.where(self._call, "")
        if self._asked.version == 2:
            path = f"/v2/{await recogniser(engine)}:recognize"
        body = self._data
        name = named(model, self._asked)
        if name != self._asked.model:
            body = await asyncio.to_thread(_with_model, body, name)
        got = await engine.raw.forward("POST", path, query, body, headers)
        head = Head(status=got.status, headers=got.headers)
        return head, got.body, None if got.status >= 400 else await self._told(got.body)

    async def _told(self, body: bytes) -> Units | None:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        return await self._asked.told(answer)


async def message(rpc: Rpc, version: int, method: str, data: bytes) -> bytes | None:
    """The vendor's own answer to a message of gRPC, where the route leads to one that has it."""
    if not rpc.gateway.forwards(rpc.protocol.name):
        return None
    google_types = await types(f"google.cloud.speech_v{version}.types")
    sent = await asyncio.to_thread(parsed, google_types.RecognizeRequest.pb(), data)
    asked = Asked(await asyncio.to_thread(from_message, sent), version)
    if asked.uri or (version == 2 and not sent.recognizer.endswith("/recognizers/_")):
        return None
    target = spoken(rpc.gateway, rpc.protocol, rpc.model(asked.model or None), asked)
    if target is None:
        return None
    if routing.measures_sound(target.steps):
        await asked.measure()
    own = _Message(rpc, method, data, sent, google_types.RecognizeResponse.pb())
    own.asked, own.kind = asked, _KINDS[version]
    return await passing_rpc.through(rpc, "transcribe", target, own)


class _Message(passing_rpc.Message):
    """A message on its way."""

    asked: Asked

    def facts(self) -> Facts:
        """Its language and length."""
        return self.asked.facts()

    def bound(self, price: Price) -> Billing | Unprovable:
        """By its seconds."""
        return self.asked.bound(price)

    async def changed(self, message: Any, engine: Any, model: str) -> dict[str, str] | None:
        """The model, and version 2's recogniser."""
        name = named(model, self.asked)
        if self.asked.version == 1:
            if name == self.asked.model:
                return None
            message.config.model = name
            return {}
        message.recognizer = await recogniser(engine)
        if name != self.asked.model:
            message.config.model = name
        return {"recognizer": message.recognizer}

    async def told(self, answer: dict[str, Any]) -> Units | None:
        """The seconds that it says it billed."""
        return await self.asked.told(answer)


async def recogniser(engine: Any) -> str:
    """The one without settings of its own, in the operator's project and where its url is."""
    project = await engine.raw.auth.project()
    return Model.of("v2", engine.raw.vendor.url).recognizer(project)


def named(model: str, asked: Asked) -> str:
    """What the request is to name: the step's model, else what the client named, of the vendor's.

    A name that leads to the vendor here means nothing there; version 2 wants one.
    """
    name = parted(model)[1]
    if name or not asked.model or asked.version == 1:
        return name
    return Model.of("v2", "").name


def _with_model(data: bytes, model: str) -> bytes:
    """The body with that model, or with none; all else as it stands."""
    body = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    try:
        config = msgspec.json.decode(body.get("config", b"{}"), type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return data  # the vendor says what is wrong with it
    config.pop("model", None)
    if model:
        config["model"] = msgspec.Raw(msgspec.json.encode(model))
    body["config"] = msgspec.Raw(msgspec.json.encode(config))
    return msgspec.json.encode(body)
