"""What is sent, and what arrives."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import net
from ogam.errors import ConfigurationError, InvalidRequestError


class Deaf(asyncio.Transport):
    def write(self, data):
        pass


def echo(ok):
    async def script(peer):
        while True:
            _, body = await peer.request()
            await peer.say(ok(body))

    return script


def test_a_request_is_sent_as_the_caller_means_it(run, serve, ok):
    async def main():
        async with serve(echo(ok)) as server:
            client = net.Client(f"{server.url}/v1/")
            fields = (("authorization", "Bearer secret"), ("X-Odd", "caf\xe9"))
            reply = await client.request("POST", "/chat?a=%20b", headers=fields, body=b"hello")
            client.close()
            return server, reply

    server, reply = run(main)
    ((head, body),) = server.requests
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first == "POST /v1/chat?a=%20b HTTP/1.1"
    assert {
        f"host: 127.0.0.1:{server.port}",
        "accept-encoding: identity",
        "authorization: Bearer secret",
        "X-Odd: caf\xe9",
        "content-length: 5",
    } <= set(lines)
    assert body == reply.body == b"hello"
    assert reply.status == 200


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_bodies_of_any_size_arrive(run, serve, ok, size):
    sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def main():
        async with serve(echo(ok)) as server:
            client = net.Client(server.url)
            replies = [await client.request("POST", "/", body=sent, timeout=20) for _ in range(2)]
            client.close()
            return replies, server.connections

    replies, connections = run(main)
    assert [one.body for one in replies] == [sent, sent]
    assert connections == 1


def test_a_body_that_comes_by_and_by_is_sent_in_chunks_and_its_source_closed(run, serve, ok):
    closed = []

    async def pieces():
        try:
            for piece in (b"one ", b"", b"two ", b"x" * 300_000):
                yield piece
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def main():
        async with serve(echo(ok)) as server:
            client = net.Client(server.url)
            reply = await client.request("POST", "/", body=pieces(), timeout=20)
            await client.request("GET", "/", timeout=20)
            client.close()
            return reply, server.connections

    reply, connections = run(main)
    assert reply.body == b"one two " + b"x" * 300_000
    assert connections == 1
    assert closed == [True]


def test_an_answer_before_the_end_of_the_request_is_taken_and_the_connection_ended(run, serve):
    closed = []

    async def endless():
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)
        finally:
            closed.append(True)

    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            first = await client.request("POST", "/", body=endless(), timeout=20)
            second = await client.request("POST", "/", body=endless(), timeout=20)
            client.close()
            return first, second, server.connections

    first, second, connections = run(main)
    assert (first.status, first.body) == (second.status, second.body) == (413, b"big")
    assert connections == 2
    assert closed == [True, True]


def test_what_goes_wrong_in_the_source_of_a_body_comes_out(run, serve, ok):
    async def broken():
        yield b"some"
        raise KeyError("the microphone")

    async def main():
        async with serve(echo(ok)) as server:
            client = net.Client(server.url)
            with pytest.raises(KeyError, match="the microphone"):
                await client.request("POST", "/", body=broken(), timeout=20)
            assert (await client.request("POST", "/", body=b"next", timeout=20)).body == b"next"
            client.close()
            return [body for _, body in server.requests]

    assert run(main) == [b"next"]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
         b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nhi", 201, b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
         b"3;name=value\r\nabc\r\n1\r\nd\r\n0\r\ntrailer: x\r\n\r\n", 200, b"abcd"),
    ],
)  # fmt: skip
def test_every_way_to_end_a_body_is_understood(say, answer, status, body):
    for pieces in ((answer,), [answer[at : at + 1] for at in range(len(answer))]):
        reply = say(*pieces)
        assert (reply.status, reply.body) == (status, body)


def test_the_answer_to_head_has_no_body_whatever_its_length_says(say):
    reply = say(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", method="HEAD", linger=True)
    assert (reply.status, reply.body, reply.headers.get("Content-Length")) == (200, b"", "500")


def test_headers_are_read_by_any_case_and_joined(say):
    headers = say(b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: b\r\nX-Odd: caf\xe9\r\n\r\n").headers
    assert headers.get("X-ONE") == "a, b"
    assert headers.items() == [("x-one", "a"), ("x-one", "b"), ("x-odd", "caf\xe9")]
    assert (headers.get("none"), headers.get("none", "7"), "x-odd" in headers) == ("", "7", True)


@given(
    body=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 600), max_size=8),
    sizes=st.lists(st.integers(1, 64), min_size=1),
)
def test_a_body_cut_anywhere_arrives_whole(body, cuts, sizes):
    """Through the parser alone: as the socket would hand it over."""
    from ogam.net.connection import Connection

    coded, rest, turn = b"", body, 0
    while rest:
        piece, rest = rest[: sizes[turn % len(sizes)]], rest[sizes[turn % len(sizes)] :]
        coded, turn = coded + b"%x\r\n%b\r\n" % (len(piece), piece), turn + 1
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    edges = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})

    async def main():
        connection = Connection(asyncio.get_running_loop(), "test:1", lambda _: None)
        connection.connection_made(Deaf())
        connection.start(b"", limit=None)
        for start, end in itertools.pairwise(edges):
            assert not connection.done
            connection.data_received(answer[start:end])
        return await connection.body(), connection.release()

    assert asyncio.run(main()) == (body, True)


def test_a_stream_gives_what_came_when_it_came(run, serve):
    step = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            await peer.say(b"%x\r\n%b\r\n" % (len(piece), piece))
            await step.wait()
            step.clear()
        await peer.say(b"0\r\n\r\n")
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            found = []
            async with client.stream("GET", "/", timeout=20) as answer:
                assert (answer.status, answer.headers.get("x-a")) == (200, "b")
                async for chunk in answer:
                    found.append(chunk)
                    step.set()
            assert [chunk async for chunk in answer] == []
            client.close()
            return found

    assert run(main) == [b"one", b"two", b"three"]


def test_a_slow_reader_of_a_stream_holds_the_server_up(run, serve):
    total, sent = 64_000_000, []

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // 1_000_000):
            await peer.say(bytes(1_000_000))
            sent.append(1)
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            async with client.stream("GET", "/", timeout=20) as answer:
                before = -1
                while before != len(sent):  # until nothing moves
                    before = len(sent)
                    await asyncio.sleep(0.2)
                length = sum([len(chunk) async for chunk in answer])
            client.close()
            return before, length

    before, length = run(main)
    assert before < len(sent) == 64
    assert length == total


def test_a_slow_server_holds_the_source_of_a_body_up(run, serve, ok):
    # Far more than a system's buffers for a socket hold: some held 32 MB.
    many = 256
    taken, go = [], asyncio.Event()

    async def pieces():
        for _ in range(many):
            taken.append(1)
            yield bytes(1_000_000)

    async def script(peer):
        await go.wait()
        await peer.request()
        await peer.say(ok())

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url)
            asked = asyncio.ensure_future(client.request("POST", "/", body=pieces(), timeout=20))
            before = -1
            while before != len(taken):
                before = len(taken)
                await asyncio.sleep(0.2)
            go.set()
            await asked
            client.close()
            return before

    assert run(main) < len(taken) == many


@pytest.mark.parametrize(
    "fields",
    [
        [("authorization", "Bearer sk-secret\r\nx-admin: 1")],
        [("authorization", "Bearer sk-secret\n")],
        [("x", "sk-secret\0")],
        [("x", "sk-secret \u2028")],
        [("x y", "sk-secret")],
        [("x\r\ny", "sk-secret")],
        [("", "sk-secret")],
        [("Content-Length", "sk-secret")],
        [("transfer-encoding", "chunked sk-secret")],
        [("HOST", "sk-secret")],
    ],
)
def test_a_header_that_would_be_another_request_is_refused_without_its_value(fields):
    client = net.Client("http://127.0.0.1:9")
    with pytest.raises(InvalidRequestError) as caught:
        client.stream("GET", "/", headers=fields)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/a b"),
        ("GET", "/a\r\nx: y"),
        ("GET", "/a#b"),
        ("GET", "/\u00e9"),
        ("GET", "a"),
        ("GET", "//../x"),
        ("GET", "/voices/.."),
        ("GET", "/voices/%2E%2e/x"),
        ("GET", "/./x?y"),
        ("G ET", "/"),
        ("get", "/"),
        ("", "/"),
    ],
)
def test_a_path_or_method_that_would_be_another_request_is_refused(method, path):
    with pytest.raises(InvalidRequestError):
        net.Client("http://127.0.0.1:9").stream(method, path)


@pytest.mark.parametrize("path", ["", "/", "?a=b", "/a/..b/.c/d..?x=/../", "/v1/x:recognize"])
def test_an_ordinary_path_is_not_refused(path):
    net.Client("http://127.0.0.1:9/v1").stream("GET", path)


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "a.example", "http://", "http://a:99999", "http://u:sk@a", "http://a/?key=sk",
     "http://a b/", "http://[::1", "http://a/#x"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError) as caught:
        net.Client(url)
    assert "sk" not in str(caught.value)
