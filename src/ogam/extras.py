"""The one place that says how to install what is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ogam.errors import MissingExtraError


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
