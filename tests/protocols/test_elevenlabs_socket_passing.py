"""stream-input on its way to a vendor: SDK, Ogam, Ogam as ElevenLabs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ogam.config import Config, Route, Routes, Server
from ogam.media import Audio
from ogam.protocols.elevenlabs import passing_socket
from ogam.server import run as server_run

from .conftest import KEY, Address, running
from .passed import last, open_holds, scripted_vendor
from .scripted import answer
from .talking import (
    END,
    FINAL,
    SOUND,
    before,
    heard,
    opened,
    over,
    says,
    talked,
    text,
    until,
    vendor,
)
from .test_elevenlabs_passing import FLASH, VENDOR_KEY
from .test_elevenlabs_passing import config as passing_config
from .test_elevenlabs_socket import old_code, realtime, say, until_closed
from .test_keys import Made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Ogam before Ogam."""
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    own = Server(keys=(VENDOR_KEY,), data=str(tmp_path_factory.mktemp("vendor")))
    with running(Config(routes=every, server=own), grpc=False) as behind:
        made = passing_config(behind.http, str(tmp_path_factory.mktemp("data")))
        with running(made, grpc=False) as address:
            yield address


def test_messages_go_and_come_byte_for_byte(tmp_path: Any) -> None:
    asked = ['{ "text" : "안녕 ", "new":{"a":[1e3, 1.50]} }', b'{"text" :"b\\u0061"}', END]
    told = [SOUND, b"\x00\xff", FINAL]
    with before(tmp_path, says(*told, code=1000, reason="fine")) as (address, said):
        query = "?output_format=pcm_8000&new=%20a+b&model_id=eleven_flash_v2_5&x"
        assert talked(address, *asked, query=query) == (told, 1000, "fine")
        assert said.seen == asked
        assert said.requests[0].path == f"/v1/text-to-speech/aB3/stream-input{query}"
        row = last(address)
        assert (row.model, row.units.characters) == ("elevenlabs/eleven_flash_v2_5", 5)


def test_keys_of_this_server_go_no_further(tmp_path: Any) -> None:
    first = f'{{"text":" ","xi_api_key":"{KEY}","authorization":null,"new":1.50}}'
    with before(tmp_path, says()) as (address, said):
        for query in ("", f"?authorization=Bearer%20{KEY}&a=b", f"?a=b&%61uthorization={KEY}"):
            with opened(address, query, headers={}) as socket:
                socket.send(first)
                socket.send(f'{{"text":"","authorization":"Bearer {KEY}"}}')
                assert heard(socket)[1] == 1000
    for request in said.requests:
        assert KEY not in request.path and "uthorization" not in request.path
        assert request.headers["xi-api-key"] == VENDOR_KEY
        assert KEY not in str(request.headers)
    for request in said.requests[1:]:
        assert request.path.endswith("?a=b&model_id=eleven_flash_v2_5")
    assert said.seen == ['{"text":" ","new":1.50}', END] * 3


def test_nothing_reaches_the_vendor_without_a_key(tmp_path: Any) -> None:
    with before(tmp_path, says()) as (address, said):
        with opened(address, headers={}) as socket:
            say(socket, text="Hello.", xi_api_key="wrong")
            messages, code = until_closed(socket)
        assert (code, messages[0]["error"]) == (1008, "invalid_api_key")
        assert not said.requests


