"""Connections: used again, never when they have ended, bounded, waited for in turn."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from ogam import net
from ogam.errors import VendorError


def forever(ok, *more):
    async def script(peer):
        while True:
            await peer.request()
            await peer.say(ok(b"ok", *more))

    return script


def test_a_connection_is_used_again(run, serve, ok):
    async def main():
        async with serve(forever(ok)) as server:
            client = net.Client(server.url)
            for _ in range(5):
                await client.request("GET", "/", timeout=20)
                async with client.stream("GET", "/", timeout=20) as answer:
                    assert await answer.read() == b"ok"
            client.close()
            return server.connections

    assert run(main) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Oh\r\ncontent-length: 4\r\n",
    ],
)
def test_one_that_cannot_be_trusted_with_another_request_is_not(run, serve, answer):
    async def script(peer):
        while True:
            await peer.request()
            await peer.say(answer)

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            for _ in range(3):
                assert (await client.request("GET", "/", timeout=20)).body == b"ok"
            client.close()
            return server.connections

    assert run(main) == 3


@pytest.mark.parametrize("turns", [True, False])
def test_one_that_the_server_ended_meanwhile_is_not_used(run, serve, ok, turns):
    """Also where the loop has not been told yet: ``turns`` gives it the time to be."""
    ended = threading.Event()

    async def main():
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def script(peer):
            await peer.request()
            await peer.say(ok())
            await asyncio.sleep(0.1)
            peer.reset()
            await asyncio.sleep(0.1)
            ended.set()

        serving = serve(script)
        server = asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(20)
        client = net.Client(server.url)
        for _ in range(3):
            ended.clear()
            assert (await client.request("GET", "/", timeout=20)).body == b"ok"
            if turns:
                await asyncio.to_thread(ended.wait, 20)
            else:
                ended.wait(20)
        client.close()
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
        return server.connections

    assert run(main) == 3


def test_one_that_lay_too_long_is_ended(run, serve, ok, monkeypatch):
    monkeypatch.setattr("ogam.net.connection.IDLE_SECONDS", 0.1)
    monkeypatch.setattr("ogam.net.pool.IDLE_SECONDS", 0.2)
    ends = asyncio.Semaphore(0)

    async def script(peer):
        await peer.request()
        await peer.say(ok())
        await peer.closed()
        ends.release()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            await asyncio.gather(*(client.request("GET", "/", timeout=20) for _ in range(3)))
            for _ in range(3):
                await ends.acquire()
            await client.request("GET", "/", timeout=20)
            client.close()
            return server.connections

    assert run(main) == 4


def test_nothing_is_sent_twice(run, serve):
    async def script(peer):
        await peer.request()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            with pytest.raises(VendorError, match="before it answered") as caught:
                await client.request("POST", "/", body=b"pay", timeout=20)
            client.close()
            return len(server.requests), caught.value.sent

    assert run(main) == (1, True)


def test_no_more_connections_are_made_than_allowed_and_who_waits_is_served_in_turn(run, serve, ok):
    most, now = [0], [0]
    order = []

    async def script(peer):
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            while True:
                await peer.request()
                await asyncio.sleep(0.01)
                await peer.say(ok())
        finally:
            now[0] -= 1

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=2)

            async def one(at):
                await client.request("GET", f"/{at}", timeout=20)
                order.append(at)

            await asyncio.gather(*(one(at) for at in range(20)))
            client.close()
            return [int(head.split()[1][1:]) for head, _ in server.requests]

    asked = run(main)
    assert most == [2]
    assert all(abs(at - place) <= 1 for place, at in enumerate(asked))
    assert sorted(order) == list(range(20))


def test_the_wait_for_a_connection_counts_and_its_end_is_not_sent(run, serve, ok):
    free = asyncio.Event()

    async def script(peer):
        while True:
            await peer.request()
            await free.wait()
            await peer.say(ok())

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=1)
            first = asyncio.ensure_future(client.request("GET", "/", timeout=20))
            await asyncio.sleep(0.1)
            waiting = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(3)]
            with pytest.raises(VendorError, match=r"All 1 connections .* in use for 0\.2 s") as one:
                await client.request("GET", "/", timeout=0.2)
            assert not one.value.sent
            waiting[1].cancel()
            free.set()
            await first
            done = await asyncio.gather(*waiting, return_exceptions=True)
            client.close()
            return [type(one).__name__ for one in done], len(server.requests)

    assert run(main) == (["Reply", "CancelledError", "Reply"], 3)


def test_a_storm_of_cancels_and_breaks_loses_no_connection(run, serve, ok):
    """Every slot can still be had after it, and none is had twice."""
    now, most = [0], [0]

    async def script(peer):
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            for _ in range(1000):
                head, _ = await peer.request()
                at = int(head.split()[1][1:])
                await asyncio.sleep((at % 3) * 0.003)
                if at % 5 == 0:
                    return
                await peer.say(ok() if at % 7 else ok()[:-1])
        finally:
            now[0] -= 1

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=3)

            async def one(at):
                timeout = 0.004 if at % 11 == 0 else 20
                if at % 7 == 0:
                    timeout = 0.05
                await client.request("GET", f"/{at}", timeout=timeout)

            tasks = [asyncio.ensure_future(one(at)) for at in range(300)]
            for at in range(0, 300, 4):
                tasks[at].cancel()
                await asyncio.sleep(0.001)
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(client.request("GET", "/1", timeout=20) for _ in range(9)))
            pool = client.pool()
            slots, idle = pool._slots, len(pool._idle)
            client.close()
            return slots, idle

    slots, idle = run(main)
    assert slots == idle <= 3
    # The server hears of an end a moment after the client has made the next.
    assert most[0] <= 3 + 3


@pytest.mark.parametrize("where", ["loop", "thread", "after", "never"])
def test_closing_is_silent_wherever_it_is_done(run, serve, ok, where, recwarn, capfd):
    async def main():
        async with serve(forever(ok)) as server:
            client = net.Client(server.url)
            await client.request("GET", "/", timeout=20)
            if where == "loop":
                client.close()
            if where == "thread":
                await asyncio.to_thread(client.close)
            return client

    client = run(main)
    if where == "after":
        client.close()
        client.close()
    del client
    gc.collect()
    assert [str(one.message) for one in recwarn] == []
    assert "Event loop is closed" not in capfd.readouterr().err


def test_closing_ends_what_is_under_way_and_refuses_what_comes_after(run, serve):
    async def script(peer):
        await peer.request()
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=1)
            asked = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(2)]
            await asyncio.sleep(0.1)
            client.close()
            client.close()
            first, second = await asyncio.gather(*asked, return_exceptions=True)
            with pytest.raises(VendorError, match="were closed") as third:
                await client.request("GET", "/")
            return [type(one) for one in (first, second)], first.sent, second.sent, third.value.sent

    assert run(main) == ([VendorError, VendorError], True, False, False)


def test_another_loop_may_have_it_once_the_first_is_closed(run, serve, ok):
    client = net.Client("http://127.0.0.1:9")

    async def main():
        async with serve(forever(ok)) as server:
            client._port = server.port
            return (await client.request("GET", "/", timeout=20)).status

    assert (run(main), run(main)) == (200, 200)
    client.close()

    async def other(own):
        with pytest.raises(RuntimeError, match="another event loop"):
            await own.request("GET", "/")

    async def two():
        async with serve(forever(ok)) as server:
            own = net.Client(server.url)
            await own.request("GET", "/", timeout=20)
            await asyncio.to_thread(asyncio.run, other(own))
            own.close()

    run(two)
