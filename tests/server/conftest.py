"""Real servers on free ports of this machine, on the engine ``fake``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from ogam import config as configuration
from ogam.config import Config, Routes
from ogam.media import limits
from ogam.server.run import Ports, Server
from ogam.server.tls import Authority

FAKE = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))


class Running(NamedTuple):
    """A server that runs. ``call`` runs a coroutine in its loop."""

    server: Server
    ports: Ports
    http: httpx.Client
    call: Callable


@contextmanager
def running(
    config: Config, *, grpc: bool = False, tls: Authority | None = None
) -> Iterator[Running]:
    """A server of ``config`` on free ports, stopped at the end."""
    before = limits.current()
    loop = asyncio.new_event_loop()
    free = dict.fromkeys(("port", "grpc_port", "tls_port", "grpc_tls_port"), 0)
    own = msgspec.structs.replace(config.server, **free)
    server = Server(msgspec.structs.replace(config, server=own), grpc=grpc, tls=tls)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        ports = call(server.start())
        with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", timeout=30) as client:
            yield Running(server, ports, client, call)
    finally:
        call(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        limits.use(before)


@pytest.fixture
def serving(tmp_path: Path):
    """Start servers of their own settings; each is stopped when the test ends."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(
            config: Config | None = None,
            *,
            grpc: bool = False,
            tls: Authority | None = None,
            **server,
        ) -> Running:
            config = config or Config(routes=FAKE)
            own = configuration.Server(**{"data": str(tmp_path / "data"), **server})
            whole = msgspec.structs.replace(config, server=own)
            return stack.enter_context(running(whole, grpc=grpc, tls=tls))

        yield start


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests that change nothing."""
    data = str(tmp_path_factory.mktemp("data"))
    names = {"mine/small": "fake"}
    config = Config(routes=FAKE, names=names, server=configuration.Server(data=data))
    with running(config) as server:
        yield server


class Gate:
    """Work that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        """Stand still."""
        self.entered.set()
        assert self.opened.wait(30)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The fake engine's embed and second streamed word wait at this gate."""
    from ogam.engines.fake import FakeEngine

    gate = Gate()
    embed, generate = FakeEngine.embed, FakeEngine.generate_stream

    def slow_embed(self, request):
        gate.wait()
        return embed(self, request)

    def slow_generate(self, request):
        for index, piece in enumerate(generate(self, request)):
            if index == 1:
                gate.wait()
            yield piece

    monkeypatch.setattr(FakeEngine, "embed", slow_embed)
    monkeypatch.setattr(FakeEngine, "generate_stream", slow_generate)
    yield gate
    gate.opened.set()
