"""``ogam doctor``: what works here, what does not, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import struct
import sys
import time
import zlib
from typing import Annotated, Any, Literal

import typer

from ogam import __version__, config, registry
from ogam.capabilities.base import CAPABILITIES, Capability, Value
from ogam.cli import output
from ogam.cli.options import Json, new_app
from ogam.client import Ogam
from ogam.errors import OgamError
from ogam.extras import install_line
from ogam.media import wav

app = new_app()
_STYLES = {"ready": "green", "not configured": "yellow", "broken": "bold red"}


class Check(Value, frozen=True, kw_only=True):
    """How one model of a route does. ``fix`` is what to do; ``probe_ms`` how long a try took."""

    capability: Capability
    model: str = ""
    engine: str = ""
    state: Literal["ready", "not configured", "broken"]
    reason: str = ""
    fix: str = ""
    probe_ms: int | None = None


@app.command()
def doctor(
    probe: Annotated[
        bool, typer.Option("--probe", help="Try each model that is ready on a tiny input.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what is ready on this machine, and how to mend the rest.

    Exit code 1 if a model that the settings name does not work.
    """
    settings = config.load()
    checks = [
        check
        for capability in CAPABILITIES
        for check in _checks(capability, settings.routes.of(capability).names)
    ]
    if probe:
        with Ogam(settings) as ogam:
            checks = [_probed(ogam, check) if check.state == "ready" else check for check in checks]
    about = {
        "ogam": __version__,
        "python": f"{platform.python_version()} {sys.executable}",
        "platform": platform.platform(),
        "config": _config_file(),
        "threads": settings.threads,
        "packages": _packages(),
    }
    if as_json:
        output.write_json({**about, "checks": checks})
    elif output.on_terminal(sys.stdout):
        _draw(about, checks)
    else:
        _print(about, checks)
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


def _checks(capability: Capability, models: tuple[str, ...]) -> list[Check]:
    if not models:
        return [
            Check(
                capability=capability,
                state="not configured",
                reason="no model is named for it",
                fix=f'in ogam.toml: [routes] {capability} = ["engine/model"], '
                "or give --model engine/model",
            )
        ]
    return [_check(capability, model) for model in models]


def _check(capability: Capability, model: str) -> Check:
    engine, reason, fix = "", "", ""
    try:
        name = registry.parse(model).engine
        cls = registry.engine_class(name)
        engine = name
        missing = registry.missing_modules(cls)
        if missing:
            reason = f"not installed: {', '.join(missing)}"
            fix = install_line(cls.extra)
        elif capability not in cls.capabilities:
            reason = f"it cannot {capability}"
            fix = f"name another model: [routes] {capability} in ogam.toml"
    except OgamError as error:
        reason, fix = error.message, error.hint
    return Check(
        capability=capability,
        model=model,
        engine=engine,
        state="broken" if reason else "ready",
        reason=reason,
        fix=fix,
    )


def _probed(ogam: Ogam, check: Check) -> Check:
    started = time.perf_counter()
    state, reason, fix = check.state, "", ""
    try:
        _try(ogam, check.capability, check.model)
    except OgamError as error:
        state, reason, fix = "broken", error.message, error.hint
    return Check(
        capability=check.capability,
        model=check.model,
        engine=check.engine,
        state=state,
        reason=reason,
        fix=fix,
        probe_ms=round((time.perf_counter() - started) * 1000),
    )


def _try(ogam: Ogam, capability: Capability, model: str) -> None:
    if capability == "generate":
        ogam.generate("Hello", model=model, max_tokens=1)
    elif capability == "speak":
        ogam.speak("Hello", model=model)
    elif capability == "see":
        ogam.see(_white_png(64), model=model)
    elif capability == "transcribe":
        ogam.transcribe(wav.write(bytes(32_000), 16_000, 1), model=model)
    elif capability == "translate":
        ogam.translate("Hello", "de", model=model)
    elif capability == "classify":
        ogam.classify("Hello", ("greeting", "question"), model=model)
    else:
        ogam.embed("Hello", model=model)


def _white_png(side: int) -> bytes:
    """A white square (W3C PNG specification, 8-bit grey), made without a picture library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        ended = kind + data
        return struct.pack(">I", len(data)) + ended + struct.pack(">I", zlib.crc32(ended))

    rows = (b"\x00" + b"\xff" * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _config_file() -> str:
    found = config.path(os.environ)
    return str(found) if found else "none (the defaults)"


def _packages() -> dict[str, str]:
    """The packages that Ogam and its local engines use, with the version that is installed."""
    try:
        wanted = importlib.metadata.requires("ogam") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    names: list[str] = []
    for line in wanted:
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", line)
        name = re.match(r"[\w.-]+", line)
        if name and (extra is None or extra[1] == "local"):
            names.append(name[0])
    return {name: _version(name) for name in sorted(set(names))}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _about_lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    return [(key, packages if key == "packages" else str(value)) for key, value in about.items()]


def _row(check: Check) -> tuple[str, ...]:
    state = check.state if check.probe_ms is None else f"{check.state}, {check.probe_ms} ms"
    return (check.capability, check.model, check.engine, state, check.reason, check.fix)


def _print(about: dict[str, Any], checks: list[Check]) -> None:
    for key, value in _about_lines(about):
        output.write(f"{key}\t{value}")
    output.table((), [_row(check) for check in checks])


def _draw(about: dict[str, Any], checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for key, value in _about_lines(about):
        facts.add_row(key, Text(value))
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("capability", "model", "engine", "state"):
        drawn.add_column(column, overflow="fold")
    for check in checks:
        capability, model, engine, state, *_ = _row(check)
        drawn.add_row(capability, Text(model), engine, Text(state, _STYLES[check.state]))
    console.print(facts)
    console.print()
    console.print(drawn)
    # Each on a line of its own, below the table, so that a command can be copied whole.
    for check in checks:
        if check.reason:
            name = " ".join(part for part in (check.capability, check.model) if part)
            console.print()
            console.print(Text(f"{name}: {check.reason}", _STYLES[check.state]), soft_wrap=True)
            console.print(Text(f"  {check.fix}"), soft_wrap=True)
