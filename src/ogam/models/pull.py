"""Brings a model here: fetch or copy, check, convert, and only then make it visible.

All work is done in ``.pulling/NAME`` beside the models; the last step is one rename, so a
model is there whole or not at all. What an interrupted pull has fetched stays there, under the
hashes of the files, and the next pull goes on with it. One process at a time works on a name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    OgamError,
    OutputError,
    UnknownModelError,
    UnsupportedOptionError,
    UntrainedHeadError,
)
from ogam.extras import needs
from ogam.models import choice, sources, store, weights
from ogam.models.sources import Pulled, Request, Watch

__all__ = ["Request", "Watch", "pull", "remove", "unfinished"]

# Hidden, so that it is no model of the collection.
_STAGING = ".pulling"


def pull(request: Request, watch: Watch | None = None) -> str:
    """Bring the model here and return its name, ``local/NAME``.

    A model that is here already, from the same commit and made in the same way, stays as it
    is; so does, where the hub cannot be asked, one that was pulled without a revision. Raises
    OgamError in one line; nothing is visible then that was not before.
    """
    watch = watch or Watch()
    origin = sources.origin(request)
    name = _name(request)
    with _alone(name, watch) as staging:
        about = _read(store.local_folder() / name / store.MANIFEST)
        before = sources.remembered(about)
        if about is not None and (before is None or before.origin != origin):
            raise InvalidRequestError(
                f"There is another model {store.LOCAL}/{name}, from {about.get('source')}.",
                hint="Choose a name for this one with --name.",
            )
        wanted = Pulled(
            origin=origin,
            capability=request.capability,
            quantize=request.quantize,
            include=request.include,
            as_is=request.as_is,
            allow_untrained=request.allow_untrained,
        )
        if before and msgspec.structs.replace(before, commit="") != wanted:
            before = None
        with _cleared(request, staging):
            _bring(request, staging, before, wanted, watch)
    return f"{store.LOCAL}/{name}"


def remove(name: str) -> None:
    """Take a pulled model away, and what an interrupted pull of it has left."""
    _check_name(name)
    with _alone(name, Watch()) as staging:
        folder = store.local_folder() / name
        if not folder.is_dir() and not staging.is_dir():
            raise UnknownModelError(
                f"There is no model {store.LOCAL}/{name}.", hint="ogam models list shows all."
            )
        if folder.is_dir():
            staging.mkdir(parents=True, exist_ok=True)
            # Gone at once, whatever happens while its files are deleted.
            os.replace(folder, staging / "removed")
        shutil.rmtree(staging)


def unfinished() -> list[str]:
    """The names under which an interrupted pull has left something, sorted."""
    staging = store.local_folder() / _STAGING
    return sorted(path.name for path in staging.glob("*") if path.is_dir())


def _bring(
    request: Request, staging: Path, before: Pulled | None, wanted: Pulled, watch: Watch
) -> None:
    name = staging.name
    raw, made = staging / "raw", staging / "made"
    raw.mkdir(parents=True)
    origin = sources.fill(request, raw, staging / "blobs", before, watch)
    if origin is None:
        return
    watch.stage("checking")
    weights.check(raw, trust_pickle=request.trust_pickle)
    if sources.manifest(raw / store.MANIFEST) is not None:
        made = raw
        about = _read(raw / store.MANIFEST) or {}
        _check_hashes(raw, about["files"])
    else:
        watch.stage("converting")
        made, about = _converted(request, raw, made)
        about["licence"] = origin.licence
    about = {**about, "name": name, "source": origin.url}
    _write_card(raw, made, about, wanted)
    about["pulled"] = msgspec.to_builtins(msgspec.structs.replace(wanted, commit=origin.commit))
    _publish(name, made, about)


def _converted(request: Request, raw: Path, made: Path) -> tuple[Path, dict[str, Any]]:
    """Make what an engine runs out of ``raw``; its folder and the fields of its manifest."""
    if request.trust_pickle:
        weights.unpickle(raw)
    if request.as_is:
        return raw, {"engine": "transformers", "capabilities": [request.capability or "embed"]}
    config = weights.read_object(raw / "config.json", "config.json")
    if choice.is_ctranslate2(path.name for path in raw.iterdir()) and "lang_ids" in config:
        # Whisper as faster-whisper's makers publish it, converted already.
        return raw, {"engine": "whisper", "capabilities": ["transcribe"]}
    # Asks the head check: a head that was never trained gets no further.
    from ogam.models.convert import convert

    converted = convert(
        raw,
        made,
        capability=request.capability,
        quantize=request.quantize,
        allow_untrained=request.allow_untrained,
    )
    return made, {
        **(_read(made / store.MANIFEST) or {}),
        "engine": converted.engine,
        "capabilities": list(converted.capabilities),
    }


def _publish(name: str, made: Path, about: dict[str, Any]) -> None:
    """Write the manifest and move the folder to its place, in place of what was there."""
    about["files"] = {
        path.relative_to(made).as_posix(): _settled(path)
        for path in sorted(made.rglob("*"))
        if path.is_file() and path != made / store.MANIFEST
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    manifest = made / f"{store.MANIFEST}.new"
    # Not onto the old one, which may be a link to what was fetched.
    manifest.write_text(text, encoding="utf-8")
    os.replace(manifest, made / store.MANIFEST)
    _settled(made / store.MANIFEST)
    place, old = store.local_folder() / name, made.parent / "old"
    if place.exists():
        os.replace(place, old)
    try:
        os.replace(made, place)
    except OSError:
        if old.exists():
            os.replace(old, place)
        raise


def _settled(path: Path) -> str:
    """A file's sha256, once it is on the disk for good."""
    if os.name == "posix":
        with path.open("rb") as file:
            os.fsync(file.fileno())
    digest = store.sha256(path)
    if digest is None:
        raise OutputError(f"{str(path)!r} cannot be read back.")
    return digest


