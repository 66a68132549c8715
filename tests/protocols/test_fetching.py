"""What a client names by URL: fetched where it is allowed, and never from a private place."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ogam.errors import FetchError, InvalidRequestError, TooLargeError, UnsupportedOptionError
from ogam.protocols import fetching
from ogam.protocols.fetching import fetch, is_public, matches


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Host"]))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/none":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/drip":
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.02)
            return
        self.wfile.write(b"x" * 1000)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(site, path, host="public.example", allowed=("*",), most=2000, public=lambda _: True):
    """As if the names led to the site, which a test takes for a public place."""
    url = f"http://{host}:{site.server_port}{path}"
    return fetch(url, allowed, most, resolve=lambda *_: ["127.0.0.1"], public=public)


def test_it_is_fetched_from_the_address_that_was_checked_under_its_own_name(site):
    assert fetched(site, "/a b?c=d") == b"x" * 1000
    assert site.seen == [("/a%20b?c=d", f"public.example:{site.server_port}")]


def test_without_permission_nothing_is_fetched(site):
    for allowed in ((), ("http://other.example/*",), ("https://public.example/*",)):
        with pytest.raises(UnsupportedOptionError):
            fetched(site, "/a", allowed=allowed)
    assert site.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_this_machine_is_never_fetched_from(site, host):
    with pytest.raises(UnsupportedOptionError, match="not a public address"):
        fetch(f"http://{host}:{site.server_port}/a", ("*",), 2000)
    assert site.seen == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(site):
    with pytest.raises(UnsupportedOptionError):
        fetch(
            f"http://two.example:{site.server_port}/",
            ("*",),
            2000,
            resolve=lambda *_: ["93.184.216.34", "127.0.0.1"],
        )


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1"),
        *("::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "ff02::1", "no address"),
    ],
)
def test_what_is_not_the_open_internet_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_the_open_internet_is_public(address):
    assert is_public(address)


def test_a_redirect_is_followed_and_checked_anew(site):
    port = site.server_port
    assert fetched(site, f"/to/http://other.example:{port}/a")
    with pytest.raises(UnsupportedOptionError):
        fetched(site, "/to/http://other.example/a", allowed=("http://public.example:*/*",))
    with pytest.raises(InvalidRequestError):
        fetched(site, "/to/file:///etc/passwd")
    addresses = iter((True, False))
    with pytest.raises(UnsupportedOptionError, match="not a public address"):
        fetched(site, f"/to/http://inner.example:{port}/a", public=lambda _: next(addresses))


def test_redirects_end(site):
    with pytest.raises(FetchError, match="too many redirects"):
        fetched(site, "/to/" * 9 + "a")


def test_too_much_and_too_slow_is_stopped(site, monkeypatch):
    with pytest.raises(TooLargeError):
        fetched(site, "/a", most=999)
    monkeypatch.setattr(fetching, "_SECONDS", 0.1)
    with pytest.raises(FetchError, match="did not send all"):
        fetched(site, "/drip")


def test_what_is_not_there_says_so(site):
    with pytest.raises(FetchError, match="404"):
        fetched(site, "/none")
    port = site.server_port
    site.server_close()
    with pytest.raises(FetchError):
        fetch(f"http://a.example:{port}/", ("*",), 9, resolve=lambda *_: ["127.0.0.1"], public=bool)


@pytest.mark.parametrize(
    "url",
    ["", "a.png", "file:///etc/passwd", "ftp://a/b", "http://", "http://u:p@a/", "http://a:x/"],
)
def test_what_is_no_plain_url_is_refused(url):
    with pytest.raises(InvalidRequestError):
        fetch(url, ("*",), 9)


def test_a_pattern_of_one_host_lets_no_other_in():
    assert matches("https://a.example/photos/1.png", "https://a.example/photos/*")
    assert matches("https://a.example/x", "https://a.example")
    assert matches("https://b.a.example/", "https://*.a.example/*")
    assert not matches("https://a.example.evil/photos/", "https://a.example/*")
    assert not matches("https://evil/a.example/photos/", "https://*a.example/*")
    assert not matches("http://a.example/", "https://a.example/*")
    assert not matches("https://evil/?https://a.example/", "https://a.example/*")
