"""The packages that are installed here, and where each of them came from.

The whole environment by default: what a program needs is more than what Ogam needs. ``scope``
cuts it to some requirements and all they need. Asks no index.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

from ogam.errors import InvalidRequestError
from ogam.models.lock import conda
from ogam.models.lock.settings import without_password
from ogam.models.lock.values import Package

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Every environment is born with these, in its own versions; they are locked where something
# that is installed needs them.
TOOLS = frozenset({"pip", "setuptools", "wheel"})


class _Direct(msgspec.Struct):
    """``direct_url.json``, which pip leaves where it was given an address and no name.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """

    url: str
    dir_info: dict[str, bool] | None = None
    vcs_info: dict[str, str] | None = None
    archive_info: dict[str, object] | None = None


def installed(scope: Sequence[str] = ()) -> list[Package]:
    """The distributions that are installed here, by name, without pip; with ``scope`` those alone.

    Raises InvalidRequestError where ``scope`` names something that is not installed.
    """
    found = _distributions()
    wanted = _closure(_parsed(scope), found) if scope else set(found)
    if not scope:
        needed = {name for one in found.values() for name in _needs(one, ())}
        wanted -= {name for name in TOOLS if name not in needed}
    wanted -= {"pip"}
    by_conda = {
        canonical(name): one
        for one in conda.installed(Path(sys.prefix))
        for name in one.distributions
    }
    return [_package(name, found[name], by_conda.get(name)) for name in sorted(wanted)]


def canonical(name: str) -> str:
    """The name as indexes write it: lower case, hyphens."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def normal(version: str) -> str:
    """The version as indexes write it; as it stands where it is none (PEP 440)."""
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _distributions() -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions():
        # A distribution that was half removed has no name; an earlier place on the path wins.
        name = one.metadata["Name"] if one.metadata else None
        if name:
            found.setdefault(canonical(name), one)
    return found


def _parsed(scope: Sequence[str]) -> list[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return [Requirement(one) for one in scope]
    except InvalidRequirement as error:
        raise InvalidRequestError(
            f"{error} is no requirement.", hint="Write NAME or NAME[extra]."
        ) from None


def _closure(roots: Iterable[Requirement], found: dict[str, metadata.Distribution]) -> set[str]:
    """The names of what ``roots`` need and have here, themselves among them."""
    waiting = [(canonical(one.name), frozenset(one.extras)) for one in roots]
    for name, _ in waiting:
        if name not in found:
            raise InvalidRequestError(f"{name!r} is not installed here.")
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name not in found:
            continue
        seen.add((name, extras))
        waiting += _needs(found[name], extras).items()
    return {name for name, _ in seen}


def _needs(one: metadata.Distribution, extras: Iterable[str]) -> dict[str, frozenset[str]]:
    """What a distribution asks for on this machine, each with the extras it asks it with."""
    from packaging.requirements import InvalidRequirement, Requirement

    asked: dict[str, frozenset[str]] = {}
    for line in one.requires or ():
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue  # pip would not have installed it by this either
        applies = wanted.marker is None or any(
            wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if applies:
            name = canonical(wanted.name)
            asked[name] = asked.get(name, frozenset()) | frozenset(wanted.extras)
    return asked


def _package(name: str, one: metadata.Distribution, by_conda: conda.Installed | None) -> Package:
    version = normal(one.version)
    if by_conda is not None:
        # Its direct_url.json, if any, names a folder on the machine that built it for conda.
        return Package(
            name=name,
            version=version,
            source="conda",
            channel=by_conda.channel,
            build=f"{by_conda.name}={by_conda.version}={by_conda.build}",
        )
    text = one.read_text("direct_url.json")
    if text is None:
        place = _unknown_to_pip(one)
        return (
            Package(name=name, version=version)
            if place is None
            else Package(
                name=name,
                version=version,
                source="editable",
                url=place.as_uri(),
                commit=_commit(place),
            )
        )
    try:
        direct = msgspec.json.decode(text, type=_Direct)
    except msgspec.DecodeError:
        return Package(name=name, version=version)
    return _from_address(name, version, direct)


def _from_address(name: str, version: str, direct: _Direct) -> Package:
    url = without_password(direct.url)
    if direct.vcs_info is not None:
        kind = direct.vcs_info.get("vcs", "git")
        commit = direct.vcs_info.get("commit_id", "")
        return Package(name=name, version=version, source="vcs", url=f"{kind}+{url}", commit=commit)
    if direct.dir_info is not None:
        source = "editable" if direct.dir_info.get("editable") else "folder"
        folder = Path(url2pathname(urlsplit(url).path))
        return Package(name=name, version=version, source=source, url=url, commit=_commit(folder))
    hashes = (direct.archive_info or {}).get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None  # pyright: ignore
    file = urlsplit(url).path.rpartition("/")[2]
    return Package(
        name=name,
        version=version,
        source="file" if urlsplit(url).scheme == "file" else "archive",
        url=url,
        files={file: str(sha256)} if sha256 else {},  # pyright: ignore[reportUnknownArgumentType]
    )


def _unknown_to_pip(one: metadata.Distribution) -> Path | None:
    """The folder of a distribution that lies on Python's path, but in no place of pip's."""
    place = Path(str(one.locate_file(""))).resolve()
    if one.read_text("INSTALLER") or place.name in {"site-packages", "dist-packages"}:
        return None
    known = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return None if place in known else place


def _commit(folder: Path) -> str:
    """The commit a folder of sources stands at, with "+changes" where it holds others."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def version_of(name: str) -> str:
    """The version that is installed of ``name``; empty where none is."""
    try:
        return normal(metadata.version(name))
    except metadata.PackageNotFoundError:
        return ""
