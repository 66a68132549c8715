"""Real servers on free ports, each in a thread of its own, for the vendors' own SDKs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ogam import config as configuration
from ogam.config import Config, Routes
from ogam.server.run import Ports, Server

KEY = "a-good-key"


class Address(NamedTuple):
    """Where a server listens. ``http`` has no slash at its end; ``grpc`` is host:port. Its
    gateway lives on ``loop``.
    """

    http: str
    grpc: str
    key: str
    server: Server
    loop: asyncio.AbstractEventLoop


@contextmanager
def running(config: Config, *, grpc: bool = True) -> Iterator[Address]:
    """A server of ``config`` that is stopped at the end."""
    loop = asyncio.new_event_loop()
    own = msgspec.structs.replace(config.server, port=0, grpc_port=0)
    server = Server(msgspec.structs.replace(config, server=own), grpc=grpc)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: object) -> object:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    ports = run(server.start())
    assert isinstance(ports, Ports)
    key = own.keys[0] if own.keys else "any"
    try:
        http, rpc = f"http://127.0.0.1:{ports.http}", f"127.0.0.1:{ports.grpc}"
        yield Address(http, rpc, key, server, loop)
    finally:
        run(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="session")
def fake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Every route leads to the engine ``fake``; only KEY is let in."""
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    data = str(tmp_path_factory.mktemp("data"))
    config = Config(
        routes=every,
        server=configuration.Server(keys=(KEY,), data=data),
    )
    with running(config) as address:
        yield address


@pytest.fixture(scope="session")
def starter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The routes as they ship; everyone is let in."""
    data = str(tmp_path_factory.mktemp("data"))
    config = Config(server=configuration.Server(data=data))
    with running(config) as address:
        yield address


@pytest.fixture(scope="session")
def samples() -> Path:
    """The samples of the repository."""
    return Path(__file__).parents[2] / "samples"
