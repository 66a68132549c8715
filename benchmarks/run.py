"""Every benchmark, one after the other: what `make bench` runs. Names go to run some of them.

python benchmarks/run.py [embedding ocr …]
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
# The short form of each; run one by itself for its full length.
RUNS: dict[str, list[str]] = {
    "embedding": [],
    "synthesis": [],
    "recognition": [],
    "ocr": ["--quick"],
    "vision": [],
    "translation": ["--count", "16", "--rounds", "1"],
    "generation": ["--rounds", "1"],
    "word2vec": [],
    "openai_chat": ["--rounds", "3"],
    "serving": ["--rounds", "3"],
    "soak": ["--seconds", "60"],
    "fuzz": ["--count", "5000"],
    "gateway": ["--rounds", "1"],
    "ledger": [],
    "cold_start": [],
}


def main() -> None:
    """Run them in processes of their own, so that none warms up for another."""
    wanted = sys.argv[1:] or list(RUNS)
    unknown = sorted(set(wanted) - set(RUNS))
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(RUNS)}.")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = [name for name in wanted if not _ran(name)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _ran(name: str) -> bool:
    print(f"\n== {name}", flush=True)
    command = [sys.executable, str(FOLDER / f"{name}.py"), *RUNS[name]]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    main()
