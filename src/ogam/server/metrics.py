"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class Metrics:
    """Counts of one server. In a registry of its own, so that several may live in a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ("protocol", "route", "status")
        self._requests = Counter(
            "ogam_requests", "Requests answered", names, registry=self._registry
        )
        self._seconds = Histogram(
            "ogam_request_seconds",
            "Seconds until the whole reply was sent",
            names[:2],
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count(self, protocol: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(protocol, route, str(status)).inc()
        self._seconds.labels(protocol, route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)
