"""Collections of models on this disk, and the manifest each model carries.

A collection is a folder with one folder per model in it. The entry point group
``ogam.models`` names them: ``starter = ogam_starter:MODELS`` makes ``starter/NAME``. One is
built in: ``local``, the models that were pulled here, in ``$OGAM_MODELS`` or ``ogam/models`` in
the user's data folder. Knows no engine: a manifest only names one. Asks no network.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from functools import cache
from pathlib import Path

import msgspec

from ogam.errors import ConfigurationError, UnknownModelError
from ogam.extras import entry_points

MANIFEST = "model.json"
CARD = "CARD.md"
LOCAL = "local"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``model.json``: which engine runs the model, what it can do, and what its files must hash to.

    ``files`` maps a name inside the folder to its sha256 in hex. ``understands`` are the
    languages it is for, where they are few. ``untrained``: its head was never trained. A text
    generator that is not ``instructed`` continues a text and does nothing that it is told, but
    where it ``converses``: then it answers short questions about what was said to it.
    """

    name: str
    engine: str
    capabilities: tuple[str, ...]
    files: dict[str, str]
    licence: str
    source: str
    summary: str = ""
    understands: tuple[str, ...] = ()
    untrained: bool = False
    instructed: bool = True
    converses: bool = False


def local_folder() -> Path:
    """The folder of the collection ``local``, which may not exist yet."""
    if named := os.environ.get("OGAM_MODELS"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("ogam") / "models"


def collection(name: str) -> Path | None:
    """The folder of a collection, None where there is none of that name."""
    return local_folder() if name == LOCAL else _packaged(name)


@cache
def _packaged(name: str) -> Path | None:
    point = next(iter(entry_points(group="ogam.models", name=name)), None)
    return None if point is None else Path(point.load())


def collections_found() -> list[str]:
    """The names of all collections, sorted."""
    return sorted({LOCAL, *(point.name for point in entry_points(group="ogam.models"))})


def names(collection_name: str) -> list[str]:
    """The models of a collection, sorted."""
    folder = collection(collection_name)
    return sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}")) if folder else []


def manifest(collection_name: str, model: str) -> Manifest:
    """The manifest of ``collection_name/model``."""
    folder = collection(collection_name)
    if folder is None or model not in names(collection_name):
        known = names(collection_name)
        close = difflib.get_close_matches(model, known, n=1) or known
        raise UnknownModelError(
            f"There is no model '{collection_name}/{model}'.",
            hint=f"There is {', '.join(f'{collection_name}/{one}' for one in close)}."
            if close
            else "Pull one: ogam models pull OWNER/NAME.",
            param="model",
        )
    try:
        return msgspec.json.decode((folder / model / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"The manifest of {collection_name}/{model} cannot be read: {error}.",
            hint=repair(collection_name),
        ) from error


def read(folder: Path | None) -> Manifest | None:
    """The manifest in a folder; None where there is none that can be read."""
    if folder is None:
        return None
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def card(collection_name: str, model: str) -> str:
    """The model's card, Markdown; empty where it has none."""
    manifest(collection_name, model)
    folder = collection(collection_name)
    path = folder / model / CARD if folder else Path()
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def damaged_files(collection_name: str, model: str) -> list[str]:
    """The files that are missing or do not hash to what the manifest says."""
    folder = collection(collection_name)
    wanted = manifest(collection_name, model).files
    return [
        name
        for name, digest in wanted.items()
        if folder is None or sha256(folder / model / name) != digest
    ]


def repair(collection_name: str) -> str:
    """What to do about a damaged model of a collection."""
    if collection_name == LOCAL:
        return "Remove it with ogam models rm, and pull it again."
    return "Reinstall the package it came with."


def sha256(path: Path) -> str | None:
    """The sha256 of a file in hex, None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
