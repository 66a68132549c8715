"""What conda installed into an environment, from the records it keeps in ``conda-meta``.

conda itself is not run: the records are the same for conda, mamba, micromamba and pixi, and
reading them takes milliseconds.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One conda package. ``distributions`` are the names of the Python packages in it."""

    name: str
    version: str
    build: str
    channel: str
    distributions: tuple[str, ...] = ()


class _Record(msgspec.Struct):
    name: str
    version: str
    build: str = ""
    build_string: str = ""
    channel: str = ""
    files: list[str] = []


_METADATA = re.compile(r"site-packages/([^/]+?)-[^/-]+\.(?:dist-info|egg-info)(?:/|$)")


def installed(prefix: Path) -> list[Installed]:
    """What conda put into the environment at ``prefix``, by name; empty where conda made none."""
    found: list[Installed] = []
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except (OSError, msgspec.DecodeError):
            continue  # a record that conda itself could not read either
        named = {match[1] for file in record.files if (match := _METADATA.search(file))}
        found.append(
            Installed(
                name=record.name,
                version=record.version,
                build=record.build or record.build_string,
                channel=channel_name(record.channel),
                distributions=tuple(sorted(named)),
            )
        )
    return found


def channel_name(channel: str) -> str:
    """A channel as ``environment.yml`` names it: public ones by name, others by address.

    >>> channel_name("https://conda.anaconda.org/conda-forge/linux-64")
    'conda-forge'
    """
    bare = re.sub(r"/(?:noarch|(?:linux|osx|win)-[\w-]+)/?$", "", channel)
    parts = urlsplit(bare)
    if not parts.netloc:
        return bare
    host = parts.netloc.rpartition("@")[2]
    path = re.sub(r"^/t/[^/]+", "", parts.path).strip("/")  # /t/TOKEN is a password
    if host == "conda.anaconda.org":
        return path
    if host == "repo.anaconda.com" and path.startswith("pkgs/"):
        return path
    return f"{parts.scheme}://{host}/{path}"
