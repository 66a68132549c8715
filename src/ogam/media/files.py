"""Writing results: whole or not at all.

A file is written beside its place and renamed into it, so that Ctrl-C, a full disk or a
crash leaves either the old file or none.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from ogam.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s place.

    Raises OutputError, in one line, where the place refuses it.
    """
    import shutil

    target = Path(path)
    try:
        if target.is_dir():
            raise OutputError(f"{str(target)!r} is a folder.", hint="Name a file in it.")
        if target.exists() and not target.is_file():
            yield target  # a device or a pipe, such as /dev/stdout, cannot be renamed onto
            return
        # Not mkstemp, whose files only the owner may read: a result is an ordinary file.
        temporary = target.with_name(f".{target.name[:40]}.{os.urandom(6).hex()}{target.suffix}")
        temporary.touch(exist_ok=False)
        try:
            if target.exists():
                shutil.copymode(target, temporary)
            yield temporary
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise OutputError(
            f"{str(target)!r} cannot be written: {error.strerror or error}.",
            hint=_hint(error, target),
        ) from None


def ending(path: str | os.PathLike[str]) -> str:
    """The path's ending with its dot, lower-case; empty where there is none."""
    return Path(path).suffix.lower()


def told(ending: str) -> str:
    """An ending as a message names it."""
    return repr(ending) if ending else "a file without an ending"


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sizes(paths: Iterable[Path]) -> list[int]:
    """How many bytes those have that are still there: another request may delete one meanwhile."""
    found: list[int] = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(path.stat().st_size)
    return found


def _hint(error: OSError, target: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"Make the folder first: mkdir -p {target.parent}"
    if isinstance(error, PermissionError):
        return "Choose a folder you may write to."
    return "Choose another place, or free some space."
