"""Vendors that fail in every way they know, seen through the vendors' own SDKs.

Ogam's routes lead to one scripted vendor, and behind it to ``fake``, or to nothing. Whatever the
vendor does, the client has an answer from the next of the route within its deadline, or its own
SDK's typed error; each request is one row, and what nobody may be billed for is not held.
"""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import deepl
import httpx
import msgspec
import openai
import pytest
from deepl import http_client
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from google.api_core import exceptions as google
from google.cloud import speech_v1, vision
from PIL import Image

from ogam.config import Config, Route, Routes, Server, Step
from ogam.gateway.breaker import FAILURES
from ogam.vendors import VendorSettings

from ..protocols.conftest import KEY, Address, running

# The vendor's and the route's own, in seconds; no SDK gives up before it.
ATTEMPT, DEADLINE, LONGEST = 0.4, 5.0, 15.0
VENDORS = ("openai", "elevenlabs", "deepl", "google_vision", "google_speech")
WORDS = "The quick brown fox."
RETRY_AFTER = 40


class Vendor:
    """Listens on a port of its own, and does to every request what ``does`` says."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.asked = 0
        self.does: Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]] = wrong
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.listen()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def listen(self) -> None:
        async def start() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        self._run(start())

    def deaf(self) -> None:
        """Nobody listens any more: connections are refused."""

        async def stop() -> None:
            assert self._server is not None
            self._server.close()
            for one in self._serving:
                one.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

        self._run(stop())

    def close(self) -> None:
        self.deaf()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._one(reader, writer)
        self._serving.discard(task)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].split("\r\n")[0])
        await reader.readexactly(length)
        self.asked += 1
        await self.does(writer)
        await writer.drain()


def _reply(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    head = [
        f"HTTP/1.1 {status} X",
        "content-type: application/json",
        f"content-length: {len(body) if length is None else length}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


# Every protocol finds a message in it.
_ERROR = (
    b'{"error": {"code": 500, "message": "no", "status": "X", "type": "x"}, '
    b'"message": "no", "detail": {"status": "x", "message": "no"}}'
)


async def hangs(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(600)


async def drips(writer: asyncio.StreamWriter) -> None:
    for one in _reply(200, b" " * 500):
        writer.write(bytes([one]))
        await writer.drain()
        await asyncio.sleep(1)


async def drips_its_body(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(200, b"", length=500))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1)


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(200, b'{"cho', length=500))
    await writer.drain()
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def hangs_up(_: asyncio.StreamWriter) -> None:
    """Reads all, and says nothing."""


async def wrong(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(200, b'{"choices": [{wrong'))


async def another(writer: asyncio.StreamWriter) -> None:
    """JSON, and not what it promised."""
    writer.write(_reply(200, b'["never", 1]'))


async def busy(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(429, _ERROR))


async def busy_for_long(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(429, _ERROR, f"retry-after: {RETRY_AFTER}"))


async def breaks(writer: asyncio.StreamWriter) -> None:
    writer.write(_reply(500, _ERROR))


async def refuses(_: asyncio.StreamWriter) -> None:
    raise AssertionError("nobody listens")


class Setup(NamedTuple):
    """The vendor, Ogam before it with ``fake`` behind it, and Ogam before it alone."""

    vendor: Vendor
    backed: Address
    alone: Address


@contextmanager
def _ogam(vendor: Vendor, folder: Any, *behind: str) -> Iterator[Address]:
    def route(*models: str) -> Route:
        steps = (Step(model=one, timeout=ATTEMPT) for one in models)
        return Route(models=(*steps, *behind), timeout=DEADLINE)

    url = f"http://127.0.0.1:{vendor.port}"
    config = Config(
        routes=Routes(
            generate=route("openai/gpt-4o-mini"),
            speak=route("elevenlabs/eleven_flash_v2_5"),
            translate=route("deepl"),
            see=route("google_vision"),
            transcribe=route("google_speech"),
        ),
        vendors={
            name: VendorSettings(url=f"{url}/v1" if name == "openai" else url, key="k")
            for name in VENDORS
        },
        server=Server(keys=(KEY,), data=str(folder)),
    )
    with running(config, grpc=False) as address:
        yield address


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    vendor = Vendor()
    with (
        _ogam(vendor, tmp_path_factory.mktemp("backed"), "fake") as backed,
        _ogam(vendor, tmp_path_factory.mktemp("alone")) as alone,
    ):
        yield Setup(vendor, backed, alone)
    vendor.close()


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "max_network_retries", 0)


# One request through each SDK: it returns what must not be empty.


def chat(address: Address) -> Any:
    with openai.OpenAI(base_url=f"{address.http}/v1", api_key=KEY, max_retries=0) as sdk:
        said = sdk.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": WORDS}]
        )
        return said.choices[0].message.content


def speech(address: Address) -> Any:
    with httpx.Client(timeout=30) as http:
        sdk = ElevenLabs(base_url=address.http, api_key=KEY, httpx_client=http)
        once: Any = {"max_retries": 0}
        return b"".join(sdk.text_to_speech.convert("ada", text=WORDS, request_options=once))


def translation(address: Address) -> Any:
    sdk = deepl.DeepLClient(KEY, server_url=f"{address.http}/")
    try:
        return sdk.translate_text(WORDS, target_lang="DE").text
    finally:
        sdk.close()


def _options(address: Address) -> dict[str, str]:
    return {"api_endpoint": address.http, "api_key": KEY}


def seeing(address: Address) -> Any:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(buffer, "PNG")
    with vision.ImageAnnotatorClient(transport="rest", client_options=_options(address)) as sdk:
        asked = {
            "image": {"content": buffer.getvalue()},
            "features": [{"type_": vision.Feature.Type.LABEL_DETECTION}],
        }
        found = sdk.batch_annotate_images({"requests": [asked]}, timeout=30, retry=None)
    one = found.responses[0]
    if one.error.code:
        # Vision tells of one picture's failure inside a reply: its own helpers raise this.
        raise google.from_grpc_status(one.error.code, one.error.message)
    return one.label_annotations


def hearing(address: Address) -> Any:
    with speech_v1.SpeechClient(transport="rest", client_options=_options(address)) as sdk:
        settings = {"encoding": "LINEAR16", "sample_rate_hertz": 16_000, "language_code": "en-US"}
        pcm = bytes(range(250)) * 160  # 1.25 s
        return sdk.recognize(
            config=settings, audio={"content": pcm}, timeout=30, retry=None
        ).results


ASKING: dict[str, tuple[Callable[[Address], Any], type[Exception]]] = {
    "openai": (chat, openai.APIStatusError),
    "elevenlabs": (speech, ApiError),
    "deepl": (translation, deepl.DeepLException),
    "google_vision": (seeing, google.GoogleAPICallError),
    "google_speech": (hearing, google.GoogleAPICallError),
}
# What the vendor does, and whether it may ask money for it.
FAULTS = {
    refuses: False,
    hangs: True,
    drips: True,
    drips_its_body: True,
    resets: True,
    hangs_up: True,
    wrong: True,
    another: True,
    busy: False,
    busy_for_long: False,
    breaks: True,
}


def _in_loop(address: Address, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def whole() -> Any:
        books = await address.server.gateway.spending.open()
        await books.flush()
        return await work(books)

    return asyncio.run_coroutine_threadsafe(whole(), address.loop).result(20)


def rows(address: Address) -> list[Any]:
    """Every call, the newest first."""
    return _in_loop(address, lambda books: books.calls(limit=10_000))


def holds(address: Address) -> list[Any]:
    return _in_loop(address, lambda books: books.holds())


def forgotten(address: Address) -> None:
    """Let go of what is held, and ask every vendor again."""

    async def work(books: Any) -> None:
        for one in await books.holds():
            await books.reconcile(one.hold.id, 0)
        address.server.gateway._breakers.clear()

    _in_loop(address, work)


@contextmanager
def doing(setup: Setup, fault: Callable[..., Any]) -> Iterator[None]:
    for one in (setup.backed, setup.alone):
        forgotten(one)
    setup.vendor.does, setup.vendor.asked = fault, 0
    if fault is refuses:
        setup.vendor.deaf()
    try:
        yield
    finally:
        if fault is refuses:
            setup.vendor.listen()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", VENDORS)
def test_the_next_of_the_route_answers_or_the_sdk_raises_its_own(
    setup: Setup, name: str, fault: Any
) -> None:
    ask, typed = ASKING[name]
    billed = FAULTS[fault]
    with doing(setup, fault):
        for address, behind in ((setup.backed, True), (setup.alone, False)):
            before = len(rows(address))
            began = time.monotonic()
            if behind:
                assert ask(address)
            else:
                with pytest.raises(typed):
                    ask(address)
            # The deadline, and what a busy machine adds.
            assert time.monotonic() - began < LONGEST
            made = rows(address)
            assert len(made) == before + 1
            assert made[0].cost == 0
            assert (made[0].status == "ok") is behind
            held = holds(address)
            assert [one.state for one in held] == (["unknown"] if billed else [])
            assert all(one.hold.call == made[0].id and one.hold.bound for one in held)


@pytest.mark.parametrize("name", VENDORS)
def test_after_five_failures_a_vendor_is_asked_no_more_and_no_request_is_lost(
    setup: Setup, name: str
) -> None:
    ask, _ = ASKING[name]
    with doing(setup, breaks):
        before = len(rows(setup.backed))
        for _ in range(FAILURES + 3):
            assert ask(setup.backed)
        assert setup.vendor.asked == FAILURES
        made = rows(setup.backed)[: -before or None]
        assert len(made) == FAILURES + 3
        assert {one.status for one in made} == {"ok"}
        held = holds(setup.backed)
        # One for each time that it was asked, and none twice.
        assert len({one.hold.call for one in held}) == len(held) == FAILURES


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_that_wants_to_be_left_alone_is_and_the_client_is_told_for_how_long(
    setup: Setup, name: str
) -> None:
    ask, typed = ASKING[name]
    with doing(setup, busy_for_long):
        for _ in range(3):
            assert ask(setup.backed)
        assert setup.vendor.asked == 1
        for _ in range(2):
            with pytest.raises(typed):
                ask(setup.alone)
        assert setup.vendor.asked == 2
        assert holds(setup.backed) == holds(setup.alone) == []


def _events(*texts: str, finish: bool) -> bytes:
    said: list[Any] = [{"index": 0, "delta": {"content": one}} for one in texts]
    if finish:
        said.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return b"".join(
        b"data: " + msgspec.json.encode({**chunk, "choices": [one]}) + b"\n\n" for one in said
    )


async def cuts(writer: asyncio.StreamWriter) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n"
    writer.write(head.encode() + _events("The ", "quick ", finish=False))
    await writer.drain()


async def cuts_sound(writer: asyncio.StreamWriter) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 99999\r\n\r\n"
    writer.write(head.encode() + bytes(2000))
    await writer.drain()


@pytest.mark.parametrize("behind", [True, False])
def test_a_stream_of_text_that_is_cut_ends_in_the_sdks_own_error_and_keeps_its_hold(
    setup: Setup, behind: bool
) -> None:
    address = setup.backed if behind else setup.alone
    said = ""
    with (
        doing(setup, cuts),
        openai.OpenAI(base_url=f"{address.http}/v1", api_key=KEY, max_retries=0) as sdk,
    ):
        before = len(rows(address))
        stream = sdk.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": WORDS}], stream=True
        )
        with pytest.raises(openai.APIError), stream:
            for one in stream:
                said += one.choices[0].delta.content or ""
        # Nothing of another model's is appended to what is out already.
        assert said == "The quick "
        made = rows(address)
        assert len(made) == before + 1
        assert (made[0].status, made[0].cost, len(made[0].attempts)) == ("Vendor", 0, 1)
        assert [one.state for one in holds(address)] == ["unknown"]


def test_a_stream_of_sound_that_is_cut_is_no_whole_sound(setup: Setup) -> None:
    address = setup.backed
    with doing(setup, cuts_sound), httpx.Client(timeout=30) as http:
        before = len(rows(address))
        sdk = ElevenLabs(base_url=address.http, api_key=KEY, httpx_client=http)
        once: Any = {"max_retries": 0}
        with pytest.raises(httpx.RemoteProtocolError):
            list(sdk.text_to_speech.stream("ada", text=WORDS, request_options=once))
        made = rows(address)
        assert len(made) == before + 1
        assert (made[0].status, made[0].cost) == ("Vendor", 0)
        assert [one.state for one in holds(address)] == ["unknown"]
