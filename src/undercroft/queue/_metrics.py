"""What an engine's statistics mean: percentiles, throughput, failures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from undercroft.queue._values import Counts, Minute, QueueStatistics

_RECENT_MINUTES = 5


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of some durations in seconds, the one that half, 95 % and 99 % of them do not exceed (nearest rank)."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles | None:
        """Return those of `values`; `None` when there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p95, p99 = (ordered[math.ceil(share * len(ordered) / 100) - 1] for share in (50, 95, 99))
        return cls(p50=p50, p95=p95, p99=p99, max=ordered[-1])


class QueueMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue does. What is about runs covers up to 1000 of the jobs that finished last and are kept."""

    queue: str
    counts: Counts
    oldest_waiting_s: float | None
    """How long the oldest waiting job could have run already; `None`: nothing waits."""
    throughput_per_minute: float
    """Jobs that were finished, completed or failed, on average of the last 5 whole minutes."""
    minutes: tuple[Minute, ...]
    """What was finished in each of the last 60 minutes, newest first; minutes without any may be left out."""
    wait_s: Percentiles | None
    """From when a job could run until it ran; of its last run."""
    run_s: Percentiles | None
    failure_rate: float | None
    """Share of jobs that failed for good, 0 to 1; `None`: none is finished."""


def summarise(queue: str, counts: Counts, statistics: QueueStatistics, *, now: float) -> QueueMetrics:
    """Return what the statistics of a queue say at the instant `now`."""
    recent = statistics.recent
    oldest = statistics.oldest_waiting_at
    return QueueMetrics(
        queue=queue,
        counts=counts,
        oldest_waiting_s=None if oldest is None else max(0.0, now - oldest),
        throughput_per_minute=_throughput(statistics.minutes, now),
        minutes=statistics.minutes,
        # Clocks of several machines: what ran "before" it was due waited for no time.
        wait_s=Percentiles.of(max(0.0, span.started_at - span.due_at) for span in recent),
        run_s=Percentiles.of(max(0.0, span.finished_at - span.started_at) for span in recent),
        failure_rate=sum(span.is_failed for span in recent) / len(recent) if recent else None,
    )


def _throughput(minutes: Iterable[Minute], now: float) -> float:
    this_minute = now // 60 * 60
    since = this_minute - _RECENT_MINUTES * 60
    ended = sum(minute.completed + minute.failed for minute in minutes if since <= minute.at < this_minute)
    return ended / _RECENT_MINUTES
