"""Long-running operations: work that goes on after the reply, and what became of it.

One store for all of Google's protocols, as ``google.longrunning.Operations`` is one service.
Each operation is a JSON file, so finished ones outlive a restart; one that was cut off by it
says so. Knows no protocol: what an operation answers is a dictionary with an ``@type``.

https://cloud.google.com/vision/docs/reference/rest/v1/operations
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.errors import EngineError, NotFoundError, OgamError, OverloadedError
from ogam.gateway.dispatch import Gateway
from ogam.media import files
from ogam.protocols.google import errors, passing_work
from ogam.protocols.google.storage import folder
from ogam.protocols.google.wire import Operation
from ogam.protocols.serving import Call, Route, reply

_NAME = re.compile(r"(?:[\w.:@-]+/)*([0-9a-f]{32})")
# How many are kept, how long, and how many work at one time.
_KEPT, _AGE, _AT_ONCE = 1000, 7 * 24 * 3600.0, 64
_PAGE = "https://cloud.google.com/vision/docs/reference/rest/v1/operations"


class Listed(msgspec.Struct, kw_only=True, rename="camel"):
    """The newest operations, all on one page."""

    operations: list[Operation]


class _Kept(msgspec.Struct, kw_only=True):
    """What is on disk. Only the key that began an operation may ask for it."""

    owner: str
    operation: Operation


# Gets the operation, whose metadata it may change, and gives what it answers.
Work = Callable[[Operation], Awaitable[dict[str, Any]]]


class Operations:
    """The operations of one gateway."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._working: dict[str, tuple[_Kept, asyncio.Task[None]]] = {}

    async def start(
        self, prefix: str, owner: str, metadata: dict[str, Any], work: Work
    ) -> Operation:
        """Begin ``work``; the name is ``prefix`` (``projects/p/operations/``) and an id."""
        if len(self._working) >= _AT_ONCE:
            raise OverloadedError("Too many operations are at work.", retry_after=30.0)
        identity = secrets.token_hex(16)
        operation = Operation(name=f"{prefix}{identity}", metadata=metadata)
        kept = _Kept(owner=owner, operation=operation)
        await asyncio.to_thread(self._keep, identity, kept, prune=True)
        task = asyncio.create_task(self._run(identity, kept, work))
        self._working[identity] = (kept, task)
        return operation

    async def _run(self, identity: str, kept: _Kept, work: Work) -> None:
        operation = kept.operation
        try:
            operation.response = await work(operation)
        except OgamError as error:
            operation.error = errors.status(error)
        except asyncio.CancelledError:
            operation.error = {"code": errors.CODES["CANCELLED"], "message": "Cancelled."}
        except Exception as error:
            said = EngineError(f"Something failed here: {type(error).__name__}.")
            operation.error = errors.status(said)
        operation.done = True
        try:
            self._keep(identity, kept)
        finally:
            self._working.pop(identity, None)

    def get(self, name: str, owner: str) -> Operation:
        """The operation as it stands. NotFoundError where there is none of this owner's."""
        identity = _identity(name)
        working = self._working.get(identity)
        kept = working[0] if working else self._read(self._file(identity))
        if kept is None or kept.owner != owner or kept.operation.name != name:
            raise NotFoundError(f"Operation not found: {name[:200]}.")
        if not working and not kept.operation.done:
            kept.operation.done = True
            said = "The server was stopped before this was done; send it again."
            kept.operation.error = {"code": errors.CODES["ABORTED"], "message": said}
        return kept.operation

    def list(self, parent: str, owner: str) -> list[Operation]:
        """This owner's operations under ``parent`` (``projects/p``), the newest first."""
        parent = parent.removesuffix("operations").rstrip("/")
        found: list[Operation] = []
        for file in self._files():
            with suppress(NotFoundError):
                kept = self._read(file)
                if kept and kept.operation.name.rpartition("/operations/")[0] == parent:
                    found.append(self.get(kept.operation.name, owner))
        return found

    def cancel(self, name: str, owner: str) -> None:
        """Stop one that is at work; one that is done stays as it is."""
        self.get(name, owner)
        working = self._working.get(_identity(name))
        if working:
            working[1].cancel()

    def delete(self, name: str, owner: str) -> None:
        """Forget one. Its work, if any, is stopped too."""
        self.cancel(name, owner)
        self._file(_identity(name)).unlink(missing_ok=True)

    async def wait(self, name: str, owner: str, seconds: float | None) -> Operation:
        """The operation once it is done, or as it stands after ``seconds``."""
        operation = self.get(name, owner)
        working = self._working.get(_identity(name))
        if working:
            await asyncio.wait({working[1]}, timeout=seconds)
        return operation

    def _file(self, identity: str) -> Path:
        return self._folder / f"{identity}.json"

    def _files(self) -> list[Path]:
        found: list[tuple[float, Path]] = []
        for file in self._folder.glob("[0-9a-f]*.json"):
            with suppress(OSError):  # another request may delete it meanwhile
                found.append((file.stat().st_mtime, file))
        return [file for _, file in sorted(found, reverse=True)]

    def _keep(self, identity: str, kept: _Kept, *, prune: bool = False) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(self._file(identity), msgspec.json.encode(kept))
        if prune:
            oldest = time.time() - _AGE
            for place, file in enumerate(self._files()):
                with suppress(OSError):
                    if file.stem not in self._working and (
                        place >= _KEPT or file.stat().st_mtime < oldest
                    ):
                        file.unlink()

    @staticmethod
    def _read(file: Path) -> _Kept | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None


