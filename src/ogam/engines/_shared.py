"""What several engines need that run models from a folder: the folder, the cores, the batches.

Knows no model. An engine imports this and never another engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ogam.capabilities.base import ModelRef, checkpoint
from ogam.errors import ConfigurationError, NotConfiguredError
from ogam.extras import install_line


def cores() -> int:
    """The cores this process may use, which a container may have cut."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def model_folder(ref: ModelRef) -> Path:
    """The folder of a model that comes with a package; NotConfiguredError where there is none."""
    if ref.folder is None or not ref.folder.is_dir():
        where = f": {ref.folder} is not a folder" if ref.folder else ""
        raise NotConfiguredError(
            f"The model {ref.name!r} is not on this machine{where}.",
            hint=f"Run: {install_line('local')}",
        )
    return ref.folder


def check_whole(folder: Path, names: Iterable[str]) -> None:
    """ConfigurationError where a model's folder lacks one of its files."""
    missing = sorted({name for name in names if not (folder / name).is_file()})
    if missing:
        raise ConfigurationError(
            f"{folder} is incomplete: {', '.join(missing)} missing.",
            hint="Install the model again.",
        )


def onnx_session(runtime: Any, path: Path) -> Any:
    """An ONNX Runtime session of one thread: short batches run side by side, one on each core."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_groups(
    pool: ThreadPoolExecutor, groups: Sequence[list[int]], run: Callable[[list[int]], None]
) -> None:
    """``run`` each group in the pool's threads; those not begun are dropped if one fails."""
    if len(groups) == 1:
        checkpoint()
        run(groups[0])
        return
    waiting = [pool.submit(run, group) for group in groups]
    try:
        for future in waiting:
            checkpoint()
            future.result()
    finally:
        for future in waiting:
            future.cancel()
