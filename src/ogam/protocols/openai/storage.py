"""Files that clients leave, on disk: ``ID.data`` and, written after it, ``ID.json``.

So a file is there whole or not at all. Knows nothing of what they hold.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec

from ogam.config import Config
from ogam.errors import InvalidRequestError, NotFoundError, TooLargeError
from ogam.media import files
from ogam.protocols.openai import wire_files as wire

_ID = re.compile(r"file-[0-9a-f]{24}")
# How much all clients together may leave here.
MOST_FILES, MOST_BYTES = 10_000, 64 * 1024**3
# What the vendor keeps for so long, unless told otherwise; all else it keeps for ever.
BATCH_SECONDS = 30 * 24 * 3600
# A file without its ID.json after so long was being written when the server died.
_LOST_SECONDS = 24 * 3600


class _Known(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Known)


class Kept(msgspec.Struct, kw_only=True, frozen=True):
    """What is on disk. Only the key that left a file may ask for it."""

    owner: str
    file: wire.File


def folder(config: Config) -> Path:
    """Where this protocol keeps what clients leave."""
    return config.server.folder() / "openai"


def new_id() -> str:
    """A name that nobody guesses."""
    return f"file-{secrets.token_hex(12)}"


class Files:
    """All files in ``folder``. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(
        self,
        source: BinaryIO,
        *,
        owner: str,
        filename: str,
        purpose: wire.Purpose,
        seconds: int | None = None,
        identity: str | None = None,
    ) -> wire.File:
        """Keep what ``source`` holds from where it stands. TooLargeError where all is full."""
        self.check_room(1)
        if seconds is None and purpose == "batch":
            seconds = BATCH_SECONDS

        def fill(place: Path) -> None:
            with place.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)

        return self._write(
            identity or new_id(),
            fill,
            owner=owner,
            filename=filename,
            purpose=purpose,
            seconds=seconds,
        )

    def check_room(self, size: int) -> None:
        """TooLargeError where so many bytes more are too many."""
        self._sweep()
        found = [one.file.bytes for one in self._all()]
        if len(found) >= MOST_FILES or sum(found) + size > MOST_BYTES:
            raise TooLargeError(
                "No more files can be kept here.", hint="Delete those you need no more."
            )

    def adopt(
        self, path: Path, identity: str, *, owner: str, filename: str, seconds: int | None
    ) -> None:
        """Keep a copy of ``path`` as the file ``identity``, unless it is there already."""
        if not self._about(identity).exists():
            self._write(
                identity,
                lambda place: copy(path, place),
                owner=owner,
                filename=filename,
                purpose="batch_output",
                seconds=seconds,
            )

    def get(self, identity: str, owner: str) -> wire.File:
        """What is known of a file; NotFoundError unless it is there and this owner's."""
        kept = self._read(self._about(identity)) if _ID.fullmatch(identity) else None
        if kept is None or kept.owner != owner or _expired(kept.file):
            raise NotFoundError(f"No such File object: {identity[:80]}", param="id")
        return kept.file

    def path(self, identity: str, owner: str) -> Path:
        """Where its bytes are."""
        return self._data(self.get(identity, owner).id)

    def list(self, owner: str) -> list[wire.File]:
        """This owner's, the newest first."""
        found = [one.file for one in self._all() if one.owner == owner and not _expired(one.file)]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    def delete(self, identity: str, owner: str) -> None:
        """Forget a file."""
        self._forget(self.get(identity, owner).id)

    def _write(
        self,
        identity: str,
        fill: Callable[[Path], None],
        *,
        owner: str,
        filename: str,
        purpose: wire.Purpose | str,
        seconds: int | None,
    ) -> wire.File:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = self._data(identity)
        with files.replacing(data) as temporary:
            temporary.unlink()
            fill(temporary)
        created = int(time.time())
        file = wire.File(
            id=identity,
            bytes=data.stat().st_size,
            created_at=created,
            filename=filename,
            purpose=purpose,  # pyright: ignore[reportArgumentType]
            expires_at=None if seconds is None else created + seconds,
        )
        files.write(self._about(identity), msgspec.json.encode(Kept(owner=owner, file=file)))
        return file

    def _all(self) -> list[Kept]:
        found = (self._read(place) for place in self._folder.glob("file-*.json"))
        return [one for one in found if one is not None]

    def _sweep(self) -> None:
        for place in self._folder.glob("*.data"):
            with suppress(OSError):
                kept = self._read(place.with_suffix(".json"))
                lost = place.stat().st_mtime < time.time() - _LOST_SECONDS
                if (kept is None and lost) or (kept is not None and _expired(kept.file)):
                    self._forget(place.stem)

    def _forget(self, identity: str) -> None:
        # First what makes it known, so that a crash in between leaves no file without bytes.
        self._about(identity).unlink(missing_ok=True)
        self._data(identity).unlink(missing_ok=True)

    def _about(self, identity: str) -> Path:
        return self._folder / f"{identity}.json"

    def _data(self, identity: str) -> Path:
        return self._folder / f"{identity}.data"

    @staticmethod
    def _read(place: Path) -> Kept | None:
        try:
            return msgspec.json.decode(place.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None


def copy(source: Path, target: Path) -> None:
    """The same bytes under another name: a link where the disk has them. Neither is changed."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def page(found: list[T], after: str | None, limit: int) -> wire.Page[T]:
    """The page of ``found`` that follows the one whose id is ``after``."""
    start = 0
    if after is not None:
        start = next((at for at, one in enumerate(found, 1) if one.id == after), 0)
        if not start:
            raise InvalidRequestError(f"There is no {after[:80]!r} to go on from.", param="after")
    data = found[start : start + limit]
    return wire.Page(
        data=data,
        has_more=start + limit < len(found),
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def _expired(file: wire.File) -> bool:
    return file.expires_at is not None and file.expires_at <= time.time()
