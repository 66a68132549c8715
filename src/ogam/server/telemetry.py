"""What is told of each call to the outside: a line of log, and an OpenTelemetry span.

Neither holds what was said, nor a key: ids, names, numbers. Spans follow OpenTelemetry's
conventions for generative AI, https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from ogam.errors import ConfigurationError
from ogam.extras import needs
from ogam.gateway import money
from ogam.gateway.caller import Caller
from ogam.gateway.ledger.values import Row

# gen_ai.operation.name of each capability; those that the conventions do not name have their own.
_OPERATIONS = {"generate": "chat", "embed": "embeddings"}
_TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def logged(kind: str, out: TextIO | None = None) -> Callable[[Row, Caller], None]:
    """Writes a line for each call: ``json`` or ``text``."""

    def write(row: Row, _: Caller) -> None:
        line = json.dumps(fields(row), ensure_ascii=False) if kind == "json" else sentence(row)
        with suppress(OSError, ValueError, AttributeError):  # nobody reads it any more
            (out or sys.stderr).write(line + "\n")

    return write


def fields(row: Row) -> dict[str, Any]:
    """A call as the log has it."""
    return {
        "time": datetime.fromtimestamp(row.at / 1000, UTC).isoformat(timespec="milliseconds"),
        "request": row.id,
        "key": row.key,
        "protocol": row.protocol,
        "capability": row.capability,
        "route": row.route,
        "model": row.model,
        "status": row.status,
        "cache": row.cache,
        "ms": row.total_ms,
        "first_ms": row.first_ms,
        "cost_nano_dollars": row.cost,
        "units": msgspec.to_builtins(row.units),
        "attempts": [msgspec.to_builtins(one) for one in row.attempts],
    }


def sentence(row: Row) -> str:
    """A call in a line for people."""
    tried = " > ".join(f"{one.model} {one.outcome}" for one in row.attempts if one.error)
    return " ".join(
        part
        for part in (
            datetime.fromtimestamp(row.at / 1000, UTC).strftime("%H:%M:%S"),
            row.id,
            row.protocol,
            row.capability,
            row.model or "-",
            row.status,
            row.cache,
            f"{row.total_ms} ms",
            money.dollars(row.cost) if row.cost else "",
            f"({tried})" if tried else "",
        )
        if part
    )


class Traces:
    """Sends a span for each call to ``url`` (OTLP over HTTP), from a thread of its own."""

    def __init__(self, url: str) -> None:
        if not re.match("https?://[^/]", url):
            raise ConfigurationError(
                f"telemetry.traces must be a URL, not {url!r}.",
                hint="Such as http://localhost:4318/v1/traces",
            )
        with needs("otel"):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "ogam"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("ogam")

    def call(self, row: Row, caller: Caller) -> None:
        """A span for a call that is over."""
        from opentelemetry import trace

        operation = _OPERATIONS.get(row.capability, row.capability)
        model = row.model.partition("/")[2] or row.model
        span = self._tracer.start_span(
            f"{operation} {model}".strip(),
            context=_parent(caller.trace),
            kind=trace.SpanKind.CLIENT if row.cost else trace.SpanKind.INTERNAL,
            start_time=row.at * 1_000_000,
            attributes=attributes(row, operation, model),
        )
        at = row.at * 1_000_000
        for one in row.attempts:
            about = {"ogam.model": one.model, "ogam.outcome": one.outcome}
            span.add_event("attempt", {**about, "error.type": one.error}, timestamp=at)
            at += one.ms * 1_000_000
        if row.status != "ok":
            span.set_status(trace.StatusCode.ERROR, row.status)
        span.end(end_time=(row.at + row.total_ms) * 1_000_000)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def attributes(row: Row, operation: str, model: str) -> dict[str, str | int | float]:
    """The attributes of a call's span; empty ones are left out."""
    asked = row.attempts[0].model.partition("/")[2] if row.attempts else row.route
    found: dict[str, str | int | float] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": row.engine,
        "gen_ai.request.model": asked,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": row.units.input_tokens,
        "gen_ai.usage.output_tokens": row.units.output_tokens,
        "error.type": "" if row.status == "ok" else row.status,
        "ogam.request.id": row.id,
        "ogam.key.id": row.key,
        "ogam.protocol": row.protocol,
        "ogam.capability": row.capability,
        "ogam.cache": row.cache,
        "ogam.cost.nano_dollars": row.cost,
        "ogam.units.cached_input_tokens": row.units.cached_input_tokens,
        "ogam.units.characters": row.units.characters,
        "ogam.units.audio_ms": row.units.audio_ms,
        "ogam.units.image_features": row.units.image_features,
    }
    if row.first_ms is not None:
        found["gen_ai.response.time_to_first_chunk"] = row.first_ms / 1000
    return {name: value for name, value in found.items() if value not in ("", 0)}


def _parent(traceparent: str) -> Any:
    """The context that a W3C traceparent leads to; None for none, or for what is no such thing.

    https://www.w3.org/TR/trace-context/
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    from opentelemetry import trace

    context = trace.SpanContext(
        trace_id=int(found[1], 16),
        span_id=int(found[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found[3], 16)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))
