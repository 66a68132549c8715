"""Asks the indexes about all packages at once, and tells which did not answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ogam.models.lock import trouble
from ogam.models.lock.index import File, Index, UnreachableError, of_version
from ogam.models.lock.settings import Settings
from ogam.models.lock.values import Package

# Few enough for a small mirror. 130 packages from PyPI take 4 s by 8, 24 s by 1.
_AT_ONCE = 8


def ask(packages: Sequence[Package], settings: Settings) -> tuple[list[Package], list[str], str]:
    """The packages with hashes and troubles, what did not answer, and why nothing was asked.

    The last is empty unless the first index could not be asked: then there are no hashes.
    """
    first = Index(settings.index, cert=settings.cert) if settings.index else None
    extra = [Index(url, cert=settings.cert) for url in settings.extra]
    linked, silent = _links(settings)
    asked = [one for one in packages if one.source in {"index", "conda"}]

    def find(package: Package) -> trouble.Found:
        listed = _listed(first, package) if first else []
        others = [(index.url, _version(_listed(index, package), package)) for index in extra]
        public = _version(listed, package, package.version.partition("+")[0])
        return trouble.Found(
            first=_version(listed, package),
            extra=[(url, files) for url, files in others if files],
            links=_version(linked, package),
            public=bool(public),
            silent=[one.url for one in extra if one.unreachable],
        )

    found = dict(zip((one.name for one in asked), _all(find, asked), strict=True))
    silent += [one.unreachable for one in extra if one.unreachable]
    unasked = first.unreachable if first else ""
    if unasked:
        return [trouble.judge_unasked(one) for one in packages], silent, unasked
    return (
        [trouble.judge(one, found.get(one.name, trouble.Found())) for one in packages],
        silent,
        "",
    )


def _all(
    find: Callable[[Package], trouble.Found], packages: Sequence[Package]
) -> list[trouble.Found]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(pool.map(find, packages))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _listed(index: Index, package: Package) -> list[File]:
    try:
        return index.files(package.name)
    except UnreachableError:
        return []


def _version(files: Sequence[File], package: Package, version: str = "") -> list[File]:
    return of_version(files, package.name, version or package.version)


def _links(settings: Settings) -> tuple[list[File], list[str]]:
    """The files that --find-links names, and which of its places did not answer."""
    files: list[File] = []
    silent: list[str] = []
    for place in settings.links:
        url = place if "://" in place else Path(os.path.abspath(Path(place).expanduser())).as_uri()
        try:
            files += Index(url, cert=settings.cert).page(url)
        except UnreachableError as error:
            silent.append(str(error))
    return files, silent
