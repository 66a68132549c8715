"""stream-input on its way to a vendor: SDK, Ogam, Ogam as ElevenLabs; and a vendor that does over
a socket what a test tells it to.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ogam.config import Config, Route, Routes, Server
from ogam.gateway.spending import Spending
from ogam.media import Audio
from ogam.protocols.elevenlabs import passing_socket
from ogam.server import run as server_run

from .conftest import KEY, Address, running
from .passed import _asked, budget, last, open_holds, scripted_vendor, settled, spent
from .scripted import answer
from .test_elevenlabs_passing import FLASH, MULTILINGUAL, VENDOR_KEY
from .test_elevenlabs_passing import config as passing_config
from .test_elevenlabs_socket import old_code, realtime, say, until_closed
from .test_keys import Made

Talk = Callable[[ServerConnection], Awaitable[None]]
SOUND = '{ "audio":"AAAA", "new" : [1.0] }'
FINAL = '{"audio":null,"isFinal":true}'
END = '{"text":""}'
HEADERS = {"xi-api-key": KEY}


class Vendor(NamedTuple):
    """Where it listens, how it was called, what it was sent, and how each talk ended."""

    url: str
    requests: list[Any]
    seen: list[str | bytes]
    closed: list[int | None]


@contextmanager
def vendor(talk: Talk, *, status: int = 0) -> Iterator[Vendor]:
    """A vendor in a loop of its own; with ``status`` it opens no socket."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    told = Vendor("", [], [], [])

    async def talked(socket: ServerConnection) -> None:
        async def recv(*given: Any, **more: Any) -> Any:
            told.seen.append(await ServerConnection.recv(socket, *given, **more))
            return told.seen[-1]

        socket.recv = recv  # type: ignore[method-assign]
        with suppress(ConnectionClosed):
            await talk(socket)
        await socket.wait_closed() if socket.close_code else await socket.close()
        told.closed.append(socket.close_code)

    async def asked(socket: ServerConnection, request: Any) -> Any:
        told.requests.append(request)
        said = {"detail": {"status": "said", "message": f"no, {VENDOR_KEY}"}}
        return socket.respond(status, json.dumps(said)) if status else None  # type: ignore[arg-type]

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def begin() -> Any:
        # Packed, all that waits would be nothing.
        more: Any = {"process_request": asked, "close_timeout": 1, "compression": None}
        return await serve(talked, "127.0.0.1", 0, **more)

    async def end() -> None:
        serving.close()
        await serving.wait_closed()

    serving = run(begin())
    port = serving.sockets[0].getsockname()[1]
    try:
        yield told._replace(url=f"http://127.0.0.1:{port}")
    finally:
        run(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def says(*said: str | bytes, code: int = 1000, reason: str = "") -> Talk:
    """All of it once the text has ended; then it closes."""

    async def talk(socket: ServerConnection) -> None:
        while json.loads(await socket.recv()).get("text") != "":
            pass
        for one in said:
            await socket.send(one)
        await socket.close(code, reason)

    return talk


def at_once(*said: str, code: int, reason: str) -> Talk:
    """The same as soon as a message is there."""

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        for one in said:
            await socket.send(one)
        await socket.close(code, reason)

    return talk


@contextmanager
def before(
    tmp_path: Any, talk: Talk, *, speak: Any = None, status: int = 0
) -> Iterator[tuple[Address, Vendor]]:
    """Ogam before such a vendor."""
    with (
        vendor(talk, status=status) as told,
        running(passing_config(told.url, str(tmp_path), speak=speak), grpc=False) as address,
    ):
        yield address, told


def opened(
    address: Address, query: str = "", *, voice: str = "aB3", headers: Any = HEADERS, **more: Any
) -> Any:
    url = address.http.replace("http", "ws")
    path = f"/v1/text-to-speech/{voice}/stream-input{query}"
    return connect(url + path, additional_headers=headers, **more)


def heard(socket: Any) -> tuple[list[Any], int, str]:
    """All that comes, as it comes; the code and reason of the end."""
    found: list[Any] = []
    try:
        while True:
            found.append(socket.recv(timeout=20))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return found, closed.rcvd.code, closed.rcvd.reason


def talked(address: Address, *messages: str | bytes, query: str = "") -> Any:
    """What comes back when these are sent, and Ogam is done with them."""
    with opened(address, query) as socket:
        for one in messages:
            socket.send(one)
        found = heard(socket)
    over(address)
    return found


def over(address: Address) -> None:
    """Wait until nothing is under way, and see that nothing is left behind."""
    until(lambda: not address.server.app.in_flight)

    async def left() -> list[str]:
        return [str(one.get_coro()) for one in asyncio.all_tasks() if "_Talk" in str(one)]

    assert asyncio.run_coroutine_threadsafe(left(), address.loop).result(20) == []


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def rows(address: Address) -> list[Any]:
    return _asked(address, lambda books: books.calls(limit=50))


def text(count: int, letter: str = "a") -> str:
    return json.dumps({"text": letter * count})


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


def test_one_row_has_all_that_was_sent(tmp_path: Any) -> None:
    messages = [text(1, " "), text(700), text(700, "🙂"), text(2500, "다"), text(3), END]
    count = 1 + 700 + 700 + 2500 + 3
    with before(tmp_path, says(SOUND, FINAL)) as (address, _):
        with budget(address, 10**12):
            talked(address, *messages)
        (row,) = rows(address)
        assert (row.status, row.units.characters, row.cost) == ("ok", count, count * FLASH)
        assert [(one.model, one.outcome) for one in row.attempts] == [
            ("elevenlabs/eleven_flash_v2_5", "answered")
        ]
        assert spent(address) == count * FLASH
        assert not open_holds(address)


def test_a_budget_ends_it_before_the_text_that_does_not_fit(tmp_path: Any) -> None:
    with before(tmp_path, says(SOUND)) as (address, said):
        with budget(address, 1500 * FLASH):
            messages, code, _ = talked(address, text(600), text(400), text(1))
        assert code == 1008 and json.loads(messages[-1])["error"] == "quota_exceeded"
        assert said.seen == [text(600), text(400)]
        # What was sent may be spoken; what was refused is not set aside.
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", 1000 * FLASH)
        assert last(address).status == "Budget"
        settled(address)
        with budget(address, 999 * FLASH):
            messages, code, _ = talked(address, text(1))
        assert json.loads(messages[-1])["error"] == "quota_exceeded"
        assert len(said.requests) == 1
        assert not open_holds(address)


@pytest.mark.parametrize(
    "message",
    [
        '{"text":"a","never_heard_of":1}',
        '{"text":"a","pronunciation_dictionary_locators":[]}',
        '{"text":5}',
    ],
)
def test_what_has_no_provable_cost_is_refused_under_a_budget(tmp_path: Any, message: str) -> None:
    with before(tmp_path, says(SOUND, FINAL)) as (address, said):
        with budget(address, 10**15):
            for sent in ([message], [text(2), message]):
                messages, code, _ = talked(address, *sent)
                assert code == 1008 and "not known" in json.loads(messages[-1])["message"]
            assert said.seen == [text(2)]
            assert json.loads(talked(address, END, query="?new=1")[0][-1])["error"]
            assert len(said.requests) == 1
        settled(address)
        del said.seen[:]
        talked(address, text(2), message, message, END)
        assert said.seen == [text(2), message, message, END]
        assert last(address).status == "ok"
        assert not open_holds(address)


def test_a_message_that_readers_may_differ_about_does_not_go_on(tmp_path: Any) -> None:
    odd = '{"text":"a","text":"aaaa"}'
    with before(tmp_path, says()) as (address, said):
        for sent in ([odd], [text(1), odd]):
            messages, code, _ = talked(address, *sent)
            assert (code, json.loads(messages[-1])["error"]) == (1008, "invalid_parameters")
        assert said.seen == [text(1)]
        (hold,) = open_holds(address)
        assert hold.state == "unknown"


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_vendor_that_does_not_open_is_passed_over(tmp_path: Any, status: int) -> None:
    route = Route(models=("dead/eleven_v3", "elevenlabs/eleven_v3", "fake"), retries=0)
    with before(tmp_path, says(), speak=route, status=status) as (address, said):
        with opened(address, voice="a1" * 10) as socket:
            say(socket, text="Hello there. ")
            say(socket, text="")
            messages, code = until_closed(socket)
        assert (code, messages[-1]["isFinal"]) == (1000, True)
        assert any(one["audio"] for one in messages)
        over(address)
        (row,) = rows(address)
        assert [(one.model, one.outcome) for one in row.attempts] == [
            ("dead/eleven_v3", "failed"),
            ("elevenlabs/eleven_v3", "failed"),
            ("fake", "answered"),
        ]
        assert len(said.requests) == 1 and not said.seen
        assert not open_holds(address)


def test_the_next_vendor_is_asked_the_same(tmp_path: Any) -> None:
    route = Route(models=("dead/eleven_v3", "elevenlabs/eleven_v3"), retries=0)
    with before(tmp_path, says(SOUND, FINAL), speak=route) as (address, said):
        assert talked(address, text(4), END) == ([SOUND, FINAL], 1000, "")
        assert said.seen == [text(4), END]
        (row,) = rows(address)
        assert [one.outcome for one in row.attempts] == ["failed", "answered"]
        assert (row.model, row.cost) == ("elevenlabs/eleven_v3", 4 * MULTILINGUAL)
        assert not open_holds(address)


def test_a_call_whose_client_says_no_more_after_the_vendor_failed_is_written_down(
    tmp_path: Any,
) -> None:
    with before(tmp_path, says()) as (address, _):
        messages, code, _ = talked(address, text(1, " "), END, query="?model_id=gone")
        assert code == 1000 and json.loads(messages[-1])["isFinal"]
        (row,) = rows(address)
        assert [one.model for one in row.attempts] == ["dead/eleven_v3"]
        assert not open_holds(address)


def test_without_another_the_client_reads_why(tmp_path: Any) -> None:
    with before(tmp_path, says(), status=401) as (address, _):
        messages, code, reason = talked(address, text(1))
        assert code == 1008 and json.loads(messages[-1])["error"] == "internal_server_error"
        assert VENDOR_KEY not in messages[-1] + reason
        assert last(address).status == "Vendor"
        assert not open_holds(address)


@pytest.mark.parametrize(("code", "reason"), [(1011, "sorry"), (4001, "odd"), (1005, ""), (0, "")])
def test_a_vendor_that_breaks_off_keeps_its_hold(tmp_path: Any, code: int, reason: str) -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(SOUND)
        if code == 1005:  # it closes, and says nothing
            socket.transport.write(b"\x88\x00")
            await socket.wait_closed()
        elif code:
            await socket.close(code, reason)
        else:
            await asyncio.sleep(0.1)
            socket.transport.abort()

    with before(tmp_path, talk) as (address, _):
        assert talked(address, text(1200)) == ([SOUND], code if code > 1005 else 1011, reason)
        (row,) = rows(address)
        assert (row.status, row.cost) == ("Vendor", 0)
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", 1200 * FLASH)


@pytest.mark.parametrize("name", ["invalid_api_key", "quota_exceeded", "system_busy"])
def test_what_is_wrong_with_the_operators_account_is_not_shown(tmp_path: Any, name: str) -> None:
    said = {"message": f"{VENDOR_KEY} it is", "error": name, "code": 1008}
    with before(tmp_path, at_once(json.dumps(said), code=1008, reason=VENDOR_KEY)) as (address, _):
        messages, code, reason = talked(address, text(5))
        assert [json.loads(one)["error"] for one in messages] == ["internal_server_error"]
        assert code == 1008
        assert VENDOR_KEY not in str(messages) + reason
        row = last(address)
        assert (row.status, row.cost) == ("Vendor", 0)
        assert not open_holds(address)


@pytest.mark.parametrize("name", ["voice_not_found", "text_too_long"])
def test_what_is_wrong_with_the_request_is_read_in_the_vendors_words(
    tmp_path: Any, name: str
) -> None:
    said = f'{{ "message": "No.", "error" :"{name}","code":1008}}'

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.recv()
        await socket.send(said)
        await socket.close(1008, "No.")

    with before(tmp_path, talk) as (address, _):
        assert talked(address, text(5), text(2000)) == ([said], 1008, "No.")
        (row,) = rows(address)
        assert (row.cost, [one.outcome for one in row.attempts]) == (0, ["refused"])
        assert not open_holds(address)


def test_a_refusal_without_a_message_shows_no_key(tmp_path: Any) -> None:
    with before(tmp_path, at_once(code=1008, reason=f"{VENDOR_KEY} it is")) as (address, _):
        assert talked(address, text(5)) == ([], 1008, "*** it is")
        assert last(address).cost == 0
        assert not open_holds(address)


def test_money_that_is_being_set_aside_when_it_ends_is_let_go(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stake = Spending.stake

    async def slow(*given: Any) -> Any:
        found = await stake(*given)
        if given[1]._holds > 1:
            await asyncio.sleep(0.5)
        return found

    monkeypatch.setattr(Spending, "stake", slow)

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(SOUND)
        await asyncio.sleep(0.2)
        await socket.close()

    with before(tmp_path, talk) as (address, said):
        assert talked(address, text(5), text(2000)) == ([SOUND], 1000, "")
        assert said.seen == [text(5)]
        assert spent(address) == last(address).cost == 5 * FLASH
        assert not open_holds(address)


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
