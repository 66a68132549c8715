"""TLS: who is trusted, and what is said of who is not."""

from __future__ import annotations

import ssl

import pytest

from ogam import net
from ogam.errors import VendorError
from ogam.net import connecting
from ogam.server import tls


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return tls.authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def served(local):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(local.certificate, local.key)
    return context


@pytest.fixture
def trusting(local):
    return ssl.create_default_context(cafile=str(local.authority))


def forever(ok):
    async def script(peer):
        while True:
            _, body = await peer.request()
            await peer.say(ok(body))

    return script


def test_requests_go_over_tls_and_the_connection_is_used_again(run, serve, ok, served, trusting):
    async def main():
        async with serve(forever(ok), ssl=served) as server:
            client = net.Client(server.url, ssl=trusting)
            for size in (10, 2_000_000, 10):
                reply = await client.request("POST", "/", body=b"x" * size, timeout=20)
                assert len(reply.body) == size
                async with client.stream("POST", "/", body=b"x" * size, timeout=20) as answer:
                    assert len(await answer.read()) == size
            client.close()
            return server.connections

    assert run(main) == 1


def test_ssl_cert_file_names_the_authority(run, serve, ok, served, local, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(local.authority))
    connecting.trusted.cache_clear()
    try:

        async def main():
            async with serve(forever(ok), ssl=served) as server:
                client = net.Client(server.url)
                reply = await client.request("POST", "/", body=b"hi", timeout=20)
                client.close()
                return reply.body

        assert run(main) == b"hi"
    finally:
        connecting.trusted.cache_clear()


@pytest.mark.parametrize("stranger", ["authority", "host"])
def test_a_certificate_that_is_not_good_is_refused_before_anything_is_sent(
    run, serve, ok, served, trusting, stranger, monkeypatch
):
    async def main():
        async with serve(forever(ok), ssl=served) as server:
            url, context = server.url, trusting
            if stranger == "authority":
                context = ssl.create_default_context()
            else:
                url = url.replace("localhost", "127.0.0.2")
                monkeypatch.setattr(
                    "ogam.net.connecting.Way._addresses", lambda *_: _answer(["127.0.0.1"])
                )
            client = net.Client(url, ssl=context)
            with pytest.raises(VendorError, match="its certificate is not accepted: ") as caught:
                await client.request("POST", "/", body=b"secret", timeout=20)
            client.close()
            assert server.requests == []
            return caught.value

    error = run(main)
    assert not error.sent
    assert "SSL_CERT_FILE" in error.hint


async def _answer(value):
    return value


def test_a_server_that_speaks_no_tls_is_told(run, serve):
    async def script(peer):
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await peer.closed()

    async def main():
        async with serve(script) as server:
            client = net.Client(server.url.replace("http:", "https:"))
            with pytest.raises(VendorError, match="cannot be reached: TLS failed: ") as caught:
                await client.request("GET", "/", timeout=20)
            return caught.value.sent

    assert run(main) is False


def test_a_body_cut_short_is_an_error_over_tls_too(run, serve, served, trusting):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

    async def main():
        async with serve(script, ssl=served) as server:
            client = net.Client(server.url, ssl=trusting)
            with pytest.raises(VendorError, match="in the middle of its answer") as caught:
                await client.request("GET", "/", timeout=20)
            client.close()
            return caught.value.sent

    assert run(main)


def test_who_leaves_a_stream_over_tls_early_leaves_nothing_behind(run, serve, served, trusting):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.say(bytes(100_000))

    async def main():
        async with serve(script, ssl=served) as server:
            client = net.Client(server.url, ssl=trusting, connections=1)
            for _ in range(2):
                async with client.stream("GET", "/", timeout=20) as answer:
                    await anext(answer)
            client.close()
            return server.connections

    assert run(main) == 2
