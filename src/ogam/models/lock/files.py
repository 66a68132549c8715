"""The three files of a lock: requirements.txt for pip, environment.yml for conda, ogam.lock.

Texts are pure functions of the lock. What somebody else wrote is not overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ogam.errors import OutputError
from ogam.media import files
from ogam.models.lock import conda
from ogam.models.lock.values import LOCAL, LOCK, Lock, Package, encode

REQUIREMENTS = "requirements.txt"
ENVIRONMENT = "environment.yml"
WHEELS = "wheels"
_MARK = "# Written by ogam lock"


def write(lock: Lock, folder: Path, by_conda: Sequence[conda.Installed]) -> None:
    """Write the three files into ``folder``, each whole or not at all, the lock last."""
    files.write(folder / REQUIREMENTS, requirements(lock).encode())
    files.write(folder / ENVIRONMENT, environment(lock, by_conda, folder).encode())
    files.write(folder / LOCK, encode(lock))


def check_ours(folder: Path) -> None:
    """Raise OutputError where one of the files is in ``folder`` that no lock has written."""
    for name in (REQUIREMENTS, ENVIRONMENT):
        _check_ours(folder / name)


def _check_ours(path: Path) -> None:
    try:
        with path.open("rb") as file:
            ours = file.read(len(_MARK)) == _MARK.encode()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    if not ours:
        raise OutputError(
            f"{str(path)!r} is there, and no ogam lock wrote it.",
            hint="Name another folder, or overwrite it with --force.",
        )


def installable(package: Package) -> bool:
    """Whether pip gets it on another machine by what requirements.txt can say."""
    if package.source in LOCAL:
        return bool(package.files) and package.source in {"folder", "editable"}  # built beside it
    if package.source == "links" or (package.source == "conda" and not package.files):
        return False
    return package.source != "extra" or urlsplit(package.url).scheme in {"http", "https"}


def hashed(lock: Lock) -> bool:
    """Whether requirements.txt has hashes: pip takes them for all of a file or for none."""
    return not unhashed(lock)


def unhashed(lock: Lock) -> list[str]:
    """The packages that pip could install elsewhere, and whose hash the index does not tell.

    What comes from a version-control address is none of them: nothing could hash it.
    """
    return [
        one.name
        for one in lock.packages
        if installable(one) and not one.files and one.source != "vcs"
    ]


def requirements(lock: Lock) -> str:
    """requirements.txt: every package by its exact version, what cannot be had as a comment."""
    with_hashes = hashed(lock)
    lines = [
        f"{_MARK} {lock.ogam}, for {lock.python.implementation} {lock.python.version} on "
        f"{lock.platform.system} {lock.platform.machine}.",
        "# pip install --no-deps -r requirements.txt",
    ]
    if not with_hashes:
        lines.append(f"# Without hashes: {lock.unasked or 'no index tells those of all packages'}.")
    extra = {one.url for one in lock.packages if one.source == "extra" and installable(one)}
    lines += [f"--extra-index-url {url}" for url in sorted(extra)]
    if any(one.source in LOCAL and installable(one) for one in lock.packages):
        lines.append(f"--find-links {WHEELS}")
    for one in lock.packages:
        if one.trouble:
            lines.append(f"# {one.name}: {one.trouble}. {one.remedy}.")
        if not installable(one) or (with_hashes and one.source == "vcs"):
            lines.append(f"# {one.requirement}")
        elif with_hashes:
            lines.append(with_hash(one))
        else:
            lines.append(one.requirement)
    return "\n".join(lines) + "\n"


def with_hash(package: Package) -> str:
    """A requirement with the sha256 of each of its files, as pip reads it."""
    return " \\\n    ".join(
        [package.requirement, *(f"--hash=sha256:{one}" for one in package.hashes)]
    )


def environment(lock: Lock, by_conda: Sequence[conda.Installed], folder: Path) -> str:
    """environment.yml: what conda installed, in its builds; the rest by requirements.txt."""
    channels = [one.channel for one in by_conda if one.channel]
    ordered = sorted(set(channels), key=lambda one: (-channels.count(one), one))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.") or "ogam"
    packages = [f"{one.name}={one.version}={one.build}" for one in by_conda] or [
        f"python={lock.python.version}",
        "pip",
    ]
    lines = [
        # pip must not ask for what requirements.txt leaves out.
        f"{_MARK} {lock.ogam}. PIP_NO_DEPS=1 conda env create -f environment.yml",
        f"name: {name}",
        "channels:",
        *(f"  - {one}" for one in ordered or ["conda-forge"]),
        *(["  - nodefaults"] if "defaults" not in ordered else []),
        "dependencies:",
        *(f"  - {one}" for one in packages),
        "  - pip:",
        f"      - -r {REQUIREMENTS}",
    ]
    return "\n".join(lines) + "\n"
