"""Where models come from: the hub, PyTorch Hub, a folder. Each fills a folder with a model's files.

Knows neither conversion nor what becomes of the folder (see :mod:`ogam.models.pull`).
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ogam.capabilities.base import checkpoint
from ogam.errors import DownloadError, InvalidRequestError, OutputError
from ogam.models import choice, download, hub, store, torchhub

# More files than any model has; a folder with more is somebody's whole disk.
_FILES = 10_000
_MANIFEST_BYTES = 10_000_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to pull, and how.

    ``source``: ``owner/name`` on the hub, ``torchhub:owner/repo:entry``, or a folder (starts
    with . / or ~). ``revision``: a branch, tag or commit. ``capability`` and ``quantize`` go to
    the conversion. ``include``: patterns of files to take besides. ``as_is``: convert nothing,
    so that the model can be trained further. ``allow_untrained``: take a model whose head was
    never trained, and mark all it says.
    """

    source: str
    name: str | None = None
    revision: str | None = None
    capability: str | None = None
    quantize: str | None = None
    include: tuple[str, ...] = ()
    as_is: bool = False
    allow_untrained: bool = False
    trust_code: bool = False
    trust_pickle: bool = False


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What ``model.json`` remembers of a pull, to know the same one again.

    ``origin`` names the source without its revision; ``commit`` is empty where there is none.
    """

    origin: str
    commit: str = ""
    capability: str | None = None
    quantize: str | None = None
    include: tuple[str, ...] = ()
    as_is: bool = False
    allow_untrained: bool = False


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where files came from (an address with the revision in it), and under which licence."""

    url: str
    licence: str
    commit: str = ""


class Watch:
    """Is told how a pull goes; this one ignores it."""

    def total(self, size: int) -> None:
        """So many bytes are to come, those that an interrupted pull left included."""

    def progress(self, size: int) -> None:
        """So many bytes more are here."""

    def stage(self, text: str) -> None:
        """What is done now."""


def is_folder(source: str) -> bool:
    """Whether a source names a folder: by the same rule as a model's name does."""
    return source.startswith((".", "/", "~")) or Path(source).is_absolute()


def origin(request: Request) -> str:
    """The source's name without its revision, the same however it was written.

    Raises InvalidRequestError where it is none.
    """
    if request.source.startswith(torchhub.PREFIX):
        torchhub.parse(request.source)
        return request.source
    if is_folder(request.source):
        return str(Path(request.source).expanduser().resolve())
    return f"hub:{hub.repository_name(request.source)}"


def fill(
    request: Request, raw: Path, blobs: Path, before: Pulled | None, watch: Watch
) -> Origin | None:
    """Put the model's files into ``raw``; None where what is here, ``before``, is just that.

    ``before`` is how the model here was pulled, where it was with these very options.
    ``blobs`` keeps what was fetched, for the next pull if this one is interrupted.
    """
    if request.source.startswith(torchhub.PREFIX):
        if before and before.commit == (request.revision or ""):
            return None
        repository, _, _ = torchhub.parse(request.source)
        torchhub.save(request.source, raw, revision=request.revision, trust_code=request.trust_code)
        page = f"https://github.com/{repository}"
        return Origin(
            url=f"{page}/tree/{request.revision}" if request.revision else page,
            licence="unknown",
            commit=request.revision or "",
        )
    if is_folder(request.source):
        return _copy(request, raw, watch)
    if before and before.commit == request.revision:
        return None
    try:
        repository = hub.look(hub.repository_name(request.source), request.revision)
    except DownloadError as error:
        if before and request.revision is None:
            watch.stage(f"{error.message} The model that is here stays as it is.")
            return None
        raise
    if before and before.commit == repository.commit:
        return None
    _fetch(request, repository, raw, blobs, watch)
    return Origin(url=repository.page, licence=repository.licence, commit=repository.commit)


