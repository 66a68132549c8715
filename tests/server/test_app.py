"""What stands around every request: who answers, what is refused, what is counted."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import pytest
import websockets.exceptions
from websockets.sync.client import connect

from ogam.config import Config, Routes
from ogam.engines.fake import FakeEngine
from ogam.media.limits import Limits
from ogam.server import exchange

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
EMBED = {"model": "text-embedding-3-small", "input": "Hi"}
ROUTES = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
SPEAKERS = {
    "openai": ({"user-agent": "OpenAI/Python 3"}, lambda said: said["error"]["message"]),
    "elevenlabs": ({"xi-api-key": "any"}, lambda said: said["detail"]["message"]),
    "deepl": ({"authorization": "DeepL-Auth-Key any"}, lambda said: said["message"]),
    "google": ({"x-goog-api-client": "gl-python/3"}, lambda said: said["error"]["message"]),
}


def counted(server, **labels):
    """How many requests with these labels /metrics tells of."""
    total = 0.0
    for line in server.http.get("/metrics").text.splitlines():
        if line.startswith("ogam_requests_total{"):
            found = _labels(line)
            if all(found.get(name) == value for name, value in labels.items()):
                total += float(line.rpartition(" ")[2])
    return total


def _labels(line):
    inside = line[line.index("{") + 1 : line.rindex("}")]
    return {
        name: value.strip('"') for name, value in (one.split("=", 1) for one in inside.split('",'))
    }


def eventually(condition):
    """Wait for what another thread does, for ten seconds at most."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("who", SPEAKERS)
def test_an_unknown_path_is_refused_in_the_shape_of_who_asks(fake, who):
    headers, message = SPEAKERS[who]
    answer = fake.http.get("/v9/nothing", headers=headers)
    assert answer.status_code == 404
    assert "nothing at GET /v9/nothing" in message(answer.json())


