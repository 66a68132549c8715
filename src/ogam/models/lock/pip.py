"""Runs pip, the one of a given Python; its failure is one line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ogam.errors import EngineError, OutputError


def run(python: Path | str, *arguments: str, hint: str = "") -> None:
    """Run pip with the user's own configuration; EngineError tells its last error."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = call(command)
    if done.returncode:
        raise EngineError(f"pip failed: {_reason(done)}", hint=hint)


def call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, quietly; OutputError where it is not there."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise OutputError(f"{command[0]!r} does not run: {error.strerror or error}.") from None


def build_wheel(python: Path | str, folder: Path, into: Path) -> None:
    """Build a wheel from a folder of sources into the folder ``into``."""
    run(
        python,
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(into),
        str(folder),
        hint=f"Build it by hand: pip wheel --no-deps {folder}; then name its folder: --find-links.",
    )


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    # The last error is often "No matching distribution", the one before it says of what.
    return " ".join(errors[-2:]) or (lines[-1] if lines else f"exit code {done.returncode}") + "."
