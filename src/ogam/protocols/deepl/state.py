"""What DeepL's clients leave on this server, and how a body is read."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import msgspec

from ogam.errors import InvalidRequestError, TooLargeError
from ogam.gateway.dispatch import Gateway
from ogam.protocols.deepl import wire
from ogam.protocols.deepl.glossaries import Glossaries
from ogam.protocols.deepl.uploads import Uploads
from ogam.protocols.sent import SentWork
from ogam.protocols.serving import Call, decode

T = TypeVar("T", bound=msgspec.Struct)
# DeepL's own bound on a request that is no document.
_MOST_BYTES = 128 * 1024
# Documents that are translated at a time; the others wait.
_AT_ONCE = 2


class State:
    """One server's: folders under its data folder, and the work in progress."""

    def __init__(self, folder: Path) -> None:
        self.glossaries = Glossaries(folder / "glossaries")
        self.uploads = Uploads(folder / "documents")
        self.sent = SentWork(folder / "sent")
        self.settling = asyncio.Lock()
        self.running: dict[str, asyncio.Task[None]] = {}
        self.turns = asyncio.Semaphore(_AT_ONCE)


_states: WeakKeyDictionary[Gateway, State] = WeakKeyDictionary()
_lock = threading.Lock()


def state(gateway: Gateway) -> State:
    """The state of this gateway's server."""
    with _lock:
        found = _states.get(gateway)
        if found is None:
            found = _states[gateway] = State(gateway.config.server.folder() / "deepl")
        return found


async def read(call: Call, kind: type[T], *, most: int = _MOST_BYTES) -> T:
    """The body as ``kind``, from JSON or a form."""
    data = await call.request.body()
    if len(data) > most:
        raise TooLargeError(
            f"The request has {len(data):,} bytes; the limit is {most:,}.",
            hint="Send fewer texts at a time, or a document.",
        )
    if not form(call):
        return decode(data, kind)
    try:
        return wire.from_fields(wire.fields(data), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidRequestError(f"The form is wrong: {error}.") from None


def form(call: Call) -> bool:
    """Whether the body is URL-encoded."""
    kind = call.request.headers.get("content-type", "")
    return kind.startswith("application/x-www-form-urlencoded")
