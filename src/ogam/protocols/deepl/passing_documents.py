"""Documents that go through to a vendor that speaks DeepL's protocol.

What one costs is told once it is translated, so that all it may cost stays set aside until its
client has asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import PurePath
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Units
from ogam.errors import LedgerError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding, strict_form
from ogam.protocols.deepl import languages, wire, wire_answers
from ogam.protocols.deepl.passing import has_own_glossary, where
from ogam.protocols.deepl.state import state
from ogam.protocols.forwarding import Head
from ogam.protocols.sent import Sent
from ogam.protocols.serving import Call, Stream
from ogam.protocols.strict_form import Form, Part

# Files of these have no more characters than bytes; all others are packed.
_PLAIN = frozenset(("htm", "html", "srt", "txt", "xlf", "xliff"))
_PACKED = (b"PK", b"%PDF", b"\xd0\xcf\x11\xe0")


async def upload(call: Call) -> Response | None:
    """Leave a document with the vendor, where the route leads to one."""
    if not call.gateway.forwards(call.protocol.name) or call.request.scope["query_string"]:
        return None
    found = await strict_form.read(call.request)
    file = found and found.file("file")
    if found is None or file is None:
        return None
    try:
        fields = found.texts()
    except UnicodeDecodeError:
        return None
    ids = [
        one for name, value in fields if name.startswith("glossary_id") for one in value.split(",")
    ]
    if await has_own_glossary(call.gateway, ids):
        return None
    passing = _Document(call, found, file, fields)
    left: list[tuple[str, str]] = []

    def unsettled(model: str, hold: str) -> None:
        left.append((model, hold))

    target = call.model(None)
    response = await forwarding.through(call, "translate", target, passing, unsettled=unsettled)
    if response is not None and left:
        model, hold = left[0]
        with suppress(msgspec.DecodeError):
            told = msgspec.json.decode(bytes(response.body), type=wire.DocumentHandle)
            document = Sent(id=told.document_id, model=model, hold=hold)
            await asyncio.to_thread(state(call.gateway).sent.add, document)
    return response


async def status(call: Call) -> Response | None:
    """How far a document is that was left with a vendor; None for any other."""
    document = await _sent(call)
    if document is None:
        return None
    got = await call.while_there(_status(call, document))
    return Response(got.body, got.status, dict(got.headers))


async def result(call: Call) -> Response | None:
    """A document that was left with a vendor, translated; None for any other."""
    document = await _sent(call)
    if document is None:
        return None
    if not document.settled:
        # Once it is fetched nobody is told what it cost.
        await call.while_there(_status(call, document))
    engine = call.gateway.engine("translate", document.model)
    path, headers = where(call)
    body = await call.request.body()

    async def flow() -> AsyncGenerator[Any]:
        async with engine.raw.stream("POST", path, "", body, headers) as got:
            yield got
            async for chunk in got.chunks:
                yield chunk

    pieces = flow()
    got = await call.while_there(anext(pieces))  # pyright: ignore[reportArgumentType]
    response = Stream(pieces, media_type="application/octet-stream")
    response.status_code = got.status
    response.headers.update(dict(got.headers))
    return response


async def _sent(call: Call) -> Sent | None:
    return await asyncio.to_thread(state(call.gateway).sent.get, call.params["document_id"])


async def _status(call: Call, document: Sent) -> Any:
    """The vendor's reply to the question for a document; what it costs is settled by it."""
    engine = call.gateway.engine("translate", document.model)
    path, headers = where(call)
    body = await call.request.body()
    got = await engine.raw.forward("POST", path.removesuffix("/result"), "", body, headers)
    if got.status < 400:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, LedgerError):
            told = msgspec.json.decode(got.body, type=wire_answers.DocumentStatus)
            await _settle(call, document, told)
    return got


async def _settle(call: Call, document: Sent, told: wire_answers.DocumentStatus) -> None:
    own = state(call.gateway)
    async with own.settling:
        now = await asyncio.to_thread(own.sent.get, document.id) or document
        count = 0 if told.status == "error" else told.billed_characters
        if now.settled or told.status not in ("done", "error") or count is None:
            return
        if now.hold:
            spending = call.gateway.spending
            await spending.reconcile(now.hold, "translate", now.model, Units(characters=count))
        await asyncio.to_thread(own.sent.save, msgspec.structs.replace(now, settled=True))


class _Document(forwarding.Whole):
    """A document on its way."""

    def __init__(self, call: Call, found: Form, file: Part, fields: list[tuple[str, str]]) -> None:
        self._call, self._form, self._file, self._fields = call, found, file, fields

    def facts(self) -> Facts:
        """Its languages."""
        fields = dict(self._fields)
        source, target = fields.get("source_lang"), fields.get("target_lang")
        if not target:
            return Facts()
        pair = f"{languages.base(source)}-{languages.base(target)}".lower() if source else ""
        return Facts(languages=(languages.tag(target),), pair=pair)

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its bytes where it is plain text, else as much as the vendor takes in a file."""
        known = {one.encode_name for one in msgspec.structs.fields(wire.DocumentForm)}
        odd = {one.name.removesuffix("[]") for one in self._form.parts} - known - {"file"}
        if odd:
            return Unprovable(
                reason=f"What {min(odd)[:60]!r} costs is not known.", hint="Leave it out."
            )
        names = [self._file.file_name, *(one for name, one in self._fields if name == "filename")]
        kinds = {PurePath(one).suffix.lstrip(".").lower() for one in names if one}
        data = self._form.content(self._file)
        plain = bool(kinds) and kinds <= _PLAIN and not data.startswith(_PACKED)
        kind = max(kinds - _PLAIN, default=max(kinds, default=""))
        return bounds.document_bound(kind, price, len(data) if plain else None)

    async def send(
        self,
        engine: Any,
        model: str,  # noqa: ARG002 - documents have no kinds of model
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it whole. What it costs is not told yet."""
        path, headers = where(self._call)
        got = await engine.raw.forward("POST", path, "", self._form.data, headers)
        return Head(status=got.status, headers=got.headers), got.body, None
