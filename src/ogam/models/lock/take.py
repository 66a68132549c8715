"""Takes the lock of the running environment."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ogam.capabilities.base import ModelRef
from ogam.models.lock import asking, models, packages, settings, trouble
from ogam.models.lock.values import Lock, Package, Platform, Python


def take(
    refs: Iterable[ModelRef],
    folder: Path,
    *,
    scope: Sequence[str] = (),
    seeds: Mapping[str, int] | None = None,
    offline: bool = False,
) -> tuple[Lock, list[str]]:
    """The lock of this environment and of ``refs``, and what did not answer (a line each).

    ``scope`` cuts it to those requirements, Ogam, and all they need. ``offline`` asks no index:
    the lock then has no hashes of packages.
    """
    found = packages.installed(_with_ogam(scope))
    pip = settings.load()
    silent: list[str] = []
    unasked = "no index was asked (--offline)" if offline else ""
    if offline:
        found = [trouble.judge_unasked(one) for one in found]
    else:
        found, silent, unasked = asking.ask(found, pip)
    lock = Lock(
        ogam=_ogam(found),
        python=here_python(),
        platform=here_platform(),
        packages=tuple(found),
        models=tuple(models.lock(refs, folder)),
        seeds=_seeds(seeds or {}),
        scope=tuple(scope),
        index=settings.without_password(pip.index),
        indexes=tuple(settings.without_password(one) for one in pip.extra),
        unasked=unasked,
    )
    return lock, silent


def here_python() -> Python:
    """The interpreter that runs this."""
    return Python(
        version=platform.python_version(), implementation=platform.python_implementation()
    )


def here_platform() -> Platform:
    """The machine that runs this."""
    return Platform(
        system=platform.system(), machine=platform.machine(), release=platform.platform()
    )


def _with_ogam(scope: Sequence[str]) -> tuple[str, ...]:
    """A lock without Ogam could not be checked where it is restored."""
    return (*scope, "ogam") if scope else ()


def in_scope(scope: Sequence[str]) -> list[Package]:
    """What is installed here of a lock's scope; all, where it has none or cannot be told."""
    return packages.installed(_with_ogam(scope))


def _ogam(found: Sequence[Package]) -> str:
    return next((one.version for one in found if one.name == "ogam"), "")


def _seeds(named: Mapping[str, int]) -> dict[str, int]:
    """The seeds that were named, and Python's own where the environment fixes it."""
    fixed = os.environ.get("PYTHONHASHSEED", "")
    return {**({"PYTHONHASHSEED": int(fixed)} if fixed.isdecimal() else {}), **named}
