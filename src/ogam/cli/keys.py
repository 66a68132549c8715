"""``ogam keys``: who may call, and how much."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ogam import vendors
from ogam.capabilities.base import CAPABILITIES
from ogam.cli import books, output
from ogam.cli.options import Json, new_app
from ogam.config import Config
from ogam.errors import InvalidRequestError
from ogam.gateway import keys as keys_
from ogam.gateway import periods
from ogam.gateway.policy import Policy, stored

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger

app = new_app()
_PROTOCOLS = get_args(vendors.Speaks)
_Named = Annotated[str, typer.Argument(metavar="KEY", help="Its name or id.", show_default=False)]
_Most = Annotated[int | None, typer.Option(min=1, show_default=False)]


@app.callback()
def keys() -> None:
    """Make, list, revoke and rotate the keys that a server asks for.

    Servers that share the ledger follow within a second.
    """


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.", show_default=False)],
    *,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="AMOUNT/PERIOD", help="Dollars a day, month or ever: 5/day."),
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="Only this; may be given again.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only models that fit, by the client's name or ours: gpt-4o-*."),
    ] = None,
    protocol: Annotated[list[str] | None, typer.Option(help="Only this vendor's.")] = None,
    requests_per_minute: _Most = None,
    tokens_per_minute: _Most = None,
    characters_per_minute: _Most = None,
    audio_seconds_per_minute: _Most = None,
    image_features_per_minute: _Most = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, help="Calls at a time.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="It ends after 30d, 12h, …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed this once, and only its hash is kept.

    From then on every caller of a server on this ledger needs one.
    """
    if not name.strip():
        raise InvalidRequestError("A key needs a name.", hint="ogam keys create web-shop")
    policy = Policy(
        capabilities=books.among(capability or (), CAPABILITIES, "capability"),
        models=tuple(model or ()),
        protocols=books.among(protocol or (), _PROTOCOLS, "protocol"),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        characters_per_minute=characters_per_minute,
        audio_seconds_per_minute=audio_seconds_per_minute,
        image_features_per_minute=image_features_per_minute,
        concurrent=concurrent,
    )
    caps = [books.per_period(one) for one in budget or ()]
    ends = None if expires is None else periods.now() + periods.milliseconds(expires)
    secret, identity = keys_.new_key(), secrets.token_hex(6)

    async def work(ledger: Ledger, _: Config) -> None:
        from ogam.gateway.ledger import Budget, StoredKey

        if any(one.name == name and one.revoked is None for one in await ledger.keys()):
            raise InvalidRequestError(
                f"There is a key {name!r} already.",
                hint="ogam keys rotate gives it a new secret, ogam keys revoke ends it.",
            )
        # Its budgets first, so that it is never without.
        for cap, period in caps:
            await ledger.set_budget(
                Budget(
                    id=f"key:{identity}/{period}",
                    scope="key",
                    subject=identity,
                    period=period,
                    cap=cap,
                )
            )
        await ledger.add_key(
            StoredKey(
                id=identity,
                name=name,
                hash=keys_.hash_key(secret),
                created=periods.now(),
                expires=ends,
                limits=policy.limits,
                allowed=policy.allowed,
            )
        )

    books.run(work)
    _show(secret, identity, name, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the keys, the revoked ones too: what each may do, and whether it is in force."""

    async def work(ledger: Ledger, _: Config) -> list[dict[str, Any]]:
        from ogam.gateway import report

        return report.keys(await ledger.keys(), periods.now())

    found = books.run(work)
    if as_json:
        for one in found:
            output.write_json(one)
        return
    rows = [
        (
            one["id"],
            one["name"],
            one["state"],
            one["created"],
            one["expires"] or "",
            stored(one["allowed"], one["limits"]).words,
        )
        for one in found
    ]
    output.table(("id", "name", "state", "created", "expires", "may"), rows)
    if not found:
        output.note("ogam: there is no key. Make one: ogam keys create NAME")


@app.command()
def revoke(key: _Named) -> None:
    """End a key, at once and for good, with the secrets it had before."""

    async def work(ledger: Ledger, _: Config) -> tuple[str, str]:
        found = books.key_of(await ledger.keys(), key)
        await ledger.revoke_key(found.id)
        return found.id, found.name

    identity, name = books.run(work)
    output.write(f"{identity}\t{name}\trevoked")


@app.command()
def rotate(
    key: _Named,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret works on; 0: not at all.")
    ] = "24h",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="The key ends after 30d, 12h, …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a key a new secret; its id, budgets and limits stay. Printed this once."""
    until = periods.now() + periods.milliseconds(grace)
    ends = None if expires is None else periods.now() + periods.milliseconds(expires)
    secret = keys_.new_key()

    async def work(ledger: Ledger, _: Config) -> tuple[str, str]:
        found = books.key_of(await ledger.keys(), key)
        after = ends if expires is not None else found.expires
        await ledger.rotate_key(found.id, keys_.hash_key(secret), until, after)
        return found.id, found.name

    identity, name = books.run(work)
    _show(secret, identity, name, as_json)
    if not as_json:
        works = f"works on for {grace}" if until > periods.now() else "is none any more"
        output.note(f"ogam: the old one {works}.")


def _show(secret: str, identity: str, name: str, as_json: bool) -> None:
    if as_json:
        output.write_json({"id": identity, "name": name, "key": secret})
        return
    output.write(secret)
    output.note(f"ogam: this is the key of {name} ({identity}). It is not shown again.")