@pytest.mark.parametrize(
    ("step", "query", "sent", "model"),
    [
        ("elevenlabs/eleven_v3", "", "?model_id=eleven_v3", "/eleven_v3"),
        ("elevenlabs/eleven_v3", "?model_id=eleven_v2&a", "?model_id=eleven_v3&a", "/eleven_v3"),
        ("elevenlabs", "?a=%41&model_id=", "?a=%41", ""),
        ("elevenlabs", "?model_id=own", "", ""),
        ("elevenlabs", "?model_id=eleven%5Fv3", "?model_id=eleven%5Fv3", "/eleven_v3"),
        ("elevenlabs/*", "?model_id=eleven_v3", "?model_id=eleven_v3", "/eleven_v3"),
        ("elevenlabs", "?model_id=mine", "?model_id=eleven_v3", "/eleven_v3"),
        # Two of them could be read the other way round.
        ("elevenlabs", "?model_id=dear&model_id=eleven_v3", "?model_id=eleven_v3", "/eleven_v3"),
    ],
)
def test_the_routes_model_stands_before_the_clients(
    tmp_path: Any, step: str, query: str, sent: str, model: str
) -> None:
    with before(tmp_path, says(), speak=(step,)) as (address, said):
        assert talked(address, END, query=query)[1] == 1000
        assert said.requests[0].path == f"/v1/text-to-speech/aB3/stream-input{sent}"
        assert last(address).model == f"elevenlabs{model}"


@old_code
def test_the_sdk_hears_the_vendor_behind(gateway: Address) -> None:
    texts = ["Hello there, ", "this is ", "a test. ", "Bye now."]
    sound = realtime(gateway, texts)
    assert Audio(sound).duration == pytest.approx(30 * 0.05, abs=0.15)
    over(gateway)
    row = last(gateway)
    # The SDK begins with a space, and ends each of its pieces with one.
    count = row.units.characters
    assert len("".join(texts)) <= count <= len("".join(texts)) + 8
    assert (row.protocol, row.capability, row.status) == ("elevenlabs", "speak", "ok")
    assert (row.model, row.cost) == ("elevenlabs/eleven_flash_v2_5", count * FLASH)
    assert not open_holds(gateway)


@old_code
def test_the_sdk_reads_the_vendors_own_error(gateway: Address) -> None:
    from elevenlabs.core.api_error import ApiError

    with pytest.raises(ApiError) as found:
        realtime(gateway, ["Hello. "], voice="no_such_voice")
    assert found.value.body["error"] == "voice_not_found"
    over(gateway)
    assert last(gateway).cost == 0
    assert not open_holds(gateway)


def test_a_client_that_leaves_ends_the_vendors_socket(tmp_path: Any) -> None:
    async def talk(socket: ServerConnection) -> None:
        while True:
            await socket.recv()
            await socket.send(SOUND)

    with before(tmp_path, talk) as (address, said):
        with opened(address) as socket:
            socket.send(text(3))
            assert socket.recv(timeout=20) == SOUND
            assert not said.closed
        over(address)
        until(lambda: said.closed)
        assert said.closed == [1000]
        (hold,) = open_holds(address)
        assert hold.state == "unknown"


def test_a_client_that_leaves_once_all_is_said_pays_for_it(tmp_path: Any) -> None:
    async def talk(socket: ServerConnection) -> None:
        while json.loads(await socket.recv())["text"]:
            pass
        await socket.send(SOUND)
        await socket.send(FINAL)
        await socket.wait_closed()

    with before(tmp_path, talk) as (address, _):
        with opened(address) as socket:
            socket.send(text(3))
            socket.send(END)
            assert [socket.recv(timeout=20), socket.recv(timeout=20)] == [SOUND, FINAL]
        over(address)
        assert last(address).cost == 3 * FLASH
        assert not open_holds(address)


def test_a_client_that_does_not_read_stops_the_vendor(tmp_path: Any) -> None:
    sent = []

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        for _ in range(2000):
            await socket.send("a" * 65_536)
            sent.append(1)

    with before(tmp_path, talk) as (address, _):
        with opened(address, compression=None, max_queue=1, close_timeout=0.5) as socket:
            socket.send(text(1))
            until(lambda: len(sent) > 1)
            time.sleep(1)
            count = len(sent)
            assert count < 1000
            time.sleep(0.5)
            assert len(sent) == count
        over(address)


