"""Where pip on this machine is told to look: its configuration files and ``PIP_*``.

Passwords in addresses are used to ask an index, and never written down.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import msgspec

DEFAULT_INDEX = "https://pypi.org/simple"
_LINE = re.compile(r"(?:global|install|:env:)\.([\w-]+)=(.*)")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``index`` is empty where pip is told to use none (``no-index``). ``cert``: a CA bundle."""

    index: str = DEFAULT_INDEX
    extra: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    cert: str = ""


def load() -> Settings:
    """Ask pip, which knows where its configuration lies; without pip, read ``PIP_*`` alone."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return parse(done.stdout)
    named = {name[4:].lower(): one for name, one in os.environ.items() if name[:4] == "PIP_"}
    return parse("".join(f":env:.{name}={one!r}\n" for name, one in named.items()))


def parse(listed: str) -> Settings:
    """What ``pip config list`` prints, as pip itself weighs it: variables over ``install`` over
    ``global``.
    """
    values: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            match = _LINE.fullmatch(line) if line.startswith(section) else None
            if match is not None:
                values[match[1].replace("_", "-")] = _text(match[2])
    off = values.get("no-index", "").lower() in {"1", "true", "yes", "on", "y", "t"}
    index = values.get("index-url") or DEFAULT_INDEX
    return Settings(
        index="" if off else index.rstrip("/"),
        extra=()
        if off
        else tuple(one.rstrip("/") for one in values.get("extra-index-url", "").split()),
        links=tuple(values.get("find-links", "").split()),
        cert=values.get("cert", ""),
    )


def without_password(url: str) -> str:
    """The address without the name and password in it.

    >>> without_password("https://me:secret@example.org/simple")
    'https://example.org/simple'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    # git@host is how SSH is told whom to be, and no secret.
    if "@" not in parts.netloc or parts.netloc.startswith("git@"):
        return url
    return urlunsplit(parts._replace(netloc=host))


def _text(shown: str) -> str:
    try:
        value = ast.literal_eval(shown)
    except (ValueError, SyntaxError):
        return shown
    return value if isinstance(value, str) else shown
