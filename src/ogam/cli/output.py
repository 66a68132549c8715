"""Where answers go: standard output or a file; and where messages go: standard error.

Tables are for eyes on a terminal and tab-separated values, without a heading, in a pipe.
rich is loaded only where something is drawn on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ogam.capabilities.base import Result
from ogam.capabilities.embedding import EmbedResult
from ogam.errors import OutputError
from ogam.media import Audio, Image, files


def use_utf8() -> None:
    """Write UTF-8 wherever it goes: a pipe's reader must not depend on this machine's locale."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not stream.isatty():
            reconfigure(encoding="utf-8", errors="backslashreplace")


def write(data: str | bytes, path: str | None = None) -> None:
    """Write to ``path``, or to standard output (None or "-"). A text ends with a line end.

    Raises OutputError where the place refuses it, BrokenPipeError where the reader is gone.
    """
    if isinstance(data, str):
        ended = data if data.endswith("\n") or not data else data + "\n"
        # A file name may hold bytes that are no UTF-8; they are shown, not fatal.
        data = ended.encode(errors="backslashreplace")
    if path not in (None, "-"):
        files.write(path, data)
        return
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise OutputError("Standard output is closed.", hint="Use -o FILE.")
    try:
        sys.stdout.flush()
        left = memoryview(data)
        while left:
            # Under PYTHONUNBUFFERED there is no buffer, and a pipe takes only a part at a time.
            left = left[sys.stdout.buffer.write(left) :]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon()
        raise OutputError(f"Standard output cannot be written: {error.strerror}.") from None


def write_json(value: Any, path: str | None = None, **first: Any) -> None:
    """Write a value as one line of JSON; ``first`` are fields put before a result's own."""
    shown = {
        # A file name may hold bytes that are no UTF-8.
        name: one.encode(errors="backslashreplace").decode() if isinstance(one, str) else one
        for name, one in first.items()
    }
    write(msgspec.json.encode({**shown, **plain(value)}) + b"\n", path)


def plain(result: Any) -> dict[str, Any]:
    """A value as dicts, lists and numbers, under its fields' names.

    Vectors become lists of numbers; sound and pictures {"media_type", "bytes"}, where bytes
    is how many there are.
    """
    built: dict[str, Any] = msgspec.to_builtins(result, enc_hook=_described)
    if isinstance(result, EmbedResult):
        built["vectors"] = result.vectors.tolist()
    if isinstance(result, Result):
        built["units"] = {
            name: built["units"].get(name, 0) for name in result.units.__struct_fields__
        }
    return built


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], path: str | None = None
) -> None:
    """Write a table to ``path``, or to standard output (None or "-")."""
    if path in (None, "-") and on_terminal(sys.stdout):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(str(cell)) for cell in row))
        Console().print(drawn)
        return
    write(
        "".join("\t".join(" ".join(str(cell).split()) for cell in row) + "\n" for row in rows), path
    )


def markdown(text: str) -> None:
    """Write Markdown to standard output: drawn on a terminal, as it is in a pipe."""
    if not on_terminal(sys.stdout):
        write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def on_terminal(stream: Any) -> bool:
    """Whether someone looks at ``stream``."""
    return stream is not None and stream.isatty()


def error(message: str, prefix: str = "ogam: error") -> None:
    """Write one line to standard error, whatever ``message`` holds."""
    note(f"{prefix}: {message}")


def note(message: str) -> None:
    """Write one line to standard error."""
    with suppress(OSError, AttributeError, ValueError):
        sys.stderr.write(" ".join(message.split()) + "\n")
        sys.stderr.flush()


def abandon() -> None:
    """Throw away what standard output still holds, so that Python's end does not fail on it."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _described(value: Any) -> Any:
    if isinstance(value, (Audio, Image)):
        return {"media_type": value.media_type, "bytes": len(value.data)}
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
