"""Files that clients leave in parts: a folder for each upload, ``about.json`` and its parts.

A completed upload is a file like any other: its id is settled when the upload begins, so a server
that dies while it is put together makes the same file again.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import shutil
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import msgspec

from ogam.errors import InvalidRequestError, NotFoundError, OutputError, TooLargeError
from ogam.media import files
from ogam.protocols.openai import storage
from ogam.protocols.openai import wire_uploads as wire

_ID = re.compile(r"upload_[0-9a-f]{24}")
_PART = re.compile(r"part_[0-9a-f]{24}")
# How long the vendor waits for the parts, how long it is known what became of an upload, and how
# many of all clients together are known at a time.
SECONDS, _KNOWN_SECONDS, MOST = 3600, 24 * 3600, 1000
# A part that came through is sent again where its client did not hear so.
_MOST_TIMES, _MOST_PARTS = 2, 10_000


class Kept(msgspec.Struct, kw_only=True):
    """What is on disk."""

    owner: str
    upload: wire.Upload
    file_id: str
    file_seconds: int | None = None


class Uploads:
    """All uploads in ``folder``, which become files in ``kept_files``. Every method blocks."""

    # Of all objects of a server: one is made for each request.
    _busy: ClassVar[set[str]] = set()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, kept_files: storage.Files) -> None:
        self._folder, self._files = folder, kept_files

    def create(self, body: wire.UploadBody, owner: str) -> wire.Upload:
        """Begin an upload. TooLargeError where there is no room for it."""
        self._sweep()
        known = self._all()
        pending = [one.upload.bytes for one in known if one.upload.status == "pending"]
        if len(known) >= MOST:
            raise TooLargeError("Too many uploads were begun.", hint="Try again in an hour.")
        self._files.check_room(sum(pending) + body.bytes)
        now = int(time.time())
        upload = wire.Upload(
            id=f"upload_{secrets.token_hex(12)}",
            bytes=body.bytes,
            created_at=now,
            expires_at=now + SECONDS,
            filename=body.filename,
            purpose=body.purpose,
        )
        expires = body.expires_after
        kept = Kept(
            owner=owner,
            upload=upload,
            file_id=storage.new_id(),
            file_seconds=expires.seconds if expires else None,
        )
        try:
            (self._folder / upload.id).mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise OutputError(f"The upload cannot be written: {error.strerror or error}.") from None
        self._save(kept)
        return upload

    def add(self, identity: str, owner: str, source: BinaryIO) -> wire.UploadPart:
        """Keep a part. TooLargeError where it, or all of them, are over what was announced."""
        upload = self._pending(identity, owner).upload
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        if size > min(wire.MAX_PART_BYTES, upload.bytes):
            raise TooLargeError(
                f"The part has {size:,} bytes; an upload of {upload.bytes:,} takes parts of "
                f"{min(wire.MAX_PART_BYTES, upload.bytes):,} at most.",
                param="data",
            )
        place = self._folder / identity
        sizes = files.sizes(place.glob("part_*"))
        if sum(sizes) + size > _MOST_TIMES * upload.bytes or len(sizes) >= _MOST_PARTS:
            raise TooLargeError(
                f"The parts have {sum(sizes) + size:,} bytes; {upload.bytes:,} were announced.",
                hint="Begin another upload.",
                param="data",
            )
        part = f"part_{secrets.token_hex(12)}"
        with files.replacing(place / part) as temporary, temporary.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        return wire.UploadPart(id=part, created_at=int(time.time()), upload_id=identity)

    def complete(self, identity: str, owner: str, body: wire.CompleteBody) -> wire.Upload:
        """Put the parts together, in the order given, as a file."""
        with self._alone(identity):
            kept = self._pending(identity, owner)
            upload = kept.upload
            parts = self._parts(identity, body.part_ids)
            size = sum(one.stat().st_size for one in parts)
            if size != upload.bytes:
                raise InvalidRequestError(
                    f"The parts have {size:,} bytes; {upload.bytes:,} were announced.",
                    hint="Name every part once, in order.",
                    param="part_ids",
                )
            try:
                upload.file = self._files.get(kept.file_id, owner)
            except NotFoundError:
                with _Joined(parts, body.md5) as source:
                    upload.file = self._files.create(
                        cast(BinaryIO, source),
                        owner=owner,
                        filename=upload.filename,
                        purpose=upload.purpose,
                        seconds=kept.file_seconds,
                        identity=kept.file_id,
                    )
            upload.status = "completed"
            self._end(kept)
            return upload

    def cancel(self, identity: str, owner: str) -> wire.Upload:
        """Give an upload up, and its parts."""
        with self._alone(identity):
            kept = self._pending(identity, owner)
            kept.upload.status = "cancelled"
            self._end(kept)
            return kept.upload

    @contextmanager
    def _alone(self, identity: str) -> Generator[None]:
        with self._lock:
            if identity in self._busy:
                raise InvalidRequestError("The upload is being completed.", param="upload_id")
            self._busy.add(identity)
        try:
            yield
        finally:
            self._busy.discard(identity)

    def _pending(self, identity: str, owner: str) -> Kept:
        kept = self._read(self._folder / identity) if _ID.fullmatch(identity) else None
        if kept is None or kept.owner != owner:
            raise NotFoundError(f"No such Upload object: {identity[:80]}", param="upload_id")
        status = "expired" if _expired(kept) else kept.upload.status
        if status != "pending":
            raise InvalidRequestError(
                f"The upload is {status}.", hint="Begin another.", param="upload_id"
            )
        return kept

    def _parts(self, identity: str, names: Sequence[str]) -> list[Path]:
        found: list[Path] = []
        for name in names:
            place = self._folder / identity / name
            if not _PART.fullmatch(name) or not place.is_file():
                raise InvalidRequestError(
                    f"The upload has no part {name[:80]!r}.", param="part_ids"
                )
            found.append(place)
        return found

    def _end(self, kept: Kept) -> None:
        # First what says so, so that a crash in between leaves no upload without its parts.
        self._save(kept)
        self._clear(self._folder / kept.upload.id)

    def _sweep(self) -> None:
        now = time.time()
        for place in self._folder.glob("upload_*"):
            kept = self._read(place)
            with suppress(OSError):
                known = kept.upload.expires_at if kept else place.stat().st_mtime
                if known + _KNOWN_SECONDS < now:
                    shutil.rmtree(place)
                elif kept is not None and _expired(kept):
                    self._clear(place)

    def _all(self) -> list[Kept]:
        """Those that still take up room."""
        found = (self._read(place) for place in self._folder.glob("upload_*"))
        return [one for one in found if one is not None and not _expired(one)]

    def _save(self, kept: Kept) -> None:
        files.write(self._folder / kept.upload.id / "about.json", msgspec.json.encode(kept))

    @staticmethod
    def _clear(place: Path) -> None:
        for one in (*place.glob("part_*"), *place.glob(".part_*")):
            one.unlink(missing_ok=True)

    @staticmethod
    def _read(place: Path) -> Kept | None:
        try:
            return msgspec.json.decode((place / "about.json").read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None


class _Joined(io.RawIOBase):
    """Files read one after the other. At their end the sum is checked, so that a file that is
    written from here is kept only where it is right.
    """

    def __init__(self, places: Sequence[Path], md5: str | None) -> None:
        self._places = iter(places)
        self._now: Any = io.BytesIO()
        self._sum = None if md5 is None else hashlib.md5(usedforsecurity=False)
        self._wanted = (md5 or "").lower()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; InvalidRequestError at the end of what has another sum."""
        while not (data := self._now.read(size)):
            self._now.close()
            place = next(self._places, None)
            if place is None:
                if self._sum is not None and self._sum.hexdigest() != self._wanted:
                    raise InvalidRequestError(
                        f"The parts' MD5 is {self._sum.hexdigest()}.",
                        hint="Name the parts in order, or send them again.",
                        param="md5",
                    )
                self._now = io.BytesIO()
                return b""
            self._now = place.open("rb")
        if self._sum is not None:
            self._sum.update(data)
        return data

    def close(self) -> None:
        """Close the file that is being read."""
        self._now.close()
        super().close()


def _expired(kept: Kept) -> bool:
    return kept.upload.status == "pending" and kept.upload.expires_at <= time.time()
