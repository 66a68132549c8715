"""Wheels of what no index has: found in folders, or built from the sources they lie in."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from msgspec.structs import replace

from ogam.errors import ConfigurationError, OutputError
from ogam.media import files
from ogam.models import store
from ogam.models.lock import index, pip
from ogam.models.lock.files import WHEELS
from ogam.models.lock.values import Lock, Package


def source_folder(package: Package) -> Path | None:
    """The sources a local build was made from, if they lie on this machine."""
    if package.source not in {"folder", "editable"}:
        return None
    folder = Path(url2pathname(urlsplit(package.url).path))
    buildable = any((folder / name).is_file() for name in ("pyproject.toml", "setup.py"))
    return folder if buildable else None


def find(package: Package, folders: Iterable[Path]) -> Path | None:
    """Its wheel or archive in one of ``folders``, of a hash in the lock if that has any."""
    for folder in folders:
        if not folder.is_dir():
            continue
        listed = [
            index.File(name=path.name, url=path.resolve().as_uri())
            for path in sorted(folder.iterdir(), reverse=True)  # .whl before .tar.gz
        ]
        for one in index.of_version(listed, package.name, package.version):
            if not package.files or one.sha256 in package.files.values():
                return Path(url2pathname(urlsplit(one.url).path))
    return None


def build(lock: Lock, folder: Path) -> Lock:
    """Build a wheel of each local build into ``folder/wheels``, and lock it by its hash.

    Raises EngineError, with pip's own words, where one does not build.
    """
    packages = [
        _built(one, sources, folder / WHEELS) if (sources := source_folder(one)) else one
        for one in lock.packages
    ]
    return replace(lock, packages=tuple(packages))


def _built(package: Package, sources: Path, wheels: Path) -> Package:
    with tempfile.TemporaryDirectory(prefix="ogam-wheel-") as place:
        pip.build_wheel(sys.executable, sources, Path(place))
        wheel = find(package, [Path(place)])
        if wheel is None:
            made = ", ".join(path.name for path in Path(place).iterdir())
            raise ConfigurationError(
                f"{sources} builds {made}, but {package.name} {package.version} is installed.",
                hint=f"Install it again: pip install --no-deps -e {sources}",
            )
        target = wheels / wheel.name
        try:
            wheels.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as temporary:
                shutil.copyfile(wheel, temporary)
        except OSError as error:
            raise OutputError(f"{target} cannot be written: {error.strerror}.") from None
    return replace(
        package,
        files={target.name: store.sha256(target) or ""},
        remedy=f"Take {WHEELS}/{target.name} along: its hash is in the lock",
    )