def _write_card(raw: Path, made: Path, about: dict[str, Any], wanted: Pulled) -> None:
    if (made / store.CARD).is_file():
        return
    readme = raw / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    _, body = sources.split_card(text)
    form = f", its weights in {wanted.quantize}" if wanted.quantize else ""
    head = (
        f"# {about['name']}\n\nFrom {about['source']}. Licence: {about['licence']}. "
        f"Run by {about['engine']} to {', '.join(about['capabilities'])}{form}.\n"
    )
    told = f"\nWhat its maker says of it:\n\n{body.strip()}\n" if body.strip() else ""
    (made / store.CARD).write_text(head + told, encoding="utf-8")


def _check_hashes(folder: Path, files: dict[str, str]) -> None:
    for name, digest in files.items():
        if store.sha256(folder / name) != digest:
            raise InvalidRequestError(
                f"{name} is damaged: its sha256 is not the one in {store.MANIFEST}.",
                hint="Take the model from where it was made again.",
            )


@contextmanager
def _alone(name: str, watch: Watch) -> Generator[Path]:
    """Hold the name's lock, and yield the folder to work in, which may not exist."""
    with needs("local"):
        from filelock import FileLock, Timeout
    root = store.local_folder()
    staging = root / _STAGING / name
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{staging}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            watch.stage(f"waiting for another pull of {store.LOCAL}/{name}")
            lock.acquire()
    except OSError as error:
        raise _refused(error, root) from None
    try:
        # Stopped between the two renames of _publish: the old model goes back to its place.
        if (staging / "old").is_dir() and not (root / name).exists():
            os.replace(staging / "old", root / name)
        yield staging
    except OSError as error:
        raise _refused(error, root) from None
    finally:
        lock.release()


@contextmanager
def _cleared(request: Request, staging: Path) -> Generator[None]:
    """Leave no work behind: only, where it is of use to the next pull, what was fetched."""
    worked = ("raw", "made", "old", "removed")
    keep = False
    for part in worked:
        shutil.rmtree(staging / part, ignore_errors=True)
    try:
        yield
    except OgamError as error:
        # A model that was refused stays refused; the rest can be mended here.
        refused = isinstance(error, (InvalidRequestError, UntrainedHeadError))
        keep = not refused or isinstance(error, UnsupportedOptionError)
        raise _named(error, request, staging) from None
    except OSError:  # a full disk is given back what we took
        raise
    except BaseException:
        keep = True
        raise
    finally:
        for part in worked:
            shutil.rmtree(staging / part, ignore_errors=True)
        if not keep or not any(staging.glob("blobs/*")):
            shutil.rmtree(staging, ignore_errors=True)


def _named(error: OgamError, request: Request, staging: Path) -> OgamError:
    """The error told of the source, not of the folder we work in, which will be gone."""
    source, raw = request.source, str(staging / "raw")
    refused = isinstance(error, (InvalidRequestError, UntrainedHeadError))
    error.message = error.message.replace(raw, source)
    if source not in error.message and refused:
        error.message = f"{source}: {error.message}"
    if raw in error.hint:
        place = str(store.local_folder() / staging.name)
        error.hint = f"First ogam models pull {source} --as-is. {error.hint.replace(raw, place)}"
    if refused or raw in str(error):
        error.args = (f"{error.message} {error.hint}".strip(),)
    return error


def _refused(error: OSError, root: Path) -> OutputError:
    return OutputError(
        f"{error.filename or root} cannot be written: {error.strerror or error}.",
        hint="Nothing half-written was left. Free some space, or name a folder in OGAM_MODELS.",
    )


def _name(request: Request) -> str:
    """The model's name: the one asked for, or one from the source."""
    if request.name is not None:
        name = request.name.removeprefix(f"{store.LOCAL}/")
        _check_name(name)
        return name
    if sources.is_folder(request.source):
        folder = Path(request.source).expanduser().resolve()
        # Training ends in FOLDER/model.
        last = folder.parent.name if folder.name == "model" else folder.name
    else:
        last = re.split(r"[/:]", request.source.rstrip("/"))[-1]
    name = re.sub(r"[^\w.-]+", "-", last, flags=re.ASCII).strip("-._")
    _check_name(name)
    return name


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", name, re.ASCII) or ".." in name:
        raise InvalidRequestError(
            f"{name!r} is no name for a model.",
            hint="Use letters, digits, and . _ - between them: --name my-model.",
        )


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return weights.read_object(path, path.name)
    except InvalidRequestError:
        raise ConfigurationError(
            f"{path} is damaged.", hint=f"Remove the model: ogam models rm {path.parent.name}."
        ) from None
