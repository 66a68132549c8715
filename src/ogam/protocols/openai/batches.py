"""Batches: many requests of one file, answered in the background, however often the server dies.

Knows files and lines, and no resource: it is given a function that answers one request. A
batch's folder holds ``about.json``, its input, and a log of outputs and one of errors, to which
each finished line is added at once. The logs alone tell what is done, so a line that was being
answered when the server was killed is answered again, and none is in them twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

from ogam.errors import InvalidRequestError, NotFoundError, OverloadedError, TooLargeError
from ogam.extras import needs
from ogam.media import files
from ogam.protocols.openai import batch_input, storage
from ogam.protocols.openai import wire_batches as wire

_log = logging.getLogger("ogam.server")
_ID = re.compile(r"batch_[0-9a-f]{24}")
# The vendor's bound on an input file; how many batches work at a time, wait, and are kept.
MAX_BYTES = 200 * 1024 * 1024
_AT_ONCE, _WAITING, _KEPT = 8, 1000, 10_000
_LOGS = ("output.jsonl", "errors.jsonl")
_OVER = ("completed", "failed", "cancelled", "expired")
_HOURS = {"h": 1, "d": 24}
_MOST_HOURS = 30 * 24

# (owner, endpoint, body, request id) -> status and body; never raises but when cancelled.
Answer = Callable[[str, str, bytes, str], Awaitable[tuple[int, bytes]]]


class Kept(msgspec.Struct, kw_only=True):
    """What is on disk. ``ends`` is what the batch becomes once its files are there."""

    owner: str
    batch: wire.Batch
    output_seconds: int | None = None
    ends: Literal["completed", "cancelled", "expired"] | None = None
    output_id: str | None = None
    error_id: str | None = None


class _Working(NamedTuple):
    kept: Kept
    task: asyncio.Task[None]


class Logs(NamedTuple):
    """Where a batch's finished lines go."""

    outputs: BinaryIO
    errors: BinaryIO


