"""OpenAI's batches through OpenAI's SDK, on servers that stop and die in the middle."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import openai
import pytest

from ogam import config as configuration
from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.text_generation import Choice, GenerateResult
from ogam.config import Config, Routes
from ogam.protocols.openai import batch_input
from ogam.protocols.openai import wire_batches as wire

from .conftest import running

CHAT = "/v1/chat/completions"
FAKE = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
OVER = ("completed", "failed", "cancelled", "expired")


@pytest.fixture(scope="module")
def client(fake_server):
    with _client(fake_server.http, fake_server.key) as made:
        yield made


def _client(http, key="any"):
    return openai.OpenAI(base_url=f"{http}/v1", api_key=key, max_retries=0)


def _config(folder):
    return Config(routes=FAKE, threads=4, server=configuration.Server(data=str(folder)))


def _line(identity, body=None, url=CHAT):
    body = body or {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": identity}]}
    return json.dumps({"custom_id": identity, "method": "POST", "url": url, "body": body})


def _begin(client, lines, endpoint=CHAT, **options):
    file = client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options
    )


def _wait(client, batch, until=lambda one: one.status in OVER):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        batch = client.batches.retrieve(batch.id)
        if until(batch):
            return batch
        time.sleep(0.01)
    raise AssertionError(batch)


def _results(client, file_id):
    text = client.files.content(file_id).text
    return [json.loads(line) for line in text.splitlines()]


def test_a_batch_answers_every_line_as_the_resource_would(client):
    batch = _begin(client, [_line(f"id-{n}") for n in range(20)], metadata={"job": "night"})
    assert batch.object == "batch"
    done = _wait(client, batch)
    assert (done.status, done.metadata, done.error_file_id) == ("completed", {"job": "night"}, None)
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    found = _results(client, done.output_file_id)
    assert sorted(one["custom_id"] for one in found) == sorted(f"id-{n}" for n in range(20))
    first = next(one for one in found if one["custom_id"] == "id-7")
    said = first["response"]["body"]
    direct = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "id-7"}]
    )
    assert first["response"]["status_code"] == 200
    assert said["object"] == "chat.completion"
    assert said["usage"]["prompt_tokens"] == direct.usage.prompt_tokens
    assert done.usage.total_tokens == sum(
        one["response"]["body"]["usage"]["total_tokens"] for one in found
    )


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"model": "davinci-002", "prompt": "Once"}, "text_completion"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}, "list"),
        ("/v1/responses", {"model": "gpt-4o", "input": "Hello."}, "response"),
    ],
)
def test_other_endpoints_are_answered_too(client, endpoint, body, kind):
    done = _wait(client, _begin(client, [_line("one", body, endpoint)], endpoint))
    (only,) = _results(client, done.output_file_id)
    assert only["response"]["body"]["object"] == kind


def test_lines_that_are_refused_come_in_the_error_file(client):
    stream = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}], "stream": True}
    bad = {"model": "no-such-model", "messages": [{"role": "user", "content": "a"}]}
    lines = [_line("good"), _line("bad", bad), _line("stream", stream)]
    done = _wait(client, _begin(client, lines))
    assert done.status == "completed"
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 2)
    refused = {one["custom_id"]: one["response"] for one in _results(client, done.error_file_id)}
    assert refused["bad"]["status_code"] == 404
    assert refused["bad"]["body"]["error"]["code"] == "model_not_found"
    assert refused["stream"]["body"]["error"]["param"] == "stream"


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        (["{broken"], "invalid_json_line", 1),
        ([_line("a"), _line("a")], "duplicate_custom_id", 2),
        ([_line("a"), "", _line("b", url="/v1/embeddings")], "mismatched_endpoint", 3),
        ([_line("a").replace('{"model"', '[{"model"').replace("}]}}", "}]}]}")], "invalid_body", 1),
        ([""], "empty_file", None),
    ],
)
def test_a_wrong_input_fails_with_the_line_at_fault(client, lines, code, number):
    file = client.files.create(
        file=("in.jsonl", ("\n".join(lines) + "\n").encode()), purpose="batch"
    )
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    failed = _wait(client, batch)
    assert failed.status == "failed"
    assert [(one.code, one.line) for one in failed.errors.data] == [(code, number)]


def test_a_batch_wants_an_input_that_is_there_and_meant_for_it(client):
    other = client.files.create(file=("a.txt", b"a"), purpose="user_data")
    for identity in (other.id, "file-000000000000000000000000", "../../etc/passwd"):
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(input_file_id=identity, endpoint=CHAT, completion_window="24h")
        assert refused.value.param == "input_file_id"
    for wrong in (
        {"completion_window": "soon"},
        {"completion_window": "900d"},
        {"endpoint": "/v1/x"},
    ):
        asked = {"input_file_id": other.id, "endpoint": CHAT, "completion_window": "24h", **wrong}
        with pytest.raises(openai.BadRequestError):
            client.batches.create(**asked)
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_000000000000000000000000")


def test_batches_are_listed_page_by_page_newest_first(tmp_path):
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        made = [_begin(client, [_line("a")]).id for _ in range(3)]
        page = client.batches.list(limit=2)
        assert (len(page.data), page.has_more) == (2, True)
        assert sorted(one.id for one in client.batches.list(limit=2)) == sorted(made)
        with pytest.raises(openai.BadRequestError):
            client.batches.list(after="batch_nowhere")


class Slow:
    """Answers what is asked of it only when it may, and counts."""

    capabilities = frozenset({"generate"})

    def __init__(self, free=2):
        self.asked, self.free, self.open = [], free, threading.Event()
        self._lock = threading.Lock()

    def close(self):
        self.open.set()

    def generate(self, request):
        text = request.messages[0].content
        with self._lock:
            self.asked.append(text)
            held = len(self.asked) > self.free
        while held and not self.open.wait(0.005):
            checkpoint()
        return GenerateResult(
            engine="slow", model="slow", units=Units(output_tokens=1), choices=(Choice(text=text),)
        )


def _with(server, engine):
    server.server.gateway.registry._engines["fake"] = engine
    return engine


def test_cancelling_keeps_what_is_done(tmp_path):
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        engine = _with(server, Slow())
        batch = _begin(client, [_line(f"id-{n}") for n in range(10)])
        _wait(client, batch, lambda one: one.request_counts.completed == 2)
        assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
        done = _wait(client, batch)
        assert (done.status, done.request_counts.completed) == ("cancelled", 2)
        assert len(_results(client, done.output_file_id)) == 2
        assert len(engine.asked) <= 4  # half of the threads at a time
        assert client.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_goes_on_when_the_server_starts_again(tmp_path):
    lines = [_line(f"id-{n}") for n in range(10)]
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        _with(server, Slow(free=4))
        batch = _begin(client, lines)
        _wait(client, batch, lambda one: one.request_counts.completed == 4)
        client.files.delete(batch.input_file_id)  # its input is its own by now
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        done = _wait(client, batch)
        assert (done.status, done.request_counts.completed) == ("completed", 10)
        found = [one["custom_id"] for one in _results(client, done.output_file_id)]
        assert sorted(found) == sorted(f"id-{n}" for n in range(10))


def test_lines_that_are_too_late_are_told_so(tmp_path):
    lines = [_line(f"id-{n}") for n in range(5)]
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        _with(server, Slow(free=1))
        batch = _begin(client, lines)
        _wait(client, batch, lambda one: one.request_counts.completed == 1)
    about = tmp_path / "openai" / "batches" / batch.id / "about.json"
    kept = json.loads(about.read_bytes())
    kept["batch"]["expires_at"] = 1
    about.write_text(json.dumps(kept))
    with running(_config(tmp_path), grpc=False) as server, _client(server.http) as client:
        done = _wait(client, batch)
        assert (done.status, done.request_counts.completed, done.request_counts.failed) == (
            "expired",
            1,
            4,
        )
        late = _results(client, done.error_file_id)
        assert {one["error"]["code"] for one in late} == {"batch_expired"}


def _serve(folder: Path):
    routes = {f"OGAM_ROUTE_{one.upper()}": "fake" for one in Routes.__struct_fields__}
    server = subprocess.Popen(
        [sys.executable, "-m", "ogam", "serve", "--port", "0", "--grpc-port", "0"],
        env={**os.environ, **routes, "OGAM_SERVER_DATA": str(folder), "OGAM_CONFIG": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return server, found[0]
    raise AssertionError("the server does not start")


def _die(server):
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_again_and_again_no_line_is_lost_or_twice(tmp_path):
    lines = [_line(f"id-{n}") for n in range(1500)]
    server, http = _serve(tmp_path)
    seen = 0
    try:
        with _client(http) as client:
            batch = _begin(client, lines)
        for _ in range(2):
            with _client(http) as client:
                known = _wait(
                    client, batch, lambda one, least=seen + 50: one.request_counts.completed > least
                )
            assert known.status == "in_progress"  # else nothing is proved
            seen = known.request_counts.completed
            _die(server)
            log = tmp_path / "openai" / "batches" / batch.id / "output.jsonl"
            with log.open("ab") as file:
                file.write(b'{"id":"batch_req_torn","custom_')  # as a death in a write leaves it
            server, http = _serve(tmp_path)
        with _client(http) as client:
            done = _wait(client, batch)
            assert (done.status, done.request_counts.completed) == ("completed", 1500)
            found = [one["custom_id"] for one in _results(client, done.output_file_id)]
        assert len(found) == 1500
        assert set(found) == {f"id-{n}" for n in range(1500)}
    finally:
        _die(server)


def test_what_follows_a_torn_line_of_a_log_is_forgotten(tmp_path):
    whole = msgspec.json.encode(wire.LineResult(id="r", custom_id="a")) + b"\n"
    log = tmp_path / "log"
    for torn in (b"", b"{", b'{"id":"x"}\n', whole[:-1]):
        log.write_bytes(whole + torn)
        assert [one.custom_id for one in batch_input.whole_lines(log)] == ["a"]
        assert log.read_bytes() == whole
