"""The registry of the process. Module state, for counters are of a process."""

from __future__ import annotations

from undercroft.monitoring._metrics._registry import Registry

_REGISTRY = Registry()


def registry() -> Registry:
    """Return the registry of the process, which the functions of `undercroft.monitoring` count in."""
    return _REGISTRY


increment = _REGISTRY.increment
gauge = _REGISTRY.gauge
observe = _REGISTRY.observe
timer = _REGISTRY.timer
track_metric = _REGISTRY.track_metric
get_counter = _REGISTRY.get_counter
get_gauge = _REGISTRY.get_gauge
get_histogram = _REGISTRY.get_histogram
get_all_metrics = _REGISTRY.get_all_metrics
clear_metrics = _REGISTRY.clear_metrics
render_prometheus = _REGISTRY.render_prometheus
render_openmetrics = _REGISTRY.render_openmetrics
negotiate = _REGISTRY.negotiate
attach = _REGISTRY.attach
