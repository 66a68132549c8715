"""``ogam lock``: writes down what this environment is, compares a machine with it, restores it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ogam import config, registry
from ogam.capabilities.base import CAPABILITIES, ModelRef
from ogam.cli import output
from ogam.cli.options import Json, WrongUseError, new_app
from ogam.errors import InvalidRequestError, OgamError, OutputError
from ogam.models import store

app = new_app()


@app.command()
def lock(
    *,
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER|FILE]",
            help="The folder to write into; with --check and --restore the lock, or its folder. "
            "Left out: here.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare this machine with the lock.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Build an environment from the lock (see --into).")
    ] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="PACKAGE[EXTRA]",
            help="Lock this package, Ogam, and what they need, not all that is installed. "
            "Repeatable.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ENGINE/MODEL",
            help="Lock this model besides those of the routes. Repeatable.",
            show_default=False,
        ),
    ] = None,
    all_models: Annotated[
        bool, typer.Option("--all-models", help="Lock every model that lies in a collection.")
    ] = False,
    seed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="Write down a seed. Repeatable.", show_default=False
        ),
    ] = None,
    build: Annotated[
        bool,
        typer.Option(
            "--build", help="Build a wheel of each local build, into wheels/, and lock that."
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no index; the lock then has no hashes.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that no lock has written.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option(metavar="VENV", help="With --restore: the environment to make."),
    ] = None,
    find_links: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="With --restore: wheels of what no index has. Repeatable.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="With --restore: where copies of the models lie. Repeatable.",
            show_default=False,
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="With --restore: the Python of the environment."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write requirements.txt, environment.yml and ogam.lock, or use them.

    The lock names this Python, machine, every package and every model's files by hash, and says
    which packages could not be installed elsewhere, why, and what to do about it.
    Exit code 1 if --check or --restore finds a difference.
    """
    if check and restore:
        raise WrongUseError("--check and --restore are two things.", "ogam lock")
    if (into is not None or find_links or models or python) and not restore:
        raise WrongUseError(
            "--into, --find-links, --models and --python go with --restore.", "ogam lock"
        )
    if check:
        _check(Path(place or "."), as_json)
    elif restore:
        if into is None:
            raise WrongUseError("--restore needs --into VENV.", "ogam lock")
        _restore(
            Path(place or "."),
            Path(into),
            as_json,
            links=[Path(one) for one in find_links or ()],
            models_from=[Path(one) for one in models or ()],
            python=python or "",
        )
    else:
        _write(
            Path(place or "."),
            _refs(model or (), all_models),
            scope=scope or (),
            seeds=_seeds(seed or ()),
            build=build,
            offline=offline,
            force=force,
            as_json=as_json,
        )


def _write(
    folder: Path,
    refs: Sequence[ModelRef],
    *,
    scope: Sequence[str],
    seeds: dict[str, int],
    build: bool,
    offline: bool,
    force: bool,
    as_json: bool,
) -> None:
    import sys

    from ogam.models.lock import conda, files, take, wheels

    if folder.exists() and not folder.is_dir():
        raise InvalidRequestError(f"{str(folder)!r} is a file.", hint="Name a folder.")
    if not force:
        files.check_ours(folder)
    taken, silent = take.take(refs, folder, scope=scope, seeds=seeds, offline=offline)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{str(folder)!r} cannot be made: {error.strerror}.") from None
    if build:
        taken = wheels.build(taken, folder)
    files.write(taken, folder, conda.installed(Path(sys.prefix)))
    for line in silent:
        output.note(f"ogam: {line}.")
    if taken.unasked:
        output.note(f"ogam: the packages have no hashes: {taken.unasked}.")
    troubled = [one for one in taken.packages if one.trouble]
    if as_json:
        for one in troubled:
            output.write_json(one)
    elif troubled:
        rows = [(one.name, one.version, one.trouble, one.remedy) for one in troubled]
        output.table(("package", "version", "not to be had elsewhere", "what to do"), rows)
    output.note(
        f"ogam: {folder / 'ogam.lock'} holds {len(taken.packages)} packages, {len(troubled)} of "
        f"which could not be installed just anywhere, and {len(taken.models)} models."
    )


def _check(path: Path, as_json: bool) -> None:
    from ogam.models.lock import check, values

    taken = values.read(path)
    beside = path if path.is_dir() else path.parent
    _tell(check.check(taken, beside), as_json, f"This machine is as {path} says")


def _restore(path: Path, into: Path, as_json: bool, **options: Any) -> None:
    from ogam.models.lock import restore, values

    taken = values.read(path)
    file = path / values.LOCK if path.is_dir() else path
    started = time.monotonic()

    def told(text: str) -> None:
        output.note(f"ogam: {text} ({time.monotonic() - started:.0f} s)")

    differences = restore.restore(taken, file, into, told=told, **options)
    _tell(differences, as_json, f"{into} is as {path} says")


def _tell(differences: Sequence[Any], as_json: bool, equal: str) -> None:
    if as_json:
        for one in differences:
            output.write_json(one)
    elif differences:
        output.table(
            ("what", "name", "locked", "here", "what to do"),
            [(one.kind, one.name, one.locked, one.here, one.remedy) for one in differences],
        )
    else:
        output.write(f"{equal}.")
    if differences:
        output.note(f"ogam: {len(differences)} differences.")
        raise typer.Exit(1)


def _refs(named: Sequence[str], all_models: bool) -> list[ModelRef]:
    """The models of the routes, those that were named, and perhaps all in collections."""
    routes = config.load().routes
    found: list[ModelRef] = []
    for capability in CAPABILITIES:
        for name in routes.of(capability).names:
            try:
                found.append(registry.parse(name))
            except OgamError as error:
                output.note(f"ogam: the route {capability} is not locked: {error}")
    found += [registry.parse(name) for name in named]
    for ref in found[len(found) - len(named) :]:
        if ref.folder is None:
            raise InvalidRequestError(
                f"{ref.name} has no files of its own to lock.", hint="Its package is locked."
            )
    if all_models:
        found += [
            registry.parse(f"{one}/{name}")
            for one in store.collections_found()
            for name in store.names(one)
        ]
    return found


def _seeds(given: Sequence[str]) -> dict[str, int]:
    seeds: dict[str, int] = {}
    for one in given:
        name, _, number = one.partition("=")
        if not name or not number.strip().lstrip("-").isdecimal():
            raise WrongUseError(f"--seed {one!r} is not NAME=NUMBER.", "ogam lock")
        seeds[name] = int(number)
    return seeds
