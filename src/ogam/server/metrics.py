"""What the server counts, for Prometheus: requests that were answered, and what calls came to.

Plain sums, put into Prometheus' words when they are asked for: its own counters cost each call 30
function calls, and one lock after the other, in the one thread that counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ogam.gateway.caller import Caller
from ogam.gateway.ledger.values import Row, Status

_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)
_UNITS = ("input_tokens", "output_tokens", "characters", "audio_ms", "image_features")
_LEDGER = {
    "up": "Whether the ledger answers",
    "waiting": "What is not yet written to the ledger",
    "lost": "Rows lost, since too many waited",
    "spoilt": "Rows that the ledger did not take",
    "uncounted": "Attempts let through while the ledger did not answer",
}
_Labels = tuple[str | int, ...]


class _Seconds:
    """How long things took, by labels: how many in each range, and the sum."""

    def __init__(self) -> None:
        self._counts: dict[_Labels, list[int]] = {}
        self._sums: dict[_Labels, float] = {}

    def add(self, labels: _Labels, seconds: float) -> None:
        """One more."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(_SECONDS) + 1)
        counts[bisect_left(_SECONDS, seconds)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + seconds

    def family(self, name: str, words: str, labels: tuple[str, ...]) -> Metric:
        """As Prometheus has it: each bucket counts those below it too."""
        found = HistogramMetricFamily(name, words, labels=labels)
        edges = [*(str(float(one)) for one in _SECONDS), "+Inf"]
        for key, counts in self._counts.items():
            buckets = list(zip(edges, accumulate(counts), strict=True))
            found.add_metric([str(one) for one in key], buckets, self._sums[key])
        return found


class Metrics:
    """Counts of one server, made in its event loop.

    ``known`` gives the models that routes name: others, which clients may name without end, are
    counted as one. ``ledger`` tells how the ledger is, None while there is none.
    """

    def __init__(
        self,
        known: Callable[[], Collection[str]] = tuple,
        ledger: Callable[[], Status | None] = lambda: None,
    ) -> None:
        self._known, self._ledger = known, ledger
        self._requests: Counter[_Labels] = Counter()
        self._calls: Counter[_Labels] = Counter()
        self._attempts: Counter[_Labels] = Counter()
        self._units: Counter[_Labels] = Counter()
        self._nanos: Counter[_Labels] = Counter()
        self._request_seconds, self._call_seconds = _Seconds(), _Seconds()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, protocol: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests[protocol, route, status] += 1
        self._request_seconds.add((protocol, route), seconds)

    def call(self, row: Row, _: Caller) -> None:
        """One call of the gateway is over."""
        model = self._named(row.model)
        self._calls[row.capability, model, row.status, row.cache] += 1
        self._call_seconds.add((row.capability, model), row.total_ms / 1000)
        for one in row.attempts:
            self._attempts[self._named(one.model), one.outcome] += 1
        for unit in _UNITS:
            if count := getattr(row.units, unit):
                self._units[model, unit] += count
        if row.cost:
            self._nanos[model,] += row.cost

    def _named(self, model: str) -> str:
        known = self._known()
        if not model or model in known or all(one in known for one in model.split(",")):
            return model
        return f"{model.partition('/')[0]}/*"

    def collect(self) -> Iterator[Metric]:
        """What Prometheus' registry asks for."""
        status = self._ledger()
        for name, words in _LEDGER.items() if status else ():
            value = float(getattr(status, name))
            yield GaugeMetricFamily(f"ogam_ledger_{name}", words, value=value)
        request, call = ("protocol", "route", "status"), ("capability", "model", "status", "cache")
        yield _family("ogam_requests", "Requests answered", request, self._requests)
        words = "Seconds until the whole reply was sent"
        yield self._request_seconds.family("ogam_request_seconds", words, request[:2])
        yield _family("ogam_calls", "Calls of the gateway", call, self._calls)
        yield self._call_seconds.family("ogam_call_seconds", "Seconds a call took", call[:2])
        yield _family("ogam_attempts", "Models tried", ("model", "outcome"), self._attempts)
        yield _family("ogam_units", "What vendors bill for", ("model", "unit"), self._units)
        yield _family("ogam_cost_dollars", "What calls cost", ("model",), self._nanos, 1e9)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)


def _family(
    name: str, words: str, labels: tuple[str, ...], sums: Counter[_Labels], unit: float = 1.0
) -> Metric:
    found = CounterMetricFamily(name, words, labels=labels)
    for key, value in sums.items():
        found.add_metric([str(one) for one in key], value / unit)
    return found