@pytest.mark.parametrize("who", SPEAKERS)
def test_a_wrong_method_is_a_405_that_says_which_is_right(fake, who):
    headers, message = SPEAKERS[who]
    answer = fake.http.put("/v2/translate", headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "takes POST, not PUT" in message(answer.json())


def test_a_wrong_method_is_told_on_patterns_and_on_the_servers_own_pages(fake):
    assert fake.http.post("/healthz").headers["allow"] == "GET"
    answer = fake.http.patch("/v1/models/a%2Fb")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_slash_inside_a_name_travels_as_percent_2f(fake):
    assert fake.http.get("/v1/models/mine%2Fsmall").json()["id"] == "mine/small"
    assert fake.http.get("/v1/models/mine/small").status_code == 404


def test_a_path_of_two_protocols_is_answered_to_the_one_who_asks(fake):
    ours = fake.http.get("/v1/models", headers=SPEAKERS["openai"][0]).json()
    theirs = fake.http.get("/v1/models", headers=SPEAKERS["elevenlabs"][0]).json()
    assert isinstance(ours, dict)
    assert isinstance(theirs, list)


def test_head_has_the_headers_of_get_and_no_body(fake):
    get, head = fake.http.get("/v1/models"), fake.http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/metrics", "/readyz", "/"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "["},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
    ids=str,
)
def test_pages_from_elsewhere_are_refused(fake, path, headers):
    answer = fake.http.get(path, headers=headers)
    assert answer.status_code in (403, 404)
    assert b"evil" not in answer.content or b"error" in answer.content


def test_a_page_of_the_server_itself_may_call_it(fake):
    port = fake.ports.http
    own = {"host": f"LocalHost:{port}", "origin": f"http://LocalHost:{port}"}
    assert fake.http.get("/v1/models", headers=own).status_code == 200


def test_further_names_are_let_in_when_configured(serving):
    server = serving(hosts=("Ogam.Test",))
    assert server.http.get("/v1/models", headers={"host": "ogam.test:99"}).status_code == 200
    assert server.http.get("/v1/models", headers={"host": "other.test"}).status_code == 404


def test_each_answer_has_an_identity_of_its_own_where_its_vendor_puts_it(fake):
    headers = {"openai": "x-request-id", "elevenlabs": "request-id", "deepl": "x-trace-id"}
    found = {
        fake.http.get("/v9/nothing", headers=SPEAKERS[who][0]).headers[name]
        for who, name in headers.items()
    }
    found.add(fake.http.post("/v1/embeddings", json=EMBED).headers["x-request-id"])
    assert len(found) == 4


def test_a_refusal_reaches_a_client_that_still_sends_on_a_connection_to_be_closed(fake):
    body = b"x" * 300_000
    with socket.create_connection(("127.0.0.1", fake.ports.http)) as raw:
        raw.sendall(
            b"POST /v9/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for at in range(0, len(body), 100_000):
            time.sleep(0.05)
            raw.sendall(body[at : at + 100_000])
        assert raw.makefile("rb").read().startswith(b"HTTP/1.1 404")


def test_a_body_whose_rest_never_comes_is_refused_in_the_end(fake, monkeypatch):
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", fake.ports.http)) as raw:
        raw.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{"
        )
        reply = raw.makefile("rb").read()  # until the server closes
    assert reply.startswith(b"HTTP/1.1 400") and b"Nothing of the body came" in reply
    eventually(lambda: fake.server.app.in_flight == 0)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(serving):
    server = serving(Config(routes=ROUTES, limits=Limits(max_bytes=1000)))
    with socket.create_connection(("127.0.0.1", server.ports.http)) as raw:
        raw.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1401\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_read_no_further_than_the_limit(serving):
    server = serving(Config(routes=ROUTES, limits=Limits(max_bytes=1000)))
    answer = server.http.post("/v1/embeddings", content=(b"x" * 100 for _ in range(15)))
    assert answer.status_code == 413
    assert "1,400 bytes" in answer.json()["error"]["message"]
    under = server.http.post("/v1/embeddings", content=(b" " * 100 for _ in range(13)))
    assert under.status_code == 400


@pytest.mark.parametrize(
    ("who", "path", "body", "verb"),
    [
        ("openai", "/v1/embeddings", EMBED, "embed"),
        ("deepl", "/v2/translate", {"text": ["Hi"], "target_lang": "DE"}, "translate"),
        ("elevenlabs", "/v1/text-to-speech/ada", {"text": "Hi"}, "speak"),
    ],
)
def test_an_engines_own_failure_is_the_vendors_500_without_its_traceback(
    serving, monkeypatch, who, path, body, verb
):
    fake = serving()

    def fails(self, request):
        raise RuntimeError("the tensor is upside down")

    monkeypatch.setattr(FakeEngine, verb, fails)
    monkeypatch.setattr(FakeEngine, f"{verb}_stream", fails, raising=False)
    headers, message = SPEAKERS[who]
    before = counted(fake, route=path, status="500")
    answer = fake.http.post(path, json=body, headers=headers)
    assert answer.status_code == 500
    assert "upside down" in message(answer.json())
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
    assert counted(fake, status="500") > before


def test_what_nobody_foresaw_is_a_500_that_names_no_file(fake, monkeypatch, caplog):
    monkeypatch.setattr(fake.server.gateway, "answer", lambda *_, **__: 1 / 0)
    answer = fake.http.post("/v1/embeddings", json=EMBED)
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "Something failed here: ZeroDivisionError."
    assert answer.headers["x-request-id"] in caplog.text


def test_metrics_count_the_status_that_was_sent(fake):
    before = counted(fake, route="/v1/embeddings", status="200")
    fake.http.post("/v1/embeddings", json=EMBED)
    assert counted(fake, route="/v1/embeddings", status="200") == before + 1
    before = counted(fake, protocol="openai", route="unknown", status="405")
    fake.http.put("/v1/models")
    assert counted(fake, protocol="openai", route="unknown", status="405") == before + 1
    assert "ogam_request_seconds_bucket" in fake.http.get("/metrics").text


def test_a_client_that_leaves_before_the_answer_is_counted_as_gone(serving, gate):
    fake = serving()

    def ask():
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{fake.http.base_url}/v1/embeddings", json=EMBED, timeout=0.3)

    asking = threading.Thread(target=ask)
    asking.start()
    assert gate.entered.wait(10)
    asking.join(10)
    eventually(lambda: counted(fake, route="/v1/embeddings", status="499") == 1)
    eventually(lambda: fake.server.app.in_flight == 0)


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_counted_as_gone(serving, gate):
    fake = serving()
    path = "/v1/chat/completions"
    with fake.http.stream("POST", path, json={**CHAT, "stream": True}) as stream:
        assert next(stream.iter_lines()).startswith("data: ")
    eventually(lambda: counted(fake, route=path, status="499") == 1)
    eventually(lambda: fake.server.app.in_flight == 0)


def test_a_socket_is_refused_to_pages_from_elsewhere_and_at_unknown_paths(fake):
    base = f"ws://127.0.0.1:{fake.ports.http}"
    for path, origin in (
        ("/v1/text-to-speech/ada/stream-input", "https://evil.example"),
        ("/v1/nothing", None),
    ):
        with (
            pytest.raises(websockets.exceptions.InvalidStatus),
            connect(base + path, origin=origin),
        ):
            pass


def test_draining_refuses_what_is_new_and_finishes_what_is_not(serving, gate):
    server = serving()
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{server.http.base_url}/v1/embeddings", json=EMBED, timeout=30)
        )
    )
    asking.start()
    assert gate.entered.wait(10)
    assert server.http.get("/readyz").status_code == 200
    stopping = threading.Thread(target=lambda: server.call(server.server.stop()))
    stopping.start()
    eventually(lambda: server.http.get("/readyz").status_code == 503)
    assert server.http.get("/healthz").status_code == 200
    refused = server.http.post("/v1/embeddings", json=EMBED)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    gate.opened.set()
    asking.join(10)
    stopping.join(10)
    assert [answer.status_code for answer in answers] == [200]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.http.base_url}/healthz")


def test_readiness_waits_for_the_models_that_are_loaded_ahead(serving):
    server = serving()
    server.server.ready = False
    answer = server.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert server.http.get("/healthz").json() == {"status": "ok"}
