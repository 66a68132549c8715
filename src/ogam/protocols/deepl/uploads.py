"""Documents that clients left: a folder each, deleted after download or a day.

Only a hash of a document's key is kept. What was waiting when the server stopped is taken up
again when it is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from ogam.errors import NotFoundError, OverloadedError
from ogam.media import files

_MOST = 200
_MOST_BYTES = 4 * 1024**3
_SECONDS = 24 * 3600
_ID = re.compile(r"[0-9A-F]{32}")


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a document. ``tries`` counts how often its translation was begun."""

    id: str
    key_hash: str
    name: str
    ending: str
    created: float
    target: str
    source: str | None = None
    formality: str = "default"
    glossary_ids: tuple[str, ...] = ()
    status: Literal["queued", "done", "error"] = "queued"
    tries: int = 0
    characters: int = 0
    error: str = ""


class Uploads:
    """All documents in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, data: bytes, about: Upload) -> tuple[Upload, str]:
        """Keep a document; give it with its new id, and its key. OverloadedError when full."""
        self._sweep()
        kept = files.sizes(self._folder.glob("*/input"))
        if len(kept) >= _MOST or sum(kept) + len(data) > _MOST_BYTES:
            raise OverloadedError(
                "Too many documents are waiting.",
                hint="Download those that are done.",
                retry_after=10,
            )
        key = secrets.token_hex(32).upper()
        made = msgspec.structs.replace(
            about, id=secrets.token_hex(16).upper(), key_hash=_hash(key), created=time.time()
        )
        place = self._folder / made.id
        place.mkdir(parents=True, mode=0o700)
        files.write(place / "input", data)
        self.save(made)
        return made, key

    def get(self, identity: str, key: str) -> Upload:
        """A document by id and key; NotFoundError unless both are right."""
        if _ID.fullmatch(identity):
            about = self._read(self._folder / identity)
            if about is not None and hmac.compare_digest(about.key_hash, _hash(key)):
                return about
        raise _unknown()

    def save(self, about: Upload) -> None:
        """Write down what is known now. Nothing happens to a document that was deleted."""
        place = self._folder / about.id
        if place.is_dir():
            files.write(place / "about.json", msgspec.json.encode(about))

    def input(self, about: Upload) -> bytes:
        """The document as it came."""
        return (self._folder / about.id / "input").read_bytes()

    def finish(self, about: Upload, data: bytes) -> None:
        """Keep the translated document; ``about`` says that it is done."""
        files.write(self._folder / about.id / "result", data)
        self.save(about)

    def result(self, about: Upload) -> bytes:
        """The translated document; NotFoundError where another request has just fetched it."""
        try:
            return (self._folder / about.id / "result").read_bytes()
        except FileNotFoundError:
            raise _unknown() from None

    def delete(self, about: Upload) -> None:
        """Forget a document."""
        shutil.rmtree(self._folder / about.id, ignore_errors=True)

    def _sweep(self) -> None:
        for place in self._folder.glob("*"):
            about = self._read(place)
            with suppress(FileNotFoundError):  # fetched meanwhile
                age = time.time() - (about.created if about else place.stat().st_mtime)
                if _ID.fullmatch(place.name) and age > _SECONDS:
                    shutil.rmtree(place, ignore_errors=True)

    def _read(self, place: Path) -> Upload | None:
        try:
            return msgspec.json.decode((place / "about.json").read_bytes(), type=Upload)
        except (OSError, msgspec.MsgspecError):
            return None


def _unknown() -> NotFoundError:
    return NotFoundError("Document not found.", hint="A document is deleted once downloaded.")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
