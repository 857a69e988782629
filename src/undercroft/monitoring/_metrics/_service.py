"""Metrics as one object to hand on."""

from __future__ import annotations

from collections.abc import Mapping

from undercroft.monitoring._metrics._face import registry as process_registry
from undercroft.monitoring._metrics._names import MetricType
from undercroft.monitoring._metrics._registry import Registry
from undercroft.monitoring._metrics._timer import Timer
from undercroft.monitoring._metrics._values import HistogramValue, MetricValue

Labels = Mapping[str, object] | None


class MetricsService:
    """The functions of the module as methods, for code that is given its parts. Nobody closes it.

    Args:
        registry: Where it counts; by default the registry of the process.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = process_registry() if registry is None else registry

    def increment(self, name: str, value: float | Mapping[str, object] = 1, labels: Labels = None) -> None:
        """Add to a counter."""
        self.registry.increment(name, value, labels)

    def gauge(self, name: str, value: float, labels: Labels = None) -> None:
        """Set a gauge."""
        self.registry.gauge(name, value, labels)

    def observe(self, name: str, value: float, labels: Labels = None) -> None:
        """Count a value in a histogram."""
        self.registry.observe(name, value, labels)

    def timer(self, name: str, labels: Labels = None) -> Timer:
        """Return what observes seconds in a histogram."""
        return self.registry.timer(name, labels)

    def track_metric(
        self,
        name: str,
        value: float = 1,
        tags: Labels = None,
        *,
        type: MetricType = "counter",  # noqa: A002
    ) -> None:
        """Record a value in a metric of the kind that `type` says."""
        self.registry.track_metric(name, value, tags, type=type)

    def get_counter(self, name: str, labels: Labels = None) -> float:
        """Return a counter's value; 0 when it was never counted."""
        return self.registry.get_counter(name, labels)

    def get_gauge(self, name: str, labels: Labels = None) -> float:
        """Return a gauge's value; 0 when it was never set."""
        return self.registry.get_gauge(name, labels)

    def get_histogram(self, name: str, labels: Labels = None) -> HistogramValue:
        """Return what a histogram holds; empty when nothing was observed."""
        return self.registry.get_histogram(name, labels)

    def get_all_metrics(self) -> list[MetricValue]:
        """Return every series that this process has used."""
        return self.registry.get_all_metrics()

    def clear_metrics(self) -> None:
        """Forget what was counted, and every metric that is not declared. For tests."""
        self.registry.clear_metrics()

    def get_metrics(self) -> str:
        """Return every metric in Prometheus' text format."""
        return self.registry.render_prometheus()
