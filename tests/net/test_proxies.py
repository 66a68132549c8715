"""A proxy between: for http it is asked, for https it is looked through."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from ogam import net
from ogam.errors import ConfigurationError, VendorError
from ogam.server import tls


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return tls.authority(tmp_path_factory.mktemp("authority"))


async def vendor(peer):
    while True:
        _, body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def tunnel(peer):
    """A proxy that does what CONNECT asks."""
    head, _ = await peer.request()
    host, port = head.split()[1].decode().rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pour(source, target):
        while data := await source.read(65536):
            target.write(data)

    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(pour(peer.reader, writer), pour(reader, peer.writer))
    writer.close()


def test_https_goes_through_a_tunnel(run, serve, local, monkeypatch):
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(local.certificate, local.key)
    trusting = ssl.create_default_context(cafile=str(local.authority))

    async def main():
        async with serve(vendor, ssl=served) as server, serve(tunnel) as proxy:
            where = proxy.url.replace("//", "//me:p%40ss@")
            monkeypatch.setenv("HTTPS_PROXY", where)
            client = net.Client(server.url, ssl=trusting)
            fields = (("authorization", "Bearer sk-secret"),)
            for _ in range(2):
                reply = await client.request("POST", "/", headers=fields, body=b"hi", timeout=20)
                assert reply.body == b"hi"
            client.close()
            return server, proxy

    server, proxy = run(main)
    assert (server.connections, proxy.connections) == (1, 1)
    ((head, _),) = proxy.requests
    assert head.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % server.port)
    assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in head
    assert b"sk-secret" not in head
    assert b"proxy-authorization" not in server.requests[0][0]


def test_http_is_asked_of_the_proxy(run, serve, monkeypatch):
    async def main():
        async with serve(vendor) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:pass@"))
            client = net.Client("http://vendor.test/v1")
            reply = await client.request("POST", "/x?y=z", body=b"hi", timeout=20)
            client.close()
            return reply.body, proxy.requests[0][0]

    body, head = run(main)
    assert body == b"hi"
    assert head.startswith(b"POST http://vendor.test:80/v1/x?y=z HTTP/1.1\r\nhost: vendor.test\r\n")
    assert b"proxy-authorization: Basic bWU6cGFzcw==\r\n" in head


def test_no_proxy_names_who_is_reached_without(run, serve, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "elsewhere.test,127.0.0.1")

    async def main():
        async with serve(vendor) as server:
            client = net.Client(server.url)
            reply = await client.request("POST", "/", body=b"hi", timeout=20)
            client.close()
            return reply.body

    assert run(main) == b"hi"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 4\r\n\r\nwho?",
            "answered 407",
        ),
        (b"", "closed the connection before it answered"),
        (b"garbage\r\n", "not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\n\r\nnot TLS at all, and long enough to be a record",
            "the connection was closed",
        ),
    ],
)
def test_a_proxy_that_refuses_is_told_and_nothing_was_sent(run, serve, monkeypatch, answer, said):
    async def script(peer):
        await peer.request()
        await peer.say(answer)

    async def main():
        async with serve(script) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:sk-secret@"))
            client = net.Client("https://vendor.test")
            with pytest.raises(VendorError, match="through the proxy 127") as caught:
                await client.request("POST", "/", body=b"hi", timeout=5)
            client.close()
            return caught.value

    error = run(main)
    assert said in error.message
    assert not error.sent
    assert "sk-secret" not in str(error)


@pytest.mark.parametrize("url", ["socks5://u:sk-secret@a:1", "https://a", "http://a:x", "http://"])
def test_a_proxy_of_another_kind_is_refused_at_once(monkeypatch, url):
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="proxy for https://") as caught:
        net.Client("https://vendor.test")
    assert "sk-secret" not in str(caught.value)
