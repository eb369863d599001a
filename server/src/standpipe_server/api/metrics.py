"""Counts for Prometheus, kept as plain integers: a request must not pay for who may ask one day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """Counts requests by route and status; gauges are asked for when they are read."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self.appended_bytes = 0
        self._invocations: Mapping[str, int] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self._gauges[name] = (documentation, read)

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "standpipe_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in sorted(self.requests.items()):
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield CounterMetricFamily(
            "standpipe_appended_bytes", "Bytes of messages taken in, decompressed.", value=self.appended_bytes
        )
        unfinished = GaugeMetricFamily("standpipe_invocations", "Invocations that have not ended.", labels=["status"])
        for status, count in sorted(self._invocations.items()):
            unfinished.add_metric([status], count)
        yield unfinished
        for name, (documentation, read) in self._gauges.items():
            yield GaugeMetricFamily(name, documentation, value=read())

    def render(self, invocations: Mapping[str, int]) -> bytes:
        """The text for Prometheus; `invocations` are those that have not ended, by status."""
        self._invocations = invocations
        return generate_latest(self._registry)
