"""``ogam serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ogam import config as configuration
from ogam.capabilities.base import CAPABILITIES, Capability
from ogam.cli import output
from ogam.cli.options import WrongUseError, new_app

app = new_app()
_COMMAND = "ogam serve"


@app.command()
def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Beyond this machine it wants a key.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTP port.")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port.")] = None,
    grpc: Annotated[
        bool, typer.Option("--grpc/--no-grpc", help="Speak Google's protocols over gRPC too.")
    ] = True,
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
    config = configuration.load()
    given = {"host": host, "port": port, "grpc_port": grpc_port, "keys": tuple(key or ()) or None}
    own = msgspec.structs.replace(
        config.server, **{name: value for name, value in given.items() if value is not None}
    )
    config = msgspec.structs.replace(config, server=own)
    asked = set(preload or ())
    if unknown := sorted(asked - {"all", *CAPABILITIES}):
        raise WrongUseError(
            f"{unknown[0]!r} is no capability: {', '.join(CAPABILITIES)} or all.", _COMMAND
        )
    wanted: list[Capability] = [one for one in CAPABILITIES if one in asked or "all" in asked]
    from ogam.server import hello, run

    authority = None
    if tls:
        from platformdirs import user_data_path

        from ogam.server.tls import authority as make

        folder = Path(own.data) if own.data else user_data_path("ogam")
        authority = make(folder / "tls", own.hosts)

    def tell(ports: run.Ports, seconds: float) -> None:
        for line in hello.text(config, ports, authority, seconds).splitlines():
            output.note(line)

    run.serve(config, grpc=grpc, tls=authority, preload=wanted, tell=tell)