def test_a_vendor_that_does_not_read_stops_the_client(tmp_path: Any) -> None:
    go = threading.Event()

    async def talk(socket: ServerConnection) -> None:
        await asyncio.to_thread(go.wait, 20)
        await socket.send(SOUND)
        await socket.close()

    sent = []

    def write(socket: Any) -> None:
        with suppress(ConnectionClosed):
            for _ in range(2000):
                socket.send(json.dumps({"text": "a", "voice_settings": {"x": "a" * 65_536}}))
                sent.append(1)

    with before(tmp_path, talk) as (address, _):
        with opened(address, compression=None) as socket:
            writing = threading.Thread(target=write, args=(socket,))
            writing.start()
            time.sleep(1.5)
            count = len(sent)
            assert count < 1000
            go.set()
            assert heard(socket)[1] == 1000
            writing.join(20)
        over(address)


def test_a_server_that_stops_waits_for_no_talk(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_run, "GRACE", 0.2)

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.wait_closed()

    with ExitStack() as client, vendor(talk) as said:
        with running(passing_config(said.url, str(tmp_path)), grpc=False) as address:
            socket = client.enter_context(opened(address))
            socket.send(text(1))
            until(lambda: said.seen)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        until(lambda: said.closed)
        assert heard(socket)[1] == 1012


def test_a_client_that_falls_silent_for_too_long_is_left(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing_socket, "LONGEST_IDLE", 0.4)

    async def talk(socket: ServerConnection) -> None:
        if json.loads(await socket.recv())["text"]:
            await socket.wait_closed()
            return
        for _ in range(6):
            await asyncio.sleep(0.2)
            await socket.send(SOUND)

    with before(tmp_path, talk) as (address, said):
        messages, code, _ = talked(address, text(1))
        assert (code, json.loads(messages[-1])["error"]) == (1008, "input_timeout_exceeded")
        until(lambda: said.closed)
        # Who has said all still listens.
        assert talked(address, END) == ([SOUND] * 6, 1000, "")


@pytest.mark.parametrize("keeps", [{"record": True}, {"cache": "exact"}])
def test_a_route_that_keeps_takes_the_ordinary_way(tmp_path: Any, keeps: Any) -> None:
    route = Route(models=("elevenlabs/eleven_v3", "fake"), retries=0, **keeps)
    with scripted_vendor(answer(503), answer(503)) as said:
        made = passing_config(said.url, str(tmp_path), speak=route)
        with running(made, grpc=False) as address:
            with opened(address, voice="ada") as socket:
                say(socket, text="Hello there. ")
                say(socket, text="")
                messages, code = until_closed(socket)
            assert code == 1000 and any(one["audio"] for one in messages)
            over(address)
            assert last(address).engine == "fake"
        # The vendor is asked over HTTP: for its voices first.
        assert said.asked[0].path == "/v1/voices"
        assert all("stream-input" not in one.path for one in said.asked)


def test_the_limits_of_a_key_hold_for_the_whole_talk(tmp_path: Any) -> None:
    with before(tmp_path, says(SOUND, FINAL)) as (address, said):
        made = Made(address)
        one, slow = made.key(concurrent=1), made.key(characters_per_minute=5)
        with opened(address, headers={"xi-api-key": one}) as socket:
            socket.send(text(1))
            until(lambda: said.seen)
            assert _refused(address, one) == "concurrent_limit_exceeded"
            socket.send(END)
            assert heard(socket)[1] == 1000
        over(address)
        for key in (one, slow):
            with opened(address, headers={"xi-api-key": key}) as socket:
                socket.send(text(3000))
                socket.send(END)
                assert heard(socket)[1] == 1000
            over(address)
        assert _refused(address, slow) == "rate_limit_exceeded"
        models = made.key(models=("espeak/*",))
        assert _refused(address, models) == "missing_permissions"
        assert len(said.requests) == 3


def _refused(address: Address, key: str) -> str:
    with opened(address, headers={"xi-api-key": key}) as socket:
        say(socket, text="Hello there. ")
        messages, code = until_closed(socket)
    assert code == 1008
    return messages[-1]["error"]
