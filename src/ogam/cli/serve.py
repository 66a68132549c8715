"""``ogam serve``."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated

import msgspec
import typer

from ogam import config as configuration
from ogam.capabilities.base import CAPABILITIES, Capability
from ogam.cli import output
from ogam.cli.options import WrongUseError, new_app
from ogam.config import Config
from ogam.errors import NotConfiguredError
from ogam.extras import install_line

app = new_app()
_COMMAND = "ogam serve"


@app.command()
def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on. Beyond this machine callers need a key: yours, or one "
            "that is made and shown at the first start."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTP port.")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port.")] = None,
    grpc: Annotated[
        bool | None,
        typer.Option(
            "--grpc/--no-grpc",
            help="Speak Google's protocols over gRPC too. Default: where it is installed.",
            show_default=False,
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Listen with TLS too, by an authority made here.")
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Answer only who shows this key; may be given again."),
    ] = None,
    preload: Annotated[
        list[str] | None,
        typer.Option(metavar="CAPABILITY", help='Load its model before answering; "all": all.'),
    ] = None,
) -> None:
    """Answer the SDKs of OpenAI, ElevenLabs, DeepL, Google Vision and Google Speech."""
    started = time.perf_counter()
    config = configuration.load()
    given = {"host": host, "port": port, "grpc_port": grpc_port, "keys": tuple(key or ()) or None}
    own = msgspec.structs.replace(
        config.server, **{name: value for name, value in given.items() if value is not None}
    )
    wanted = _preloaded(config, preload or ())
    from ogam.server import hello, process, run

    folder = own.folder()
    if not own.keys and not run.loopback(own.host):
        from ogam.gateway.keys import first_key

        first = first_key(folder)
        _say(hello.first_key(first) + "\n")
        own = msgspec.structs.replace(own, keys=(first.hashed,))
    config = msgspec.structs.replace(config, server=own)
    authority = None
    if tls:
        from ogam.server.tls import authority as make

        every = own.host in ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
        authority = make(folder / "tls", own.hosts if every else (own.host, *own.hosts))
    missing = grpc is None and find_spec("grpc") is None

    def tell(ports: run.Ports) -> None:
        seconds = time.perf_counter() - started
        _say(hello.text(config, ports, authority, seconds, asked=server.wants_key))
        if missing:
            _say(f"  gRPC is off, as it is not installed: {install_line('grpc')}")

    server = run.Server(config, grpc=not missing if grpc is None else grpc, tls=authority)
    process.serve(
        server,
        preload=wanted,
        tell=tell,
        note=output.note,
        file=configuration.path(os.environ),
    )


def _preloaded(config: Config, asked: list[str] | tuple[str, ...]) -> list[Capability]:
    if unknown := sorted(set(asked) - {"all", *CAPABILITIES}):
        raise WrongUseError(
            f"{unknown[0]!r} is no capability: {', '.join(CAPABILITIES)} or all.", _COMMAND
        )
    for one in asked:
        if one != "all" and not config.routes.of(one).models:
            raise NotConfiguredError(
                f"There is no model to load for {one}.",
                hint=f'Name one in ogam.toml: [routes] {one} = ["engine/model"].',
            )
    return [one for one in CAPABILITIES if one in asked or "all" in asked]


def _say(text: str) -> None:
    """Lines for the user, as they stand: the columns are meant."""
    with suppress(OSError, AttributeError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
