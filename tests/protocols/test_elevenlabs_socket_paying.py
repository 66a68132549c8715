"""stream-input on its way to a vendor: what it costs, what is refused, what a vendor breaks off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from ogam.config import Route
from ogam.gateway.spending import Spending

from .passed import budget, last, open_holds, settled, spent
from .talking import (
    END,
    FINAL,
    SOUND,
    at_once,
    before,
    opened,
    over,
    rows,
    says,
    talked,
    text,
)
from .test_elevenlabs_passing import FLASH, MULTILINGUAL, VENDOR_KEY
from .test_elevenlabs_socket import say, until_closed


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
