"""What goes through to a vendor that speaks Speech-to-Text's protocol: recordings, and live sound.

Only the model changes, where the route names one, and version 2's recogniser, which stands in the
operator's project. A body goes where its own version is spoken: ``google_speech/v2/long`` takes
version 2's, ``google_speech/latest_long`` version 1's, ``google_speech`` either; on a route that
also leads to the other the call takes the ordinary way. So does one that names ``gs://``, which is
a folder here, but for the buckets that are the vendor's to read.

What an operation costs is told once it is done: see :mod:`ogam.protocols.google.passing_work`.
Streams are :mod:`ogam.protocols.google_speech.passing_stream`'s.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, NamedTuple

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
from ogam.protocols.google import passing_rpc, passing_work, passing_work_rpc
from ogam.protocols.google.grpc import Rpc, from_message, parsed, types
from ogam.protocols.google.passing import field, items, text
from ogam.protocols.google.protojson import number, seconds
from ogam.protocols.google_speech import convert, sound, wire, wire_v2
from ogam.protocols.google_speech.client_wishes import Model
from ogam.protocols.serving import Call, Protocol
from ogam.routes import Route, Step, matches


class Method(NamedTuple):
    """A method of a version: its name, what it is asked, and what it answers; ``later`` says
    that this is an operation.
    """

    version: int
    name: str
    kind: type[msgspec.Struct]
    answer: str
    later: bool = False


RECOGNIZE = (
    Method(1, "Recognize", wire.RecognizeRequest, "RecognizeResponse"),
    Method(2, "Recognize", wire_v2.RecognizeRequest, "RecognizeResponse"),
)
BEGIN = (
    Method(1, "LongRunningRecognize", wire.LongRunningRecognizeRequest, "", later=True),
    Method(2, "BatchRecognize", wire_v2.BatchRecognizeRequest, "", later=True),
)


async def recording(call: Call, data: bytes, method: Method) -> Response | None:
    """The vendor's own answer, where the route leads to one that speaks this version."""
    if not call.gateway.forwards(call.protocol.name) or not google.readable(call):
        return None
    if call.params.get("recognizer", "_") != "_":
        return None  # one that has settings of its own, so perhaps a dearer model
    try:
        asked = Asked(await asyncio.to_thread(msgspec.json.decode, data), method.version)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    named = call.model(asked.model or None)
    target = spoken(call.gateway, call.protocol, named, asked)
    if target is None:
        return None
    passing = _Recording(call, data, asked)
    passing.method = method
    passing.promised = ("name",) if method.later else ()
    if routing.measures_sound(target.steps):
        await asked.measure()
    if method.later:
        return await passing_work.begin(call, "transcribe", target, passing)
    return await forwarding.through(call, "transcribe", target, passing)


def spoken(gateway: Gateway, protocol: Protocol, target: Target, asked: Asked) -> Route | None:
    """The route with the version and the model of its steps told; None where a step speaks the
    other version or may not read what is named, or one part of it wants another model.
    """
    route = gateway.route("transcribe", target)
    if asked.mixed:
        return None
    known = matches(asked.model, protocol.vendor_names)
    steps: list[Step | str] = []
    for step in route.steps:
        vendor = gateway.vendor(step.model)
        if vendor is None or vendor.protocol != protocol.name:
            steps.append(step)
            continue
        if not google.stored(vendor, asked.uris):
            return None
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
        self.model = text(self._config, "model")
        self._seconds: float | None = None

    @property
    def uris(self) -> list[str]:
        """What it names in Cloud Storage, to be read and to be written."""
        output = field(field(self.body, "recognitionOutputConfig"), "gcsOutputConfig")
        found = [
            text(self._sound, "uri"),
            text(field(self.body, "outputConfig"), "gcsUri"),
            text(output, "uri"),
            *(text(one, "uri") for one in items(field(self.body, "files"))),
        ]
        return [one for one in found if one]

    @property
    def mixed(self) -> bool:
        """Whether files of it have a configuration of their own."""
        return any(field(one, "config") is not None for one in items(field(self.body, "files")))

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

    method: Method

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its seconds."""
        odd = await asyncio.to_thread(google.odd, self._call, self._data, self.method.kind)
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
            verb = "batchRecognize" if self.method.later else "recognize"
            path = f"/v2/{await recogniser(engine)}:{verb}"
        body = self._data
        name = named(model, self._asked)
        if name != self._asked.model:
            body = await asyncio.to_thread(_with_model, body, name)
        got = await engine.raw.forward("POST", path, query, body, headers)
        head = Head(status=got.status, headers=got.headers)
        untold = got.status >= 400 or self.method.later
        return head, got.body, None if untold else await self._told(got.body)

    async def _told(self, body: bytes) -> Units | None:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        return await self._asked.told(answer)


async def message(rpc: Rpc, method: Method, data: bytes) -> bytes | None:
    """The vendor's own answer to a message of gRPC, where the route leads to one that has it."""
    if not rpc.gateway.forwards(rpc.protocol.name):
        return None
    version = method.version
    google_types = await types(f"google.cloud.speech_v{version}.types")
    kind = getattr(google_types, method.kind.__name__).pb()
    sent = await asyncio.to_thread(parsed, kind, data)
    asked = Asked(await asyncio.to_thread(from_message, sent), version)
    if version == 2 and not sent.recognizer.endswith("/recognizers/_"):
        return None
    target = spoken(rpc.gateway, rpc.protocol, rpc.model(asked.model or None), asked)
    if target is None:
        return None
    if routing.measures_sound(target.steps):
        await asked.measure()
    where = f"/google.cloud.speech.v{version}.Speech/{method.name}"
    if method.later:
        answer = (await types("google.longrunning.operations_pb2")).Operation
    else:
        answer = getattr(google_types, method.answer).pb()
    own = _Message(rpc, where, data, sent, answer)
    own.asked, own.kind, own.later = asked, method.kind, method.later
    if method.later:
        return await passing_work_rpc.begin(rpc, "transcribe", target, own)
    return await passing_rpc.through(rpc, "transcribe", target, own)


class _Message(passing_rpc.Message):
    """A message on its way."""

    asked: Asked
    later: bool

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
        return None if self.later else await self.asked.told(answer)


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
