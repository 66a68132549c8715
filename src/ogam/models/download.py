"""Fetches one file: goes on where it was interrupted, and keeps it only if its hash is right.

``huggingface_hub`` begins a file again after an interruption (2.4 deletes the part it has),
which of a 10 GB model nobody wants; so this asks for the rest by an HTTP Range. Each byte is
on the disk as soon as it has come, whatever kills the process. The address names a commit, so
the bytes behind it never change, and the hash proves it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ogam.capabilities.base import checkpoint
from ogam.errors import DownloadError
from ogam.extras import needs
from ogam.models.hub import RemoteFile, hub_errors

# Attempts one after the other that brought not one byte; waits of 0.25 to 4 s between them.
ATTEMPTS = 6
_WAIT = 0.25
_READ_BYTES = 1 << 20


def fetch(file: RemoteFile, folder: Path, progress: Callable[[int], None]) -> Path:
    """Bring ``file`` into ``folder`` under its hash as name, and return that path.

    ``progress`` is told of each number of bytes more, those of an earlier pull included. Raises
    DownloadError, ConfigurationError and NotFoundError as the hub does, OSError where the disk
    refuses.
    """
    whole = folder / file.digest
    if whole.is_file():
        progress(file.size)
        return whole
    part = folder / f"{file.digest}.part"
    resumed = part.is_file()
    transfer = _Transfer(file, part, progress)
    digest = transfer.run()
    if digest != file.digest and resumed:
        # What an earlier pull left may be damaged (a crash of the machine): once more, afresh.
        transfer.begin_again()
        digest = transfer.run()
    if digest != file.digest:
        part.unlink()
        raise DownloadError(
            f"{file.name} is not what the hub published: its hash is {digest[:12]}…, "
            f"not {file.digest[:12]}….",
            hint="It was deleted. Pull again; if it stays so, tell the repository's owner.",
        )
    os.replace(part, whole)
    return whole


class _BrokenError(Exception):
    """The connection ended before the file did; what came is kept."""


class _Transfer:
    """A part of a file on disk, and the hash of what it holds."""

    def __init__(self, file: RemoteFile, part: Path, progress: Callable[[int], None]) -> None:
        self._file = file
        self._part = part
        self._progress = progress
        self._hash = self._new_hash()
        self._have = 0
        if part.is_file():
            if part.stat().st_size > file.size:
                part.unlink()
            else:
                self._read_part()

    def run(self) -> str:
        """Bring what is missing, over as many connections as it takes; return the hash in hex."""
        fruitless = 0
        while True:
            before = self._have
            try:
                if self._have < self._file.size or not self._part.exists():
                    self._connect()
                return self._hash.hexdigest()
            except _BrokenError as error:
                fruitless = 0 if self._have > before else fruitless + 1
                if fruitless >= ATTEMPTS:
                    raise DownloadError(
                        f"{self._file.name}: the connection broke {ATTEMPTS} times at "
                        f"{self._have / 1e6:.1f} of {self._file.size / 1e6:.1f} MB ({error}).",
                        hint="Pull again: it goes on from there.",
                    ) from None
            self._wait(fruitless)

    def begin_again(self) -> None:
        """Forget what there is."""
        self._part.unlink(missing_ok=True)
        self._progress(-self._have)
        self._have = 0
        self._hash = self._new_hash()

    def _connect(self) -> None:
        with needs("local"):
            import httpx2
            from huggingface_hub import constants, get_session
            from huggingface_hub.utils import build_hf_headers  # pyright: ignore[reportUnknownVariableType]

        headers: dict[str, str] = build_hf_headers(library_name="ogam")
        # A compressed answer could not be gone on with.
        headers["Accept-Encoding"] = "identity"
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
        timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        request = get_session().stream("GET", self._file.url, headers=headers, timeout=timeout)
        with hub_errors(self._file.repository):
            try:
                with request as response:
                    self._take(response)
            except httpx2.TransportError as error:
                raise _BrokenError(str(error) or type(error).__name__) from None
        if self._have < self._file.size:
            raise _BrokenError("the server sent too little")

    def _take(self, response: Any) -> None:
        from huggingface_hub.utils import hf_raise_for_status

        status: int = response.status_code
        if status in (408, 429) or status >= 500:
            raise _BrokenError(f"the server answered {status}")
        if status == 416:
            self.begin_again()
            raise _BrokenError("the server refused to go on")
        hf_raise_for_status(response)
        if self._have and status != 206:
            self.begin_again()
        elif self._have and not response.headers.get("Content-Range", "").startswith(
            f"bytes {self._have}-"
        ):
            raise _BrokenError("the server sent another part")
        # Unbuffered: what is told to the hash is on the disk.
        with self._part.open("ab", buffering=0) as out:
            for chunk in response.iter_raw():
                checkpoint()
                # No more than was announced, however much is sent.
                data = chunk[: self._file.size + 1 - self._have]
                self._keep(out, data)
                if self._have > self._file.size:
                    break
            os.fsync(out.fileno())

    def _keep(self, out: Any, data: bytes) -> None:
        left = memoryview(data)
        while left:
            # Near the end of a full disk only a part is written, and the next write fails.
            written: int = out.write(left)
            self._hash.update(left[:written])
            self._have += written
            self._progress(written)
            left = left[written:]

    def _read_part(self) -> None:
        with self._part.open("rb") as file:
            while data := file.read(_READ_BYTES):
                checkpoint()
                self._hash.update(data)
                self._have += len(data)
        self._progress(self._have)

    def _new_hash(self) -> Any:
        if not self._file.git:
            return hashlib.sha256()
        # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        return hashlib.sha1(b"blob %d\0" % self._file.size, usedforsecurity=False)

    def _wait(self, fruitless: int) -> None:
        until = time.monotonic() + (_WAIT * 2 ** (fruitless - 1) if fruitless else 0)
        while time.monotonic() < until:
            checkpoint()
            time.sleep(0.05)
