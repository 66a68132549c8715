"""``gs://bucket/object`` as files of a local folder, which stands in for Cloud Storage.

Nothing is asked of Google. What an asynchronous call writes there is found there, and a file
that is put there may be named in a request. Knows no protocol.
"""

from __future__ import annotations

import re
from pathlib import Path

from ogam.config import Config
from ogam.errors import InvalidRequestError, NotFoundError, OverloadedError
from ogam.media import files

# https://cloud.google.com/storage/docs/buckets#naming, and of objects what every disk takes.
_URI = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/([^\x00-\x1f\\:*?\"<>|]{0,900})")
# Objects in all; a client must not fill the disk's table of files.
_MOST = 100_000


def folder(config: Config) -> Path:
    """Where Google's protocols keep what clients leave."""
    return config.server.folder() / "google"


class Storage:
    """One folder; each bucket is a folder in it."""

    def __init__(self, config: Config) -> None:
        self.folder = folder(config) / "storage"

    def read(self, uri: str, most: int) -> bytes:
        """The bytes of an object; NotFoundError where there is none, or more than ``most``."""
        file = self._file(uri)
        try:
            if file.stat().st_size > most:
                raise InvalidRequestError(f"{uri} has more than {most:,} bytes.")
            return file.read_bytes()
        except OSError:
            raise NotFoundError(
                f"Error opening file: {uri}.",
                hint=f"gs:// is the folder {self.folder} here.",
            ) from None

    def write(self, uri: str, data: bytes) -> None:
        """Write an object, whole or not at all."""
        file = self._file(uri)
        if sum(1 for _ in self.folder.rglob("*")) >= _MOST:
            raise OverloadedError(f"{self.folder} holds {_MOST:,} objects.", hint="Delete some.")
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, data)

    def check(self, uri: str) -> None:
        """InvalidRequestError where ``uri`` is no name of an object or of a folder of them."""
        self._file(f"{uri}x" if uri.endswith("/") else uri)

    def _file(self, uri: str) -> Path:
        found = _URI.fullmatch(uri)
        parts = found[2].split("/") if found else [""]
        if found is None or any(part.strip(". ") == "" for part in parts):
            raise InvalidRequestError(
                f"Invalid GCS path specified: {uri[:200]}.", hint="Write gs://bucket/object."
            )
        file = self.folder.joinpath(found[1], *parts)
        # A link inside the folder may not lead out of it.
        if not file.resolve().is_relative_to(self.folder.resolve()):
            raise InvalidRequestError(f"Invalid GCS path specified: {uri[:200]}.")
        return file
