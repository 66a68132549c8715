"""What may go wrong, at each stage, and whether the request may have left."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc

import pytest

from ogam import net
from ogam.errors import VendorError

OK = b"HTTP/1.1 200 OK\r\n"
KEY = (("authorization", "Bearer sk-secret"),)


def failure(say, *pieces, **options):
    with pytest.raises(VendorError) as caught:
        say(*pieces, headers=KEY, **options)
    error = caught.value
    assert "127.0.0.1:" in error.message
    assert "sk-secret" not in str(error)
    return error


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ((), "closed the connection before it answered"),
        ((b"HTTP/1.1 2",), "closed the connection before it answered"),
        ((OK + b"content-type: x\r\n",), "closed the connection before it answered"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), "closed the connection before it answered"),
        ((OK + b"content-length: 5\r\n\r\nabcd",), "in the middle of its answer"),
        ((OK + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n",), "in the middle"),
        ((OK + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",), "in the middle"),
        ((OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",), "not HTTP"),
        ((OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",), "not HTTP"),
        ((OK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",), "not HTTP"),
        ((OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",), "not HTTP"),
        ((OK + b"content-length: -3\r\n\r\nabcd",), "not HTTP"),
        ((OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabcd",), "not HTTP"),
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), "not HTTP"),
        ((b"\x16\x03\x01\x00\x00",), "not HTTP"),
        ((OK + b"bad header\r\n\r\n",), "not HTTP"),
        ((OK + b"transfer-encoding: gzip, chunked\r\n\r\n",), "transfer-encoding nobody asked for"),
        ((OK + b"content-encoding: br\r\ncontent-length: 1\r\n\r\nx",), "nobody asked for: 'br'"),
        ((b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx",),
         "another protocol"),
        ((OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n",), "over 65,536 bytes of headers"),
        ([OK] + [b"x: " + b"y" * 1000 + b"\r\n"] * 70, "over 65,536 bytes of headers"),
        ([OK] + [b"x: " + b"y" * 1000] * 300, "over 65,536 bytes of headers"),
        ([b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n"] * 5000, "over 65,536 bytes of headers"),
        ([OK + b"transfer-encoding: chunked\r\n\r\n0\r\n"] + [b"x: " + b"y" * 5000 + b"\r\n"] * 30,
         "over 65,536 bytes of headers"),
    ],
)  # fmt: skip
def test_a_broken_answer_is_an_error_and_may_have_been_billed(say, pieces, said):
    error = failure(say, *pieces)
    assert said in error.message
    assert error.sent


def test_a_server_that_stays_silent_is_given_up(say):
    error = failure(say, linger=True, timeout=0.2)
    assert error.message.endswith("did not answer in 0.2 s.")
    assert error.sent


def test_a_body_that_stalls_is_given_up(say):
    error = failure(say, OK + b"content-length: 5\r\n\r\nabc", linger=True, timeout=0.2)
    assert error.message.endswith("did not finish its answer in 0.2 s.")
    assert error.sent


def test_a_reset_in_the_middle_of_a_body_that_ends_with_the_connection_is_an_error(run, serve):
    async def script(peer):
        await peer.request()
        await peer.say(OK + b"\r\nhalf")
        await asyncio.sleep(0.1)
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        peer.reset()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            async with client.stream("GET", "/", timeout=20) as answer:
                assert await anext(answer) == b"half"
                with pytest.raises(VendorError, match="in the middle of its answer"):
                    await anext(answer)
                with pytest.raises(VendorError, match="in the middle of its answer"):
                    await anext(answer)
            client.close()

    run(main)


@pytest.mark.parametrize("coded", [False, True])
def test_an_answer_longer_than_allowed_is_refused(say, coded):
    head = b"transfer-encoding: chunked" if coded else b"content-length: 1000"
    body = b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n" if coded else b"x" * 1000
    answer = OK + head + b"\r\n\r\n" + body
    assert len(say(answer, max_bytes=1000).body) == 1000
    assert "more than 999 bytes" in failure(say, answer, max_bytes=999).message


def test_a_huge_answer_announced_takes_no_memory(say):
    tracemalloc.start()
    failure(say, OK + b"content-length: 99999999999\r\n\r\n", linger=True)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_each_wait_of_a_stream_is_bounded_by_itself(run, serve):
    async def script(peer):
        await peer.request()
        await peer.say(OK + b"\r\n")
        for _ in range(4):
            await asyncio.sleep(0.2)
            await peer.say(b"x")
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            found = []
            with pytest.raises(VendorError, match=r"did not finish its answer in 0\.6 s"):
                async with client.stream("GET", "/", timeout=0.6) as answer:
                    async for chunk in answer:
                        found.append(chunk)  # noqa: PERF401 - it breaks off
            client.close()
            return b"".join(found)

    assert run(main) == b"xxxx"


def test_who_reads_slowly_is_not_late(run, serve):
    async def script(peer):
        await peer.request()
        await peer.say(OK + b"content-length: 2\r\n\r\n")
        await asyncio.sleep(0.1)  # so that the first is waited for
        await peer.say(b"x")
        await asyncio.sleep(0.9)
        await peer.say(b"y")

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            found = b""
            async with client.stream("GET", "/", timeout=0.4) as answer:
                async for chunk in answer:
                    found += chunk
                    await asyncio.sleep(0.7)
            client.close()
            return found

    assert run(main) == b"xy"


def test_what_came_before_a_break_is_read_before_it_is_told(run, serve):
    async def script(peer):
        await peer.request()
        await peer.say(OK + b"content-length: 9\r\n\r\nhalf")

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            async with client.stream("GET", "/", timeout=20) as answer:
                await asyncio.sleep(0.2)
                assert await anext(answer) == b"half"
                with pytest.raises(VendorError, match="in the middle"):
                    await answer.read()
            client.close()

    run(main)


def test_a_request_that_nobody_reads_is_given_up(run, serve):
    async def script(peer):
        await peer.reader.read(1)
        peer.writer.transport.pause_reading()
        await asyncio.sleep(60)

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            with pytest.raises(VendorError, match="did not answer") as caught:
                await client.request("POST", "/", body=bytes(60_000_000), timeout=0.5)
            client.close()
            return caught.value.sent

    assert run(main)


def test_nobody_there_is_told_as_not_sent(run):
    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            client = net.Client(f"http://127.0.0.1:{taken.getsockname()[1]}")
            with pytest.raises(VendorError, match="cannot be reached: Connection refused") as one:
                await client.request("GET", "/", headers=KEY, timeout=20)
            assert not one.value.sent
        client = net.Client("http://nobody.invalid")
        with pytest.raises(VendorError, match=r"nobody\.invalid:80 cannot be reached: ") as other:
            await client.request("GET", "/", headers=KEY, timeout=20)
        assert not other.value.sent

    run(main)


def test_one_address_that_is_refused_is_not_the_end_and_the_good_one_is_remembered(
    serve, ok, monkeypatch
):
    async def script(peer):
        await peer.request()
        await peer.say(ok(b"ok", b"connection: close"))

    def lookup(host, port, *_, **__):
        assert host == "vendor.test"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    async def main():
        tried = []
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def noted(factory, host, *arguments, **options):
            tried.append(host)
            return await connect(factory, host, *arguments, **options)

        async with serve(script) as server:
            monkeypatch.setattr("socket.getaddrinfo", lookup)
            monkeypatch.setattr(loop, "create_connection", noted)
            client = net.Client(f"http://vendor.test:{server.port}")
            for _ in range(2):
                assert (await client.request("GET", "/", timeout=20)).body == b"ok"
            client.close()
        return tried

    assert asyncio.run(main()) == ["::1", "127.0.0.1", "127.0.0.1"]


def test_a_connection_that_is_never_accepted_is_given_up(run):
    async def main():
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            where = full.getsockname()
            crowd = [socket.socket() for _ in range(4)]
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(where)
            client = net.Client(f"http://127.0.0.1:{where[1]}", connect_timeout=0.3)
            with pytest.raises(VendorError, match=r"no connection in 0\.3 s") as caught:
                await client.request("GET", "/", timeout=20)
            for one in crowd:
                one.close()
            return caught.value.sent

    assert run(main) is False


def test_a_call_that_is_cancelled_ends_its_connection(run, serve):
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.closed()
        gone.set()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=1)
            for _ in range(3):
                gone.clear()
                asked = asyncio.ensure_future(client.request("POST", "/", body=b"x" * 100_000))
                await asyncio.sleep(0.1)
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await asyncio.wait_for(gone.wait(), 20)
            client.close()
            return server.connections

    assert run(main) == 3


def test_who_leaves_a_stream_early_ends_its_connection(run, serve):
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(OK + b"\r\nsome")
        await peer.closed()
        gone.set()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url, connections=1)
            for _ in range(2):
                gone.clear()
                async with client.stream("GET", "/", timeout=20) as answer:
                    await anext(answer)
                await asyncio.wait_for(gone.wait(), 20)
            client.close()
            return server.connections

    assert run(main) == 2
