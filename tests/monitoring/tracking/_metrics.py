"""Metrics that a test sets as it likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import AlertEvent


@dataclass(kw_only=True)
class Series:
    name: str
    type: str = "gauge"
    value: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    sum: float | None = None
    buckets: Mapping[float, int] | None = None


class Board:
    """What the alerts read."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, tuple[tuple[str, str], ...]], Series] = {}
        self.reads = 0
        self.problem: Exception | None = None

    def __call__(self) -> list[Series]:
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        return [*self.series.values()]

    def set(self, name: str, value: float, type_: str = "gauge", **labels: str) -> None:
        self.series[name, tuple(sorted(labels.items()))] = Series(name=name, type=type_, value=value, labels=labels)

    def observe(self, name: str, *values: float, bounds: tuple[float, ...] = (0.1, 0.5, 1.0, float("inf"))) -> None:
        before = self.series.get((name, ())) or Series(
            name=name, type="histogram", count=0, sum=0.0, buckets=dict.fromkeys(bounds, 0)
        )
        assert before.count is not None
        assert before.sum is not None
        assert before.buckets is not None
        self.series[name, ()] = Series(
            name=name,
            type="histogram",
            count=before.count + len(values),
            sum=before.sum + sum(values),
            buckets={bound: count + sum(v <= bound for v in values) for bound, count in before.buckets.items()},
        )


class Receiver:
    """Someone who is told: takes events, or fails as often as it is told to."""

    def __init__(self, clock: VirtualClock, *, failures: int = 0, hangs: bool = False) -> None:
        self._clock = clock
        self.failures = failures
        self.hangs = hangs
        self.attempts: list[float] = []
        self.events: list[AlertEvent] = []

    async def __call__(self, event: AlertEvent) -> None:
        self.attempts.append(self._clock.time())
        if self.hangs:
            await self._clock.sleep(1e9)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to the pager")
        self.events.append(event)
