"""Operations at a vendor: begun by a request that went through, and asked about later.

The client has the vendor's own name for its operation, and reads the vendor's own replies. What
an operation costs is told once it is done, so all that it may cost stays set aside until its client
has asked: over a restart too. Only the key that began one may ask for it.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response

from ogam.capabilities.base import Capability, Units
from ogam.errors import InvalidRequestError, LedgerError
from ogam.gateway.dispatch import Gateway, Target
from ogam.protocols import forwarding
from ogam.protocols.google import passing
from ogam.protocols.google.passing import field, text
from ogam.protocols.google.protojson import seconds
from ogam.protocols.google.storage import folder
from ogam.protocols.sent import Sent, SentWork
from ogam.protocols.serving import Call

_stores: WeakKeyDictionary[Gateway, SentWork] = WeakKeyDictionary()


def store(gateway: Gateway) -> SentWork:
    """What one gateway has sent."""
    if gateway not in _stores:
        _stores[gateway] = SentWork(folder(gateway.config) / "sent")
    return _stores[gateway]


async def begin(
    call: Call, capability: Capability, target: Target, body: forwarding.Passing
) -> Response | None:
    """Begin one at the vendor, where the route leads to one: its reply."""
    left: list[tuple[str, str]] = []

    def unsettled(model: str, hold: str) -> None:
        left.append((model, hold))

    response = await forwarding.through(call, capability, target, body, unsettled=unsettled)
    if response is not None and response.status_code < 300:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            name = text(msgspec.json.decode(bytes(response.body)), "name")
            await remember(call, name, left, response.headers["x-ogam-model"])
    return response


async def remember(asker: Any, name: str, left: list[tuple[str, str]], model: str) -> None:
    """Write down an operation that ``model`` has begun; ``left``: what it has set aside."""
    model, hold = left[0] if left else (model, "")
    sent = Sent(id=name, model=model, hold=hold, settled=not left, owner=_owner(asker))
    await asyncio.to_thread(store(asker.gateway).add, sent)


async def found(asker: Any, name: str) -> Sent | None:
    """The operation of this name that a vendor has for who asks; None where there is none."""
    sent = await asyncio.to_thread(store(asker.gateway).get, name)
    return sent if sent is not None and sent.owner == _owner(asker) else None


async def asked(call: Call, name: str) -> Response | None:
    """The vendor's reply to what is asked about an operation; None where it is none of theirs."""
    sent = await found(call, name)
    if sent is None:
        return None
    path, query, headers = passing.where(call, "")
    body = await call.request.body()
    raw = engine(call.gateway, sent).raw
    got = await call.while_there(raw.forward(call.request.method, path, query, body, headers))
    if call.request.method == "GET" and got.status < 300 and not sent.settled:
        with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            await settle(call.gateway, sent, msgspec.json.decode(got.body))
    return Response(got.body, got.status, dict(got.headers))


async def settle(gateway: Gateway, sent: Sent, operation: Any) -> None:
    """Count what it says it billed, once it is done; what failed was not billed."""
    if field(operation, "done") is not True:
        return
    answer = field(operation, "response")
    billed = text(answer, "totalBilledTime") or text(answer, "totalBilledDuration")
    if answer is not None and not billed:
        return  # nobody knows
    try:
        milliseconds = math.ceil(1000 * seconds(billed, "totalBilledTime")) if billed else 0
        units = Units(audio_ms=milliseconds)
        if sent.hold:
            kind = _capability(gateway, sent)
            await gateway.spending.reconcile(sent.hold, kind, sent.model, units)
    except (InvalidRequestError, LedgerError):
        return  # it is asked again, perhaps
    done = msgspec.structs.replace(sent, settled=True)
    await asyncio.to_thread(store(gateway).save, done)


def _capability(gateway: Gateway, sent: Sent) -> Capability:
    vendor = gateway.vendor(sent.model)
    return "see" if vendor is not None and vendor.protocol == "google_vision" else "transcribe"


def engine(gateway: Gateway, sent: Sent) -> Any:
    """The vendor's engine that carries it out."""
    return gateway.engine(_capability(gateway, sent), sent.model)


def _owner(asker: Any) -> str:
    key = cast("Call", asker).key
    return key.id if key else ""