_stores: weakref.WeakKeyDictionary[Gateway, Operations] = weakref.WeakKeyDictionary()


def store(gateway: Gateway) -> Operations:
    """The one store of a gateway."""
    if gateway not in _stores:
        _stores[gateway] = Operations(folder(gateway.config) / "operations")
    return _stores[gateway]


def _identity(name: str) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        raise NotFoundError(f"Operation not found: {name[:200]}.")
    return found[1]


def _asked(call: Call) -> tuple[Operations, str, str]:
    """The store, the operation's name and who asks."""
    name = call.request.url.path.partition("/operations")[0].split("/", 2)[2:]
    # Speech's first version names an operation by its id alone, and so it stands nowhere.
    where = [*name, "operations"] if any(name) else []
    parts = [*where, call.params["id"]] if "id" in call.params else name
    return store(call.gateway), "/".join(part for part in parts if part), _owner(call)


def _owner(call: Call) -> str:
    return call.key.id if call.key else ""


async def _get(call: Call) -> Response:
    operations, name, owner = _asked(call)
    if (passed := await passing_work.asked(call, name)) is not None:
        return passed
    return reply(await asyncio.to_thread(operations.get, name, owner))


async def _list(call: Call) -> Response:
    operations, parent, owner = _asked(call)
    return reply(Listed(operations=await asyncio.to_thread(operations.list, parent, owner)))


async def _cancel(call: Call) -> Response:
    operations, name, owner = _asked(call)
    if (passed := await passing_work.asked(call, name)) is not None:
        return passed
    operations.cancel(name, owner)
    return reply({})


async def _delete(call: Call) -> Response:
    operations, name, owner = _asked(call)
    if (passed := await passing_work.asked(call, name)) is not None:
        return passed
    operations.delete(name, owner)
    return reply({})


def routes(*bases: str) -> tuple[Route, ...]:
    """The operations' routes under each base, such as ``/v1/projects/{project}``."""
    found: list[Route] = []
    for base in bases:
        one = f"{base}/operations/{{id}}"
        found += (
            Route(
                method="GET",
                path=one,
                handler=_get,
                summary="Tell how far an operation is.",
                page=f"{_PAGE}/get",
                reply=Operation,
            ),
            Route(
                method="GET",
                path=f"{base}/operations",
                handler=_list,
                summary="List the operations.",
                page=f"{_PAGE}/list",
                reply=Listed,
            ),
            Route(
                method="POST",
                path=f"{one}:cancel",
                handler=_cancel,
                summary="Stop an operation.",
                page=f"{_PAGE}/cancel",
            ),
            Route(
                method="DELETE",
                path=one,
                handler=_delete,
                summary="Forget an operation.",
                page=f"{_PAGE}/delete",
            ),
        )
    return tuple(found)
