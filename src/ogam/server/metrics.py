"""What the server counts, for Prometheus: requests that were answered, and what calls came to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from ogam.gateway.caller import Caller
from ogam.gateway.ledger.values import Row, Status

# Metrics take 5 µs to find a child by its labels, and a request wants eight: so many are kept.
_KEPT = 4000
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)
_UNITS = ("input_tokens", "output_tokens", "characters", "audio_ms", "image_features")


_LEDGER = {
    "up": "Whether the ledger answers",
    "waiting": "What is not yet written to the ledger",
    "lost": "Rows lost, since too many waited",
    "spoilt": "Rows that the ledger did not take",
    "uncounted": "Attempts let through while the ledger did not answer",
}


class _Ledger:
    """The ledger's state, read when it is asked for."""

    def __init__(self, status: Callable[[], Status | None]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._status()
        for name, words in _LEDGER.items() if found else ():
            yield GaugeMetricFamily(f"ogam_ledger_{name}", words, value=float(getattr(found, name)))


class Metrics:
    """Counts of one server. In a registry of its own, so that several may live in a process.

    ``known`` gives the models that routes name: others, which clients may name without end, are
    counted as one. ``ledger`` tells how the ledger is, None while there is none.
    """

    def __init__(
        self,
        known: Callable[[], Collection[str]] = tuple,
        ledger: Callable[[], Status | None] = lambda: None,
    ) -> None:
        self._registry = own = CollectorRegistry()
        own.register(_Ledger(ledger))
        self._known = known
        names = ("protocol", "route", "status")
        self._requests = Counter("ogam_requests", "Requests answered", names, registry=own)
        self._seconds = Histogram(
            "ogam_request_seconds",
            "Seconds until the whole reply was sent",
            names[:2],
            buckets=_SECONDS,
            registry=own,
        )
        told = ("capability", "model", "status", "cache")
        self._calls = Counter("ogam_calls", "Calls of the gateway", told, registry=own)
        self._call_seconds = Histogram(
            "ogam_call_seconds",
            "Seconds a call took",
            told[:2],
            buckets=_SECONDS,
            registry=own,
        )
        tried = ("model", "outcome")
        self._attempts = Counter("ogam_attempts", "Models tried", tried, registry=own)
        self._units = Counter(
            "ogam_units", "What vendors bill for", ("model", "unit"), registry=own
        )
        self._cost = Counter("ogam_cost_dollars", "What calls cost", ("model",), registry=own)

    def count(self, protocol: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        _child(self._requests, protocol, route, status).inc()
        _child(self._seconds, protocol, route).observe(seconds)

    def call(self, row: Row, _: Caller) -> None:
        """One call of the gateway is over."""
        model = self._named(row.model)
        _child(self._calls, row.capability, model, row.status, row.cache).inc()
        _child(self._call_seconds, row.capability, model).observe(row.total_ms / 1000)
        for one in row.attempts:
            _child(self._attempts, self._named(one.model), one.outcome).inc()
        for unit in _UNITS:
            if count := getattr(row.units, unit):
                _child(self._units, model, unit).inc(count)
        if row.cost:
            _child(self._cost, model).inc(row.cost / 1e9)

    def _named(self, model: str) -> str:
        known = self._known()
        if not model or all(one in known for one in model.split(",")):
            return model
        return f"{model.partition('/')[0]}/*"

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)


@lru_cache(_KEPT)
def _child(metric: Any, *labels: str | int) -> Any:
    return metric.labels(*labels)
