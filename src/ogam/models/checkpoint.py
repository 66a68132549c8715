"""What a folder in transformers' format holds: its configuration, and its tensors by their headers.

Loads no tensor, reads no pickle, runs no code of the folder's and knows no task.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ogam.errors import ConfigurationError, OgamError
from ogam.extras import needs

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_AGAIN = "Pull it again, or copy the whole folder."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. ConfigurationError where there is none."""
    try:
        value: Any = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        raise ConfigurationError(f"{path.name} is missing in {path.parent}.", hint=_AGAIN) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", hint=_AGAIN) from None
    return value  # pyright: ignore[reportUnknownVariableType]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights: one, or the shards that the index names.

    Raises ConfigurationError where a shard is missing, or where there are weights in a pickle
    only, or none at all.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"{folder} is incomplete: {_told(missing)} of {len(names)} files of weights "
                f"{'is' if len(missing) == 1 else 'are'} missing.",
                hint=_AGAIN,
            )
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found
    pickles = sorted(
        p.name for end in ("bin", "pt", "pth", "ckpt") for p in folder.glob(f"*.{end}")
    )
    if pickles:
        raise ConfigurationError(
            f"{folder} has its weights in a pickle ({pickles[0]}), which can run any code and is "
            "not read.",
            hint="Save it as safetensors where you trust it: model.save_pretrained(FOLDER).",
        )
    raise ConfigurationError(f"{folder} holds no weights: {SINGLE} is missing.", hint=_AGAIN)


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by name. Only the headers are read.

    Raises ConfigurationError where a file is missing, cut short, or lacks what the index says
    that it holds.
    """
    with needs("train"):
        import safetensors
    library: Any = safetensors
    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        try:
            with library.safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118  (not a mapping)
                    found[name] = tuple(file.get_slice(name).get_shape())
        except (OSError, safetensors.SafetensorError) as error:
            raise ConfigurationError(f"{path} is damaged: {error}.", hint=_AGAIN) from None
    if not (folder / SINGLE).is_file() and (folder / INDEX).is_file():
        lost = sorted(set(_weight_map(folder)) - set(found))
        if lost:
            raise ConfigurationError(
                f"{folder} is incomplete: its files lack {_told(lost)}, which the index names.",
                hint=_AGAIN,
            )
    return found


@contextlib.contextmanager
def plainly(what: str) -> Generator[None]:
    """Keep transformers quiet in the block, and turn whatever it raises into one line.

    ``what`` begins the line: "The model in ./x does not load".
    """
    with needs("train"):
        from transformers.utils import logging as own
    level, bars = own.get_verbosity(), own.is_progress_bar_enabled()
    own.set_verbosity(logging.CRITICAL)
    own.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OgamError:
        raise
    except Exception as error:  # transformers lets errors of every kind through
        raise ConfigurationError(
            f"{what}: {' '.join(str(error).split())[:300]}", hint="Is the folder whole?"
        ) from error
    finally:
        own.set_verbosity(level)
        if bars:
            own.enable_progress_bar()


def _weight_map(folder: Path) -> dict[str, str]:
    found: Any = read_json(folder / INDEX).get("weight_map")
    # A name with a folder in it would lead out of this one.
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and Path(name).name == name
        for name in found.values()  # pyright: ignore[reportUnknownVariableType]
    ):
        raise ConfigurationError(f"{folder / INDEX} is no index of weights.", hint=_AGAIN)
    return found  # pyright: ignore[reportUnknownVariableType]


def _told(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
