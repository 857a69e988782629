"""What an `Infra` counts of parts that cannot count by themselves, or that somebody else counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from undercroft.health import HealthResult, HealthStatus
from undercroft.monitoring import Counter, Gauge, Reading, registry, tracing_counts

if TYPE_CHECKING:
    from undercroft.app._infra import Infra

_LOST = ("dropped", "sampled")
_HEALTH = {HealthStatus.HEALTHY: 1.0, HealthStatus.DEGRADED: 0.5, HealthStatus.UNHEALTHY: 0.0}


class LineCounts:
    """Counts log lines, as `setup_logging(count=…)` tells of them. Called in any thread."""

    def __init__(self) -> None:
        written = Counter("undercroft_log_lines_total", help="Log lines that were written.", labels=("level",))
        lost = Counter(
            "undercroft_log_lines_lost_total",
            help="Log lines that were not written: dropped for want of room, or left out by sampling.",
            labels=("reason",),
        )
        self._series = {word: lost.labels(word) for word in _LOST}
        self._written = written

    def __call__(self, word: str) -> None:
        series = self._series.get(word)
        if series is None:
            series = self._series[word] = self._written.labels(word)
        series.increment()


class HealthGauges:
    """Tells the last result of each check, as `HealthChecks(observe=…)` tells of them."""

    def __init__(self) -> None:
        self._status = Gauge(
            "undercroft_health_status",
            help="The last result of a health check: 1 healthy, 0.5 degraded, 0 unhealthy.",
            labels=("check",),
            across="min",
        )
        self._failures = Counter(
            "undercroft_health_failures_total", help="Runs of a health check that were unhealthy.", labels=("check",)
        )

    def __call__(self, name: str, result: HealthResult) -> None:
        self._status.set(_HEALTH[result.status], check=name)
        if result.status is HealthStatus.UNHEALTHY:
            self._failures.increment(check=name)


def collect_parts(infra: Infra) -> Callable[[], None]:
    """Have the figures of an `Infra`'s parts read before each exposition, until what is returned is called."""
    Gauge(
        "undercroft_pool_connections",
        help="Connections of a pool that are in use or idle, and tasks that wait for one.",
        labels=("part", "state"),
    )
    Counter(
        "undercroft_pool_exhausted_total",
        help="Tasks that waited for a connection in vain, since the pool was opened.",
        labels=("part",),
    )
    Counter(
        "undercroft_spans_failed_total",
        help="Spans that a processor raised for, values that redaction raised for, spans that nobody ended.",
        labels=("reason",),
    )
    Counter(
        "undercroft_telemetry_lost_total",
        help="Spans, lines and events that did not reach whom they were for.",
        labels=("to",),
    )
    return registry().collect(lambda: list(_readings(infra)))


def _readings(infra: Infra) -> Iterator[Reading]:
    for part, pool in infra.services.pools():
        for state, value in pool.items():
            yield Reading("undercroft_pool_connections", value, {"part": part, "state": state})
    exhausted = infra.services.database.pool_status.exhausted_count
    yield Reading("undercroft_pool_exhausted_total", exhausted, {"part": "database"}, "counter")
    counts = tracing_counts()
    for problem in ("processor_failures", "redaction_failures", "forgotten"):
        yield Reading("undercroft_spans_failed_total", getattr(counts, problem), {"reason": problem}, "counter")
    for to, lost in infra.observability.lost():
        yield Reading("undercroft_telemetry_lost_total", lost, {"to": to}, "counter")
