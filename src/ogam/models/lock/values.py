"""What a lock holds, and ``ogam.lock``: the same as indented JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ogam.errors import ConfigurationError, InvalidRequestError

LOCK = "ogam.lock"
FORMAT = 1

# index      the index pip asks first, or one nobody asked (without a network)
# extra      a further index, and not the first
# links      a folder or page of --find-links, and no index
# conda      a conda channel
# folder     built here from a folder of sources
# editable   a folder of sources, used where it lies
# file       a wheel or archive on this disk
# vcs        a version-control address
# archive    an archive's address
# nowhere    every index was asked, and none has this version
From = Literal[
    "index", "extra", "links", "conda", "folder", "editable", "file", "vcs", "archive", "nowhere"
]
# What pip cannot fetch by name and version.
LOCAL: frozenset[From] = frozenset({"folder", "editable", "file", "nowhere"})


# A lock may come from a stranger, and these go into pip's files line by line.
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$")]
Address = Annotated[str, msgspec.Meta(pattern=r"^[^\s'\"]*$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen value; in the file, fields that hold their default are left out."""


class Python(Value, frozen=True, kw_only=True):
    """The interpreter: ``3.11.9``, ``CPython``."""

    version: str
    implementation: str


class Platform(Value, frozen=True, kw_only=True):
    """The machine: ``Linux``, ``x86_64``, and in one line what Python says of it."""

    system: str
    machine: str
    release: str = ""


class Package(Value, frozen=True, kw_only=True):
    """One installed distribution.

    ``files`` maps each file of this version on the indexes, for whatever platform, to its
    sha256 in hex, so that another platform's wheel verifies as well. ``url`` is where it came
    from, where that is not the first index, without any password. ``trouble`` says why it
    could not be installed elsewhere, or not everywhere, and ``remedy`` what to do about it.
    """

    name: Name
    version: Version
    source: From = "index"
    url: Address = ""
    commit: Address = ""
    channel: str = ""
    build: str = ""
    trouble: str = ""
    remedy: str = ""
    files: dict[str, Sha256] = {}

    @property
    def requirement(self) -> str:
        """As a requirements file names it."""
        if self.source == "vcs":
            return f"{self.name} @ {self.url}" + (f"@{self.commit}" if self.commit else "")
        if self.source == "archive":
            return f"{self.name} @ {self.url}"
        return f"{self.name}=={self.version}"

    @property
    def hashes(self) -> list[str]:
        """The sha256 of its files, sorted, each once."""
        return sorted(set(self.files.values()))


class Model(Value, frozen=True, kw_only=True):
    """One model: every file's sha256, and where the files come from.

    ``name`` is what asks for it. ``source``, ``revision`` and ``options`` are what it was pulled
    from and with. Of a model that is a folder, and not one of a collection, ``path`` is its
    place beside the lock. ``origin`` is where it lay when it was locked. ``seed`` is that of
    the training run that made it, where there was one.
    """

    name: str
    engine: str
    files: dict[str, Sha256]
    source: str = ""
    revision: str = ""
    options: dict[str, Any] = {}
    licence: str = ""
    path: str = ""
    origin: str = ""
    seed: int | None = None


class Lock(Value, frozen=True, kw_only=True):
    """All of it. ``scope`` names the requirements it was cut to; empty: all that is installed.

    ``indexes`` are the further indexes that pip was told of. ``unasked`` says why no index was
    asked, where that is so: then packages have no hashes.
    """

    ogam: str
    python: Python
    platform: Platform
    packages: tuple[Package, ...]
    models: tuple[Model, ...] = ()
    seeds: dict[str, int] = {}
    scope: tuple[str, ...] = ()
    index: str = ""
    indexes: tuple[Address, ...] = ()
    unasked: str = ""
    format: int = FORMAT


def encode(lock: Lock) -> bytes:
    """The lock as its file has it."""
    told = {"format": lock.format, **msgspec.to_builtins(lock)}
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def read(path: Path) -> Lock:
    """Read ``ogam.lock``, or the one in a folder; ConfigurationError where it is damaged."""
    place = path / LOCK if path.is_dir() else path
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        raise InvalidRequestError(
            f"There is no lock {str(place)!r}.", hint="Write one: ogam lock."
        ) from None
    except OSError as error:
        raise InvalidRequestError(f"{str(place)!r} cannot be read: {error.strerror}.") from None
    try:
        told = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        written = msgspec.json.decode(told.get("format", b"0"), type=int)
        if written > FORMAT:
            raise ConfigurationError(
                f"{str(place)!r} was written by a newer Ogam (format {written}).",
                hint="Run: pip install --upgrade ogam",
            )
        return msgspec.json.decode(data, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{str(place)!r} is no lock, or a damaged one: {error}.",
            hint="Write it anew: ogam lock.",
        ) from None
