"""The models of a lock: hashed when it is written, found and compared when it is checked,
copied or pulled when it is restored.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ogam.capabilities.base import ModelRef
from ogam.errors import ConfigurationError, OgamError, OutputError
from ogam.models import store
from ogam.models.lock.values import Model

# Where a restored model goes that lay outside the lock's folder.
_BROUGHT = "models"
# What shapes a pulled model and is safe to take from a file.
_OPTIONS = ("capability", "quantize", "include", "as_is", "allow_untrained")


class _Told(msgspec.Struct):
    """What a manifest tells of where the model comes from; a folder may have none.

    ``pulled`` is what ``ogam models pull`` leaves: ``origin``, ``commit`` and its options.
    """

    source: str = ""
    licence: str = ""
    pulled: dict[str, Any] = {}


class _Run(msgspec.Struct):
    """``settings.json`` of the training run a model lies in."""

    settings: dict[str, object] = {}


def lock(refs: Iterable[ModelRef], folder: Path) -> list[Model]:
    """The models that have files on this disk, as a lock in ``folder`` names them, by name.

    Raises ConfigurationError where a collection's model is not what its manifest says: a
    damaged model is not worth locking.
    """
    found: dict[str, Model] = {}
    for ref in refs:
        if ref.folder is not None and ref.name not in found:
            found[ref.name] = _locked(ref, ref.folder.resolve(), folder.resolve())
    return [found[name] for name in sorted(found)]


def _locked(ref: ModelRef, folder: Path, beside: Path) -> Model:
    files = {name: store.sha256(folder / name) or "" for name in _inside(folder)}
    unread = [name for name, digest in files.items() if not digest]
    if unread:
        raise ConfigurationError(f"{folder / unread[0]} cannot be read.")
    told = _decoded(folder / store.MANIFEST, _Told)
    model = Model(
        name=ref.name,
        engine=ref.engine,
        files=files,
        source=told.pulled.get("origin", "").removeprefix("hub:") or told.source,
        revision=told.pulled.get("commit") or "",
        options={name: told.pulled[name] for name in _OPTIONS if told.pulled.get(name)},
        licence=told.licence,
        origin=str(folder),
        seed=_seed(folder),
    )
    if not ref.model.startswith((".", "/", "~")):
        collection = ref.name.partition("/")[0]
        damaged = store.damaged_files(collection, ref.model)
        if damaged:
            raise ConfigurationError(
                f"{ref.name}: {damaged[0]} is missing or damaged.", hint=store.repair(collection)
            )
        return model
    path = folder.relative_to(beside) if folder.is_relative_to(beside) else None
    place = path or Path(_BROUGHT) / f"{folder.parent.name}-{folder.name}"
    return msgspec.structs.replace(model, path=place.as_posix())


def _inside(folder: Path) -> Iterator[str]:
    """The files below, as "a/b"; without hidden ones, which are somebody's half-written work."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inner.parts):
            yield inner.as_posix()


def _seed(folder: Path) -> int | None:
    seed = _decoded(folder.parent / "settings.json", _Run).settings.get("seed")
    return seed if isinstance(seed, int) else None


def _decoded(path: Path, kind: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return kind()


def place_of(model: Model, beside: Path) -> Path | None:
    """Where the model belongs on this machine; None where its collection is not installed."""
    if model.path:
        return beside / model.path
    collection, _, name = model.name.partition("/")
    folder = store.collection(collection)
    return None if folder is None else folder / name


def folder_of(model: Model, beside: Path) -> Path | None:
    """Where the model lies: in its collection, or beside the lock, or where it was locked."""
    places = [place_of(model, beside), Path(model.origin) if model.path else None]
    return next((one for one in places if one is not None and one.is_dir()), None)


def wrong_files(model: Model, folder: Path) -> list[str]:
    """The files that are missing in ``folder``, or hash to something else."""
    return [name for name, digest in model.files.items() if store.sha256(folder / name) != digest]


def bring(model: Model, beside: Path, from_: Sequence[Path]) -> str:
    """Put a model in its place; tell in a word where it came from.

    It is copied from where it lay or from one of ``from_`` if every file there hashes right,
    else pulled. A model that a package brings is left to the package. Raises ConfigurationError
    where the place holds something else, or where nobody has the model, OutputError where it
    cannot be written.
    """
    target = place_of(model, beside)
    if not model.path and not model.name.startswith(f"{store.LOCAL}/"):
        return "comes with its package"
    if target is None:
        raise AssertionError(model.name)
    if target.exists():
        wrong = wrong_files(model, target)
        if not wrong:
            return "there already"
        raise ConfigurationError(
            f"{target / wrong[0]} is not what the lock says.",
            hint=f"Move {target} away and restore again.",
        )
    for source in _candidates(model, from_):
        if source.is_dir() and not wrong_files(model, source):
            _copy(model, source, target)
            return f"copied from {source}"
    _pull(model, target)
    return f"pulled from {model.source}"


def _pull(model: Model, target: Path) -> None:
    problem = "has no address to be pulled from"
    if model.revision:
        try:
            # Only here: what it needs is no part of reading a lock.
            from ogam.models import pull

            # A lock is a stranger's file: what it says must not make a pickle trusted.
            options = {name: model.options[name] for name in _OPTIONS if model.options.get(name)}
            name = model.name.partition("/")[2]
            asked = {"source": model.source, "name": name, "revision": model.revision, **options}
            pull.pull(msgspec.convert(asked, pull.Request), pull.Watch())
        except OgamError as error:
            problem = f"cannot be pulled: {error.message.rstrip('.')}"
        else:
            wrong = wrong_files(model, target)
            if not wrong:
                return
            problem = f"was pulled from {model.source}, and {wrong[0]} is not what the lock says"
    raise ConfigurationError(
        f"The model {model.name} {problem}.",
        hint="Copy its folder to this machine, and name the folder above it by --models.",
    )


def _candidates(model: Model, from_: Sequence[Path]) -> Iterator[Path]:
    if model.origin:
        yield Path(model.origin)
    # What a copy may be called: as beside the lock, or by the last part or two of where it lay.
    origin = Path(model.origin)
    names = (Path(model.path), Path(origin.parent.name) / origin.name, Path(origin.name))
    for folder in from_:
        yield folder
        yield from (folder / name for name in names)


def _copy(model: Model, source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        for name in model.files:
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, place)
        wrong = wrong_files(model, temporary)  # the disk may lie, the source may have changed
        if wrong:
            raise ConfigurationError(f"{source / wrong[0]} changed while it was copied.")
        temporary.rename(target)
    except OSError as error:
        raise OutputError(
            f"The model {target} cannot be written: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def escapes(model: Model) -> bool:
    """Whether a path in the lock leads out of the folder it belongs in."""
    paths = [PurePosixPath(one) for one in (model.path, *model.files) if one]
    return any(path.is_absolute() or ".." in path.parts or "\\" in str(path) for path in paths)
