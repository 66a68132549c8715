"""What other distributions bring: how to install what is missing, and what entry points add."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ogam.errors import MissingExtraError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def install_line(extra: str) -> str:
    """The exact command that installs an extra."""
    return f"pip install 'ogam[{extra}]'"


@contextmanager
def needs(extra: str) -> Generator[None]:
    """Turn an ImportError inside the block into a MissingExtraError with the install line.

    Used around imports, so that type checkers still see them::

        with needs("local"):
            import av
    """
    try:
        yield
    except ImportError as error:
        name = (error.name or str(error)).split(".")[0]
        raise MissingExtraError(
            f"The package {name!r} is not installed.", hint=f"Run: {install_line(extra)}"
        ) from error


def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
    """The entry points of a group, or the one of that name."""
    # 15 ms to import, which only a name that is not built in has to pay.
    from importlib.metadata import entry_points as found

    return list(found(group=group) if name is None else found(group=group, name=name))
