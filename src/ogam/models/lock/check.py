"""Compares a machine with a lock: each difference, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ogam.errors import InvalidRequestError
from ogam.models.lock import models, packages, take
from ogam.models.lock.files import REQUIREMENTS
from ogam.models.lock.values import Lock

_AGAIN = "Restore it anew: ogam lock --restore"


Kind = Literal["python", "platform", "package", "model"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: what the lock says and what is here, in a word each."""

    kind: Kind
    name: str
    locked: str
    here: str
    remedy: str


def check(lock: Lock, beside: Path) -> list[Difference]:
    """All differences between the lock, whose file lies in the folder ``beside``, and this machine.

    The Python and the packages compared are those that run this.
    """
    return [*_machine(lock), *_packages(lock), *_models(lock, beside)]


def _machine(lock: Lock) -> list[Difference]:
    python, machine = take.here_python(), take.here_platform()
    short = ".".join(lock.python.version.split(".")[:2])
    rows: list[tuple[Kind, str, str, str, str]] = [
        (
            "python",
            "version",
            lock.python.version,
            python.version,
            f"Restore with that Python: --python python{short}",
        ),
        (
            "python",
            "implementation",
            lock.python.implementation,
            python.implementation,
            f"Restore with {lock.python.implementation}: --python PROGRAM",
        ),
        (
            "platform",
            "system",
            lock.platform.system,
            machine.system,
            "Write a lock on this system too",
        ),
        (
            "platform",
            "machine",
            lock.platform.machine,
            machine.machine,
            "Write a lock on such a machine too",
        ),
    ]
    return [
        Difference(kind=kind, name=name, locked=locked, here=here, remedy=remedy)
        for kind, name, locked, here, remedy in rows
        if locked != here
    ]


def _packages(lock: Lock) -> list[Difference]:
    wanted = {one.name: one.version for one in lock.packages}
    here = {one.name: one.version for one in packages.installed()}
    try:
        counted = {one.name for one in take.in_scope(lock.scope)}
    except InvalidRequestError:  # what the lock was cut to is missing, and told below
        counted = set(wanted)
    extra = {name for name in here if name in counted and name not in wanted} - packages.TOOLS
    found: list[Difference] = []
    for name in sorted({*wanted, *extra}):
        locked, version = wanted.get(name, ""), here.get(name) or packages.version_of(name)
        if locked == version:
            continue
        if not locked:
            remedy = f"Run: pip uninstall {name}, or lock again"
        elif next(one for one in lock.packages if one.name == name).trouble:
            remedy = next(one for one in lock.packages if one.name == name).remedy
        else:
            remedy = f"Run: pip install --no-deps -r {REQUIREMENTS}"
        found.append(
            Difference(
                kind="package",
                name=name,
                locked=locked or "not in the lock",
                here=version or "not installed",
                remedy=remedy,
            )
        )
    return found


def _models(lock: Lock, beside: Path) -> list[Difference]:
    found: list[Difference] = []
    for one in lock.models:
        folder = models.folder_of(one, beside)
        if folder is None:
            found.append(
                Difference(
                    kind="model", name=one.name, locked="here", here="missing", remedy=_AGAIN
                )
            )
            continue
        for name in models.wrong_files(one, folder):
            there = (folder / name).exists()
            found.append(
                Difference(
                    kind="model",
                    name=f"{one.name}: {name}",
                    locked=f"sha256 {one.files[name][:12]}",
                    here="another content" if there else "missing",
                    remedy=f"Move {folder} away, then: ogam lock --restore"
                    if one.path
                    else "Reinstall the package it came with",
                )
            )
    return found
