"""What ``--check`` does in the recipes that train: the files made again, beside what ships."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from ogam.errors import OgamError


def check(shipped: Path, write: Callable[[Path], None]) -> int:
    """Let ``write`` fill a folder, and say which files are those of the model in ``shipped``.

    Compared are the hashes in its ``model.json``. Returns 1 where a file differs, else 0.
    """
    told = json.loads((shipped / "model.json").read_bytes())["files"]
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            write(Path(folder))
        except OgamError as error:
            print(error)
            return 1
        for name, sha256 in sorted(told.items()):
            same = {_sha256(Path(folder, name)), _sha256(shipped / name)} == {sha256}
            differing += not same
            print(f"{'same' if same else 'DIFFERS'}  {name}")
    return 1 if differing else 0


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
