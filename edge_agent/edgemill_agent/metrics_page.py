"""What the line counts, in Prometheus' words, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_COUNTS = {
    "late": "Verdicts that the deadline gave.",
    "safe": "Verdicts given because no engine answered, or there was no usable picture.",
    "unfit": "Verdicts on pictures that could not be judged.",
    "missed": "Parts that the controller counted and nobody could judge.",
    "untold": "Verdicts that a controller did not take in time.",
    "captured": "Frames that came from a camera that runs by itself.",
    "dropped": "Frames of such a camera that nobody wanted.",
    "reconnects": "How often such a camera was gone and came back.",
}


class MetricsPage(Collector):
    """Serves ``/metrics`` in threads of its own, until the process ends.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._figures: Mapping[str, Any] = {}
        self._came_s = time.monotonic()
        registry = CollectorRegistry()
        registry.register(self)
        start_http_server(port, host, registry)

    def show(self, figures: Mapping[str, Any]) -> None:
        """From now on serve these, as the line process tells them every few seconds."""
        self._figures, self._came_s = figures, time.monotonic()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All of them, as they were told last, and how long ago that was: a hung line shows as an age that grows."""
        figures = self._figures
        yield GaugeMetricFamily("edgemill_age_seconds", "Since the line told.", time.monotonic() - self._came_s)
        if not figures:
            return
        yield GaugeMetricFamily("edgemill_broker_connected", "1 if so.", float(figures["connected"]))
        yield GaugeMetricFamily("edgemill_not_acknowledged", "Records to deliver.", figures["not_acknowledged"])
        yield GaugeMetricFamily("edgemill_line_memory_bytes", "Resident.", figures["line_mb"] * (1 << 20))
        yield from _of_stations(figures["stations"])


def _of_stations(stations: Mapping[str, Mapping[str, Any]]) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    verdicts = CounterMetricFamily("edgemill_verdicts", "Verdicts by decision.", labels=["station", "decision"])
    restarts = CounterMetricFamily("edgemill_restarts", "Workers started again.", labels=["station", "worker"])
    latency = GaugeMetricFamily(
        "edgemill_latency_seconds",
        "Arrival to verdict, or trigger to output, of the last 10,000 parts.",
        labels=["station", "quantile"],
    )
    for name, found in stations.items():
        for decision, count in found["decisions"].items():
            verdicts.add_metric([name, decision], count)
        for worker in ("engine", "source"):
            restarts.add_metric([name, worker], found[f"{worker}_restarts"])
        for quantile, key in (("0.5", "p50"), ("0.99", "p99")):
            if found[key] is not None:
                latency.add_metric([name, quantile], found[key] / 1e3)
    yield from (verdicts, restarts, latency)
    for key, meaning in _COUNTS.items():
        family = CounterMetricFamily(f"edgemill_{key}", meaning, labels=["station"])
        for name, found in stations.items():
            family.add_metric([name], found[key])
        yield family
