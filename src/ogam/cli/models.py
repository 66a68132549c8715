"""``ogam models``: what lies on this disk."""

from __future__ import annotations

from typing import Annotated

import typer

from ogam.cli import output
from ogam.cli.options import Json, new_app
from ogam.errors import ConfigurationError, UnknownModelError
from ogam.extras import install_line
from ogam.models import store

app = new_app()


@app.callback()
def models() -> None:
    """List, describe and verify the models on this disk."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models that come in collections."""
    names = _all()
    if not names:
        output.note(f"ogam: no model is installed. Run: {install_line('local')}")
    rows: list[tuple[object, ...]] = []
    for name in names:
        collection, model = _split(name)
        manifest = store.manifest(collection, model)
        size = _size(collection, model)
        if as_json:
            output.write_json(manifest, model=name, bytes=size)
        rows.append(
            (
                name,
                manifest.engine,
                ", ".join(manifest.capabilities),
                f"{size / 1e6:.1f} MB",
                manifest.licence,
            )
        )
    if not as_json:
        output.table(("model", "engine", "capabilities", "size", "licence"), rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="collection/model", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show a model's card: what it was trained on, and how good it is."""
    collection, model = _split(name)
    manifest = store.manifest(collection, model)
    if as_json:
        card = store.card(collection, model)
        output.write_json(manifest, model=name, bytes=_size(collection, model), card=card)
        return
    output.markdown(
        store.card(collection, model)
        or f"# {name}\n\n{manifest.summary}\n\nLicence: {manifest.licence}. "
        f"Source: {manifest.source}\n"
    )


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="collection/model; without it, all.", show_default=False)
    ] = None,
) -> None:
    """Check that a model's files are the ones its maker published, by SHA-256."""
    damaged = 0
    for each in [name] if name is not None else _all():
        bad = store.damaged_files(*_split(each))
        damaged += len(bad)
        for file in bad:
            output.error(f"{each}: {file} is missing or damaged. Reinstall its package.")
        if not bad:
            output.table((), [(each, "ok")])
    if damaged:
        raise typer.Exit(1)


def _all() -> list[str]:
    return [f"{one}/{model}" for one in store.collections_found() for model in store.names(one)]


def _split(name: str) -> tuple[str, str]:
    collection, _, model = name.partition("/")
    if store.collection(collection) is None or not model:
        known = _all()
        raise UnknownModelError(
            f"{name!r} is no model in a collection.",
            hint=f"There is {', '.join(known)}." if known else f"Run: {install_line('local')}",
        )
    return collection, model


def _size(collection: str, model: str) -> int:
    """Bytes of all files in the model's folder."""
    folder = store.collection(collection)
    if folder is None:
        raise ConfigurationError(f"The collection {collection!r} is gone.")
    return sum(path.stat().st_size for path in (folder / model).rglob("*") if path.is_file())
