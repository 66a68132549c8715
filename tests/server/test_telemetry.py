"""Metrics, a log and traces of calls: what they say, and that they say no text and no key."""

from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ogam.capabilities.base import Units
from ogam.config import Config, Routes, Server, Telemetry
from ogam.errors import ConfigurationError
from ogam.gateway.caller import Caller
from ogam.gateway.ledger import Attempt, Row
from ogam.server.metrics import Metrics
from ogam.server.telemetry import Traces, logged

from .conftest import running

ROW = Row(
    id="r1",
    at=1_700_000_000_000,
    key="k1",
    capability="generate",
    protocol="openai",
    route="gpt-4o",
    attempts=(
        Attempt(model="openai/gpt-4o", outcome="failed", ms=20, error="Vendor"),
        Attempt(model="starter/write", outcome="answered", ms=30),
    ),
    engine="starter",
    model="starter/write",
    units=Units(input_tokens=3, output_tokens=5),
    cost=1500,
    total_ms=52,
)


def test_a_call_is_counted_by_what_answered() -> None:
    metrics = Metrics(lambda: ("starter/write",))
    metrics.call(ROW, Caller())
    text = metrics.text().decode()
    labels = 'cache="",capability="generate",model="starter/write",status="ok"'
    assert f"ogam_calls_total{{{labels}}} 1.0" in text
    assert 'ogam_units_total{model="starter/write",unit="output_tokens"} 5.0' in text
    assert 'ogam_cost_dollars_total{model="starter/write"} 1.5e-06' in text
    # A name that no route has is the client's own, of which there may be any number.
    assert 'ogam_attempts_total{model="openai/*",outcome="failed"} 1.0' in text
    assert "gpt-4o" not in text


def test_a_line_of_log_is_json_or_for_people() -> None:
    out = io.StringIO()
    logged("json", out)(ROW, Caller())
    said = json.loads(out.getvalue())
    assert (said["request"], said["key"], said["ms"]) == ("r1", "k1", 52)
    assert said["time"] == "2023-11-14T22:13:20.000+00:00"
    out = io.StringIO()
    logged("text", out)(ROW, Caller())
    assert "starter/write ok 52 ms" in out.getvalue()
    assert "openai/gpt-4o failed" in out.getvalue()


class _Collector(HTTPServer):
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                self.server.bodies.append(self.rfile.read(size))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


def test_spans_reach_a_collector_and_join_the_callers_trace(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    collector = _Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
        config = Config(
            routes=Routes(embed=("fake",)),
            server=Server(keys=("a-secret-key",), data=str(tmp_path)),
            telemetry=Telemetry(traces=url),
        )
        trace = "0af7651916cd43dd8448eb211c80319c"
        with running(config) as address:
            got = address.http.post(
                "/v1/embeddings",
                json={"model": "fake", "input": "nobody may read this"},
                headers={
                    "authorization": "Bearer a-secret-key",
                    "traceparent": f"00-{trace}-b7ad6b7169203331-01",
                },
            )
            assert got.status_code == 200
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    body = b"".join(collector.bodies)
    assert b"nobody may read this" not in body
    assert b"a-secret-key" not in body
    found = ExportTraceServiceRequest.FromString(body)
    span = found.resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id.hex() == trace
    assert span.name == "embeddings fake"
    about = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    assert about["gen_ai.operation.name"] == "embeddings"
    assert about["ogam.request.id"] == got.headers["x-request-id"]
    assert about["gen_ai.usage.input_tokens"] > 0


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        Traces("localhost:4318")