class Batches:
    """The batches of one server, in ``folder``. ``turns`` lines are answered at a time."""

    def __init__(self, folder: Path, kept_files: storage.Files, answer: Answer, turns: int) -> None:
        self._folder, self._files, self._answer = folder, kept_files, answer
        self._turns = asyncio.Semaphore(turns)
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._working: dict[str, _Working] = {}
        self._lines: dict[str, asyncio.Task[None]] = {}
        self._saving = threading.Lock()

    async def resume(self) -> None:
        """Go on with what was not over when the server stopped."""
        for kept in await asyncio.to_thread(self._all):
            if kept.batch.status not in _OVER and kept.batch.id not in self._working:
                self._begin(kept)

    async def close(self) -> None:
        """Stop all work; it goes on when the next server starts."""
        tasks = [one.task for one in self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, body: wire.BatchBody, owner: str) -> wire.Batch:
        """Begin a batch."""
        with needs("local"):  # told now rather than in the background
            import filelock  # noqa: F401  # pyright: ignore[reportUnusedImport]
        if len(self._working) >= _WAITING:
            raise OverloadedError("Too many batches are waiting.", retry_after=60)
        hours = int(body.completion_window[:-1]) * _HOURS[body.completion_window[-1]]
        if hours > _MOST_HOURS:
            raise InvalidRequestError(
                "completion_window is over 30 days.", param="completion_window"
            )
        now = int(time.time())
        batch = wire.Batch(
            id=f"batch_{secrets.token_hex(12)}",
            endpoint=body.endpoint,
            input_file_id=body.input_file_id,
            completion_window=body.completion_window,
            status="validating",
            created_at=now,
            expires_at=now + hours * 3600,
            metadata=body.metadata,
        )
        expires = body.output_expires_after
        kept = Kept(owner=owner, batch=batch, output_seconds=expires.seconds if expires else None)
        await asyncio.to_thread(self._take, kept)
        self._begin(kept)
        return batch

    def get(self, identity: str, owner: str) -> wire.Batch:
        """A batch as it stands; NotFoundError unless it is there and this owner's."""
        return self._get(identity, owner).batch

    def list(self, owner: str) -> list[wire.Batch]:
        """This owner's, the newest first."""
        found = [self._current(one).batch for one in self._all() if one.owner == owner]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    async def cancel(self, identity: str, owner: str) -> wire.Batch:
        """Stop a batch; what is done of it is kept. One that is over stays as it is."""
        kept = await asyncio.to_thread(self._get, identity, owner)
        batch = kept.batch
        if batch.status in ("validating", "in_progress"):
            if identity not in self._working:
                raise InvalidRequestError("Another server works on this batch.", param="id")
            batch.status, batch.cancelling_at = "cancelling", int(time.time())
            await asyncio.to_thread(self._save, kept)
            if identity in self._lines:
                self._lines[identity].cancel()
        return batch

    def _begin(self, kept: Kept) -> None:
        identity = kept.batch.id
        task = asyncio.create_task(self._guarded(kept))
        self._working[identity] = _Working(kept, task)
        task.add_done_callback(lambda _: self._working.pop(identity, None))

    async def _guarded(self, kept: Kept) -> None:
        from filelock import FileLock, Timeout

        place = self._folder / kept.batch.id
        try:
            async with self._at_once:
                # Two servers may share a folder: the first to hold the lock does the work.
                with FileLock(place / "lock", timeout=0):
                    await self._work(kept, place)
        except Timeout:
            return
        except Exception as error:
            _log.exception("batch %s failed", kept.batch.id)
            self._fail(kept, [wire.LineError(code="server_error", message=str(error)[:200])])

    async def _work(self, kept: Kept, place: Path) -> None:
        batch = kept.batch
        if batch.status == "validating":
            total, wrong = await asyncio.to_thread(
                batch_input.validate, place / "input.jsonl", batch.endpoint
            )
            # Cancelling may have come in between.
            if batch.status == "validating" and wrong:
                self._fail(kept, wrong)
                return
            batch.request_counts.total = total
            if batch.status == "validating":
                batch.status, batch.in_progress_at = "in_progress", int(time.time())
                self._save(kept)
        if kept.ends is None:
            with ExitStack() as stack:
                logs = Logs(*(stack.enter_context((place / name).open("ab")) for name in _LOGS))
                done = await asyncio.to_thread(self._recall, kept, place)
                late = False
                if batch.status == "in_progress":
                    late = await self._until_late(kept, self._answers(kept, place, logs, done))
                if late:
                    await asyncio.to_thread(self._too_late, kept, place, logs, done)
            cancelled = batch.status == "cancelling"
            kept.ends = "cancelled" if cancelled else "expired" if late else "completed"
            if not cancelled:
                batch.status, batch.finalizing_at = "finalizing", int(time.time())
            kept.output_id, kept.error_id = (
                storage.new_id() if (place / name).stat().st_size else None for name in _LOGS
            )
            self._save(kept)
        await asyncio.to_thread(self._finish, kept, place)

    async def _until_late(self, kept: Kept, work: Coroutine[Any, Any, None]) -> bool:
        """Do ``work`` until it is done, cancelled, or too late: then true."""
        lines = asyncio.ensure_future(work)
        self._lines[kept.batch.id] = lines
        try:
            left = max(0.0, kept.batch.expires_at - time.time())
            await asyncio.wait({lines}, timeout=left)
            late = not lines.done()
        finally:
            self._lines.pop(kept.batch.id, None)
            lines.cancel()
            with suppress(asyncio.CancelledError):
                await lines
        return late

    async def _answers(self, kept: Kept, place: Path, logs: Logs, done: set[str]) -> None:
        """Answer every line that is not done."""
        async with asyncio.TaskGroup() as group:
            with (place / "input.jsonl").open("rb") as source:
                for line in batch_input.lines(source):
                    if line.custom_id not in done:
                        await self._turns.acquire()
                        task = group.create_task(self._line(kept, logs, done, line))
                        # Also for one that is cancelled before it begins.
                        task.add_done_callback(lambda _: self._turns.release())

    async def _line(self, kept: Kept, logs: Logs, done: set[str], line: wire.Line) -> None:
        request = f"req_{secrets.token_hex(12)}"
        status, body = await self._answer(
            kept.owner, kept.batch.endpoint, bytes(line.body), request
        )
        answered = wire.LineReply(status_code=status, request_id=request, body=msgspec.Raw(body))
        _write(kept, logs, done, _result(line, response=answered))

    def _too_late(self, kept: Kept, place: Path, logs: Logs, done: set[str]) -> None:
        why = wire.Failure(
            code="batch_expired",
            message="This request could not be executed before the completion window expired.",
        )
        with (place / "input.jsonl").open("rb") as source:
            for line in batch_input.lines(source):
                if line.custom_id not in done:
                    _write(kept, logs, done, _result(line, error=why))

    def _recall(self, kept: Kept, place: Path) -> set[str]:
        """The ids of the lines that are done, from the logs; the counts follow from them."""
        batch = kept.batch
        batch.request_counts = wire.Counts(total=batch.request_counts.total)
        batch.usage = wire.Usage()
        done: set[str] = set()
        for name in _LOGS:
            for result in batch_input.whole_lines(place / name):
                batch_input.count(batch, result)
                done.add(result.custom_id)
        return done

    def _finish(self, kept: Kept, place: Path) -> None:
        batch = kept.batch
        for identity, name in zip((kept.output_id, kept.error_id), _LOGS, strict=True):
            if identity is not None:
                self._files.adopt(
                    place / name,
                    identity,
                    owner=kept.owner,
                    filename=f"{batch.id}_{name}",
                    seconds=kept.output_seconds,
                )
        assert kept.ends is not None
        batch.output_file_id, batch.error_file_id = kept.output_id, kept.error_id
        setattr(batch, f"{kept.ends}_at", int(time.time()))
        batch.status = kept.ends
        self._save(kept)
        self._clear(place)

    def _fail(self, kept: Kept, wrong: list[wire.LineError]) -> None:
        batch = kept.batch
        batch.status, batch.failed_at = "failed", int(time.time())
        batch.errors = wire.Errors(data=wrong)
        self._save(kept)
        self._clear(self._folder / batch.id)

    def _take(self, kept: Kept) -> None:
        """Put a new batch on disk. Its input is its own from now on."""
        batch = kept.batch
        try:
            file = self._files.get(batch.input_file_id, kept.owner)
            source = self._files.path(batch.input_file_id, kept.owner)
        except NotFoundError as error:
            raise InvalidRequestError(
                error.message, hint="Upload one first.", param="input_file_id"
            ) from None
        if file.purpose != "batch":
            raise InvalidRequestError(
                f"The file's purpose is {file.purpose!r}.",
                hint='Upload it with purpose="batch".',
                param="input_file_id",
            )
        if file.bytes > MAX_BYTES:
            raise TooLargeError(
                f"The file has {file.bytes:,} bytes; the limit is {MAX_BYTES:,}.",
                param="input_file_id",
            )
        over = [one for one in self._all() if one.batch.status in _OVER]
        over.sort(key=lambda one: one.batch.created_at, reverse=True)
        for old in over[_KEPT:]:
            shutil.rmtree(self._folder / old.batch.id, ignore_errors=True)
        place = self._folder / batch.id
        place.mkdir(parents=True, mode=0o700)
        storage.copy(source, place / "input.jsonl")
        self._save(kept)

    def _clear(self, place: Path) -> None:
        for name in ("input.jsonl", *_LOGS):
            (place / name).unlink(missing_ok=True)

    def _save(self, kept: Kept) -> None:
        with self._saving:  # so that the last to write writes what is true last
            files.write(self._folder / kept.batch.id / "about.json", msgspec.json.encode(kept))

    def _get(self, identity: str, owner: str) -> Kept:
        kept = self._read(self._folder / identity) if _ID.fullmatch(identity) else None
        if kept is None or kept.owner != owner:
            raise NotFoundError(f"No batch found with id {identity[:80]!r}.", param="id")
        return self._current(kept)

    def _current(self, kept: Kept) -> Kept:
        working = self._working.get(kept.batch.id)
        return working.kept if working else kept

    def _all(self) -> list[Kept]:
        found = (self._read(place) for place in self._folder.glob("batch_*"))
        return [one for one in found if one is not None]

    @staticmethod
    def _read(place: Path) -> Kept | None:
        try:
            return msgspec.json.decode((place / "about.json").read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None


def _result(
    line: wire.Line,
    *,
    response: wire.LineReply | None = None,
    error: wire.Failure | None = None,
) -> wire.LineResult:
    identity = f"batch_req_{secrets.token_hex(12)}"
    return wire.LineResult(id=identity, custom_id=line.custom_id, response=response, error=error)


def _write(kept: Kept, logs: Logs, done: set[str], result: wire.LineResult) -> None:
    """Add a finished line to its log. In one write, so that at most the last line is torn."""
    log = logs.outputs if batch_input.succeeded(result) else logs.errors
    log.write(msgspec.json.encode(result) + b"\n")
    log.flush()
    done.add(result.custom_id)
    batch_input.count(kept.batch, result)