def manifest(path: Path) -> store.Manifest | None:
    """Ogam's own manifest, None where the file is not there or is another program's."""
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=store.Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _fetch(
    request: Request, repository: hub.Repository, raw: Path, blobs: Path, watch: Watch
) -> None:
    blobs.mkdir(parents=True, exist_ok=True)
    there = repository.files
    ready = None
    about = there.get(store.MANIFEST)
    if about is not None and about.size <= _MANIFEST_BYTES:
        ready = manifest(download.fetch(about, blobs, lambda _: None))
    names = _names(list(there), ready, request)
    files = [there[name] for name in names]
    here = sum(
        part.stat().st_size
        for file in {file.digest: file for file in files}.values()
        for part in (blobs / file.digest, blobs / f"{file.digest}.part")
        if part.is_file()
    )
    total = sum(file.size for file in files)
    free = shutil.disk_usage(blobs).free
    if total - here > free:
        raise OutputError(
            f"{repository.name} takes {(total - here) / 1e6:,.1f} MB more, and {blobs} has "
            f"{free / 1e6:,.1f} MB free.",
            hint="Free some space, or name another folder in OGAM_MODELS.",
        )
    watch.total(total)
    for file in files:
        watch.stage(file.name)
        blob = download.fetch(file, blobs, watch.progress)
        place = raw / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blob, place)
        except OSError:  # a file system without links
            shutil.copyfile(blob, place)


def _copy(request: Request, raw: Path, watch: Watch) -> Origin:
    folder = Path(request.source).expanduser().resolve()
    if not folder.is_dir():
        raise InvalidRequestError(
            "it is a file, not a folder." if folder.exists() else "there is no such folder.",
            hint="Name the folder that holds the model's config.json; unpack an archive first.",
        )
    ready = manifest(folder / store.MANIFEST)
    there = _inside(folder) if ready or (folder / "config.json").is_file() else []
    names = _names(there, ready, request)
    watch.total(sum((folder / name).stat().st_size for name in names))
    for name in names:
        watch.stage(name)
        checkpoint()
        place = raw / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, place)
        watch.progress(place.stat().st_size)
    return Origin(url=folder.as_uri(), licence=_licence(folder / "README.md"))


def _names(there: list[str], ready: store.Manifest | None, request: Request) -> list[str]:
    if ready is None:
        return choice.choose(there, include=request.include, trust_pickle=request.trust_pickle)
    beside = {store.MANIFEST, store.CARD, "README.md", "LICENSE"}
    for name in ready.files:
        choice.check_inside(name)
        if name not in there:
            raise InvalidRequestError(
                f"its {store.MANIFEST} names {name}, which is missing.", hint="Copy it whole."
            )
    return sorted({*ready.files, *(name for name in there if name in beside)})


def _inside(folder: Path) -> list[str]:
    found: list[str] = []
    for place, _, files in os.walk(folder):
        found += [(Path(place) / file).relative_to(folder).as_posix() for file in files]
        if len(found) > _FILES:
            raise InvalidRequestError(
                f"it holds more than {_FILES:,} files.", hint="Name the model's own folder."
            )
    # A file of a name that no model has (a line end in it) is not taken, and stops nothing.
    return [name for name in found if _is_plain(name)]


def _is_plain(name: str) -> bool:
    with suppress(InvalidRequestError):
        choice.check_inside(name)
        return True
    return False


def _licence(card: Path) -> str:
    """The licence that a card's front matter names."""
    with suppress(OSError, UnicodeDecodeError):
        head, _ = split_card(card.read_text(encoding="utf-8"))
        if found := re.search(r"^license:\s*([\w.+-]+)\s*$", head, re.MULTILINE):
            return found[1]
    return "unknown"


def split_card(text: str) -> tuple[str, str]:
    """A card's front matter (YAML between two lines of ---), and the rest."""
    found = re.match(r"---\r?\n(.*?\n)---\r?\n", text, re.DOTALL)
    return (found[1], text[found.end() :]) if found else ("", text)


def remembered(value: dict[str, Any] | None) -> Pulled | None:
    """What a manifest remembers of its pull, None where that is nothing."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert((value or {}).get("pulled"), Pulled)
    return None
