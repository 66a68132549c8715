"""Which packages could not be installed on another machine, why, and what to do about it.

Pure functions over what the indexes answered; a package that any machine gets by its name and
version has no trouble.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ogam.models.lock.index import File
from ogam.models.lock.values import Package

# PyPI takes no local version; these keep theirs at an address that ends in it.
# https://pytorch.org/get-started/locally/
_PYTORCH = frozenset({"torch", "torchaudio", "torchvision"})
_PYTORCH_INDEX = "https://download.pytorch.org/whl"
_SYSTEMS = {"linux": "Linux", "manylinux": "Linux", "musllinux": "Linux", "macosx": "macOS"}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one package in its one version.

    ``extra`` are the further indexes that have it, ``links`` what --find-links has, ``public``
    whether the first index has the version without its local label. ``silent`` are addresses
    that did not answer.
    """

    first: Sequence[File] = ()
    extra: Sequence[tuple[str, Sequence[File]]] = ()
    links: Sequence[File] = ()
    public: bool = False
    silent: Sequence[str] = ()


def judge(package: Package, found: Found) -> Package:
    """The package with its files' hashes, its true source, and its trouble if it has any."""
    if package.source == "conda":
        return _conda(package, found)
    if package.source != "index":
        return _addressed(package)
    everywhere = [
        *found.first,
        *(file for _, files in found.extra for file in files),
        *found.links,
    ]
    files = {one.name: one.sha256 for one in everywhere if one.sha256}
    if found.first:
        trouble, remedy = _withdrawn(found.first) or _narrow(package, everywhere) or ("", "")
        return replace(package, files=files, trouble=trouble, remedy=remedy)
    if found.extra:
        return _extra(package, found, files)
    if found.links:
        return replace(
            package,
            source="links",
            url=found.links[0].url,
            files=files,
            trouble=_label(package) + "only --find-links has it",
            remedy=f"Take {found.links[0].name} along and give its folder by --find-links"
            + _instead(package, found),
        )
    silent = f" ({', '.join(found.silent)} did not answer)" if found.silent else ""
    return replace(
        package,
        source="nowhere",
        trouble=f"{_label(package)}no index that pip knows here has it{silent}: it was built "
        "here, or came from an index named on the command line",
        remedy="Name that index to pip and lock again, or take its wheel along and give its "
        "folder by --find-links" + _instead(package, found),
    )


def judge_unasked(package: Package) -> Package:
    """As ``judge``, where no index was asked: what the package tells by itself."""
    if package.source == "conda":
        return _conda(package, Found())
    if package.source != "index":
        return _addressed(package)
    if "+" not in package.version:
        return package
    return replace(
        package,
        trouble=_label(package) + "another index, or no index, has it",
        remedy="Take its wheel along and give its folder by --find-links"
        + _instead(package, Found()),
    )


def _addressed(package: Package) -> Package:
    """What came from an address, and not by its name from an index."""
    if package.source in {"editable", "folder"}:
        at = f" at commit {package.commit}" if package.commit else ""
        where = _shown(package.url)
        how = "an editable install of" if package.source == "editable" else "built here from"
        trouble = f"a local build: {how} {where}{at.replace('+changes', ' with changes')}"
        remedy = (
            f"Lock with --build, or run: pip wheel --no-deps {where}, and give the wheel's folder "
            "by --find-links"
        )
    elif package.source == "file":
        trouble = f"a local build: it was installed from {_shown(package.url)}"
        remedy = "Take that file along and give its folder by --find-links"
    elif package.source == "vcs":
        trouble = f"it comes from {package.url}: no hash can hold it, and not all may read there"
        remedy = (
            f"Build a wheel of it: pip wheel --no-deps '{package.requirement}', and give the "
            "wheel's folder by --find-links"
        )
    else:
        trouble = f"it comes from {package.url} and from no index"
        remedy = "Keep that address, or take its file along and give its folder by --find-links"
    return replace(package, trouble=trouble, remedy=remedy)


def _conda(package: Package, found: Found) -> Package:
    files = {one.name: one.sha256 for one in found.first if one.sha256}
    if files:
        trouble = f"it comes from the conda channel {package.channel}; pip takes the index's build"
        remedy = "For the same build: PIP_NO_DEPS=1 conda env create -f environment.yml"
    else:
        trouble = f"it comes from the conda channel {package.channel}, where pip cannot go"
        remedy = "Run: PIP_NO_DEPS=1 conda env create -f environment.yml"
    return replace(package, files=files, trouble=trouble, remedy=remedy)


def _extra(package: Package, found: Found, files: dict[str, str]) -> Package:
    url = found.extra[0][0]
    if urlsplit(url).scheme in {"http", "https"}:
        trouble = f"only the extra index {url} has it"
        remedy = f"Tell pip there: --extra-index-url {url}"
    else:
        trouble = f"only the extra index {_shown(url)} has it, a folder of this machine"
        remedy = (
            f"Take {found.extra[0][1][0].name} along and give its folder by --find-links"
            + _instead(package, found)
        )
    return replace(
        package,
        source="extra",
        url=url,
        files=files,
        trouble=_label(package) + trouble,
        remedy=remedy,
    )


def _withdrawn(files: Sequence[File]) -> tuple[str, str] | None:
    reasons = [one.yanked for one in files]
    if None in reasons:
        return None
    return (
        f"its makers withdrew this version: {reasons[0]}",
        "It installs by its exact version while the index keeps it; take another when you can",
    )


def _narrow(package: Package, files: Sequence[File]) -> tuple[str, str] | None:
    """Trouble where the files are for one system alone, or are sources that each must build."""
    wheels = [one.name for one in files if one.name.endswith(".whl")]
    if not wheels:
        return (
            "the index has its source alone: each machine builds it, and may lack what that takes",
            f"Run: pip wheel --no-deps {package.requirement}, and give the wheel's folder by "
            "--find-links",
        )
    if len(wheels) < len(files) or any(name.endswith("-any.whl") for name in wheels):
        return None
    systems = {_system(name) for name in wheels}
    if len(systems) > 1:
        return None
    return (
        f"the index has files for {systems.pop()} alone, and no source",
        "On another system lock without it, or in another version",
    )


def _system(wheel: str) -> str:
    tag = wheel.removesuffix(".whl").rpartition("-")[2]
    return _SYSTEMS.get(tag.split("_")[0].rstrip("0123456789"), "Windows")


def _label(package: Package) -> str:
    label = package.version.partition("+")[2]
    return f"its build +{label} is none that PyPI takes, and " if label else ""


def _instead(package: Package, found: Found) -> str:
    """Where else a local build may be had."""
    public, _, label = package.version.partition("+")
    if label and package.name in _PYTORCH:
        return f", or tell pip: --extra-index-url {_PYTORCH_INDEX}/{label}"
    return f", or take {package.name}=={public}, another build" if found.public else ""


def _shown(url: str) -> str:
    """A file: address as the path it is."""
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return url2pathname(parts.path) if parts.scheme == "file" else url
