"""Whether files are what they call themselves, before anything loads them.

Reads headers and lists of contents, never the weights: a safetensors header that lies, an
archive that would expand without end and a pickle under another name are refused in one line.
The form of safetensors is https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any, cast

from ogam.errors import InvalidRequestError
from ogam.extras import needs
from ogam.models.choice import PICKLES, check_inside

# The limit of safetensors' own reader.
_HEADER_BYTES = 100_000_000
# The largest config.json on the hub is under 2 MB.
_CONFIG_BYTES = 10_000_000
# How many times its size an archive may expand to: NumPy's compressed ones, which hold little
# but zeros at times, and PyTorch's, which are stored as they are.
_EXPANSION = 20
_EXPANSION_PICKLED = 2
# https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs, ``Dtype``
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


def check(folder: Path, *, trust_pickle: bool = False) -> None:
    """Raise InvalidRequestError, naming the file, where one in ``folder`` is not what it seems."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    for path, name in zip(paths, names, strict=True):
        if path.suffix == ".safetensors":
            check_safetensors(path, name)
        elif name.endswith(".index.json"):
            _check_index(path, name, names)
        elif path.name == "config.json":
            read_object(path, name)
        elif path.suffix not in (".json", ".txt", ".md"):
            _check_other(path, name, trust_pickle)


def check_safetensors(path: Path, name: str) -> None:
    """Raise InvalidRequestError unless the header fits the file and its tensors fill it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little") if size >= 8 else size
        if not 2 <= length <= min(_HEADER_BYTES, size - 8):
            raise _wrong(name, f"its header says {length} bytes, in a file of {size}")
        text = file.read(length)
    try:
        header: Any = json.loads(text)
        tensors = {key: value for key, value in header.items() if key != "__metadata__"}
        spans = sorted(_span(key, value, name) for key, value in tensors.items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _wrong(name, "its header is not that of safetensors") from None
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise _wrong(name, f"its tensors overlap or leave a gap at byte {end}")
        end = stop
    if end != size - 8 - length:
        raise _wrong(name, f"its tensors take {end} bytes, and it holds {size - 8 - length}")


def read_object(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of settings."""
    if path.stat().st_size > _CONFIG_BYTES:
        raise _wrong(name, "no settings are as large as this")
    try:
        value: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _wrong(name, "it is not JSON") from None
    if not isinstance(value, dict):
        raise _wrong(name, "it is no JSON object")
    return cast("dict[str, Any]", value)


def unpickle(folder: Path) -> None:
    """Turn each pickle of PyTorch's in ``folder`` into safetensors, and delete it.

    PyTorch reads it without running code (``weights_only``), so one that holds more than
    tensors is refused even here.
    """
    for path in sorted(folder.glob("pytorch_model*.bin")):
        target = path.with_name(_safe_name(path.name))
        with needs("train"):
            import torch
            from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
        try:
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)  # pyright: ignore[reportUnknownMemberType]
            seen: set[int] = set()
            for key, value in loaded.items():
                memory = value.untyped_storage()
                # safetensors refuses tensors that share memory (tied weights).
                if memory.data_ptr() in seen or memory.nbytes() != value.nbytes:
                    loaded[key] = value.detach().clone()
                seen.add(memory.data_ptr())
            tensors = {key: value.detach().contiguous() for key, value in loaded.items()}
            save_file(tensors, target, metadata={"format": "pt"})
        except OSError:
            raise
        except Exception:  # a damaged pickle fails in any way it likes
            raise InvalidRequestError(
                f"{path.name} holds more than tensors, or is damaged.",
                hint="It is not loaded, because that could run its code. Find another copy.",
            ) from None
        path.unlink()
    index = folder / "pytorch_model.bin.index.json"
    if index.is_file():
        listed = read_object(index, index.name)
        listed["weight_map"] = {key: _safe_name(name) for key, name in listed["weight_map"].items()}
        (folder / "model.safetensors.index.json").write_text(json.dumps(listed), encoding="utf-8")
        index.unlink()


def _safe_name(name: str) -> str:
    return re.sub(r"^pytorch_model(.*)\.bin$", r"model\1.safetensors", name)


def _span(key: str, value: Any, name: str) -> tuple[int, int]:
    begin, stop = value["data_offsets"]
    shape = value["shape"]
    if value["dtype"] not in _BITS:
        raise _wrong(name, f"{key!r} is of the unknown type {value['dtype']!r}")
    if not all(type(one) is int and one >= 0 for one in (begin, stop, *shape)):
        raise _wrong(name, f"{key!r} has a size that is no number")
    if math.prod(shape) * _BITS[value["dtype"]] != (stop - begin) * 8:
        raise _wrong(name, f"{key!r} of shape {shape} cannot take {stop - begin} bytes")
    return begin, stop


def _check_index(path: Path, name: str, names: list[str]) -> None:
    shards = read_object(path, name).get("weight_map")
    if not isinstance(shards, dict):
        raise _wrong(name, "it has no weight_map")
    for shard in sorted({str(one) for one in cast("dict[str, Any]", shards).values()}):
        check_inside(shard)
        if shard not in names:
            raise _wrong(name, f"it names {shard}, which is missing")


def _check_other(path: Path, name: str, trust_pickle: bool) -> None:
    """Anything else: an archive, a pickle, or what an engine reads as it is."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\3\4":
        pickled = _check_archive(path, name)
    else:
        # ".bin" alone says nothing: CTranslate2 and ONNX use it too.
        pickled = _starts_a_pickle(start) or (path.suffix in PICKLES and path.suffix != ".bin")
    if pickled and not trust_pickle:
        raise InvalidRequestError(
            f"{name} is a Python pickle, which can run any code when loaded.",
            hint="Find a copy in safetensors, or take the risk: --trust-pickle.",
        )


def _starts_a_pickle(start: bytes) -> bool:
    """By the mark of protocols 2 to 5 (all that is written since 2003) and a first opcode."""
    if len(start) < 3 or start[0] != 0x80 or start[1] not in (2, 3, 4, 5):
        return False
    import pickletools

    return chr(start[2]) in {operation.code for operation in pickletools.opcodes}


def _check_archive(path: Path, name: str) -> bool:
    """Refuse an archive that expands beyond reason; tell whether it is PyTorch's pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        raise _wrong(name, "it is a damaged archive") from None
    pickled = any(entry.filename.endswith(".pkl") for entry in entries)
    whole = sum(entry.file_size for entry in entries)
    if whole > (_EXPANSION_PICKLED if pickled else _EXPANSION) * path.stat().st_size:
        raise _wrong(name, f"it is an archive that expands to {whole / 1e6:,.0f} MB")
    return pickled


def _wrong(name: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{name} is not what it should be: {why}.",
        hint="It is damaged or made to mislead; take the model from another place.",
    )
