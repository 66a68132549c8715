"""Builds an environment from a lock: a fresh ``python -m venv``, pip, and the models.

pip is told exactly which files it may take (``--no-deps --require-hashes``) wherever the lock
knows them. A package whose hash nobody knows comes from a folder the user names, from sources
on this machine, or from the address in the lock; never by its bare name from an index, where a
stranger could have taken that name. Only what the first index had, and told no hash of (or was
not asked for), comes by its version alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

from ogam.errors import ConfigurationError, EngineError, InvalidRequestError, OutputError
from ogam.models.lock import models, pip, wheels
from ogam.models.lock.check import Difference
from ogam.models.lock.files import WHEELS, with_hash
from ogam.models.lock.values import Lock, Package

# In an environment that is not finished: the next restore may clear it away.
_UNFINISHED = ".ogam-unfinished"


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How each package comes: lines for pip with hashes and without, and sources to build."""

    hashed: list[str]
    plain: list[str]
    build: list[tuple[Package, Path]]
    links: list[Path]
    extra: list[str]


def restore(
    lock: Lock,
    path: Path,
    into: Path,
    *,
    links: Sequence[Path] = (),
    models_from: Sequence[Path] = (),
    python: str = "",
    told: Callable[[str], None] = lambda _: None,
) -> list[Difference]:
    """Make the environment ``into`` from the lock in the file ``path``; what differs in the end.

    ``links`` are folders with wheels, ``models_from`` folders with models. ``told`` hears of
    each step. A failure leaves no environment. Raises InvalidRequestError where ``into`` is not
    fresh or the Python is another, ConfigurationError where a package or model cannot be had,
    EngineError where pip fails.
    """
    beside = path.parent
    _check_paths(lock)
    python = python or sys.executable
    _check_python(lock, python)
    plan = _planned(lock, [*links, beside / WHEELS])
    _make_fresh(into, python)
    try:
        inner = into / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        told(f"installing {len(lock.packages)} packages into {into}")
        _install(plan, inner)
        for one in lock.models:
            told(f"{one.name}: {models.bring(one, beside, models_from)}")
        told("comparing it with the lock")
        differences = _checked(inner, path)
        (into / _UNFINISHED).unlink()
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return differences


def _check_paths(lock: Lock) -> None:
    for one in lock.models:
        if models.escapes(one):
            raise ConfigurationError(
                f"The lock wants {one.name} outside of its folder.", hint="Do not trust this lock."
            )


def _check_python(lock: Lock, python: str) -> None:
    program = "import platform as p; print(p.python_version(), p.python_implementation())"
    done = pip.call([python, "-I", "-c", program])
    here = done.stdout.split()
    wanted = lock.python.version.split(".")[:2]
    if done.returncode or len(here) != 2 or here[0].split(".")[:2] != wanted:
        raise InvalidRequestError(
            f"The lock is for Python {lock.python.version}, and {python} is "
            f"{here[0] if here else 'no Python'}.",
            hint=f"Install Python {'.'.join(wanted)} and name it: "
            f"--python python{'.'.join(wanted)}.",
        )


def _planned(lock: Lock, folders: list[Path]) -> _Plan:
    hashed: list[str] = []
    plain: list[str] = []
    build: list[tuple[Package, Path]] = []
    links = [folder for folder in folders if folder.is_dir()]
    lost: list[Package] = []
    for one in lock.packages:
        wheel = wheels.find(one, folders)
        sources = wheels.source_folder(one)
        if wheel is not None and not one.files:
            plain.append(str(wheel))
        elif one.source in {"file", "links"} and wheel is None:
            there = Path(url2pathname(urlsplit(one.url).path))
            if urlsplit(one.url).scheme != "file":
                hashed.append(with_hash(one))
            elif not there.is_file():
                lost.append(one)
            elif one.files:
                links.append(there.parent)
                hashed.append(with_hash(one))
            else:
                plain.append(str(there))
        elif one.files and (wheel is not None or one.source not in {"folder", "editable"}):
            hashed.append(with_hash(one))
        elif sources is not None:
            build.append((one, sources))
        elif one.source in {"vcs", "archive", "index"}:
            plain.append(one.requirement)
        else:
            lost.append(one)
    if lost:
        named = "; ".join(f"{one.name} {one.version} ({one.trouble or one.source})" for one in lost)
        raise ConfigurationError(
            f"{len(lost)} of the packages cannot be had here: {named}.", hint=f"{lost[0].remedy}."
        )
    extra = sorted({one.url for one in lock.packages if one.source == "extra" and "://" in one.url})
    return _Plan(hashed=hashed, plain=plain, build=build, links=links, extra=extra)


def _make_fresh(into: Path, python: str) -> None:
    """Make the environment; in place of one that a restore was killed in."""
    try:
        if (into / _UNFINISHED).is_file():
            shutil.rmtree(into)
        if into.exists() and (not into.is_dir() or any(into.iterdir())):
            raise InvalidRequestError(
                f"{str(into)!r} is there already.", hint="Name a new folder by --into."
            )
        into.mkdir(parents=True, exist_ok=True)
        (into / _UNFINISHED).touch()
    except OSError as error:
        raise OutputError(f"{str(into)!r} cannot be made: {error.strerror}.") from None
    done = pip.call([python, "-I", "-m", "venv", str(into)])
    if done.returncode:
        shutil.rmtree(into, ignore_errors=True)
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise EngineError(
            f"python -m venv failed: {lines[-1] if lines else done.returncode}.",
            hint="On Debian and Ubuntu: apt install python3-venv.",
        )


def _install(plan: _Plan, python: Path) -> None:
    links = [one for folder in plan.links for one in ("--find-links", str(folder.resolve()))]
    with tempfile.TemporaryDirectory(prefix="ogam-restore-") as place:
        folder = Path(place)
        if plan.hashed:
            # A further index is safe to add here: only files of the hashes in the lock are taken.
            extra = [one for url in plan.extra for one in ("--extra-index-url", url)]
            _pip(python, plan.hashed, folder, "--require-hashes", *links, *extra)
        for package, sources in plan.build:
            pip.build_wheel(python, sources, folder)
            wheel = wheels.find(package, [folder])
            if wheel is None:
                raise ConfigurationError(
                    f"{sources} does not build {package.name} {package.version} any more.",
                    hint=f"Check out {package.commit or 'that version'} there.",
                )
            plan.plain.append(str(wheel))
        if plan.plain:
            _pip(python, plan.plain, folder, *links)


def _pip(python: Path, lines: Sequence[str], folder: Path, *options: str) -> None:
    file = folder / "requirements.txt"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pip.run(
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--ignore-installed",
        *options,
        "-r",
        str(file),
        hint="Is the index of the lock the one pip is told of here? See PIP_INDEX_URL.",
    )


def _checked(python: Path, lock: Path) -> list[Difference]:
    """What the new environment itself says of the lock."""
    command = [str(python), "-I", "-m", "ogam", "lock", "--check", str(lock.resolve()), "--json"]
    done = pip.call(command)
    try:
        return [msgspec.convert(json.loads(line), Difference) for line in done.stdout.splitlines()]
    except (ValueError, msgspec.ValidationError):
        raise EngineError(
            f"The new environment does not run Ogam: {done.stderr.strip() or done.stdout[:200]}"
        ) from None
