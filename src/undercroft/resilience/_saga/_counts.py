"""What sagas count of their own work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from functools import cache

from undercroft.monitoring import Counter, Histogram

_STEP = ("saga", "step")
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class SagaCounts:
    """Counts sagas, their steps and their compensations. One for the process is enough: see `saga_counts`."""

    def __init__(self) -> None:
        self._started = Counter("undercroft_sagas_started_total", help="Sagas that were started.", labels=("saga",))
        self._ended = Counter(
            "undercroft_sagas_total",
            help="Sagas by how they ended: completed, compensated, compensation_failed.",
            labels=("saga", "state"),
        )
        self._steps = Counter(
            "undercroft_saga_steps_total",
            help="Runs of steps by how they ended: done, retried, failed, crashed, interrupted.",
            labels=(*_STEP, "outcome"),
        )
        self._compensations = Counter(
            "undercroft_saga_compensations_total",
            help="Runs of compensations by how they ended: ok, retried, failed, crashed, interrupted.",
            labels=(*_STEP, "outcome"),
        )
        self._seconds = Histogram(
            "undercroft_saga_step_seconds",
            help="Seconds that runs of steps took.",
            unit="seconds",
            labels=_STEP,
            buckets=_SECONDS,
        )
        self._parked = Counter(
            "undercroft_sagas_parked_total",
            help="Looks at sagas that could not go on, as their definition is not known here or has changed.",
            labels=("saga",),
        )
        self._lost = Counter(
            "undercroft_sagas_lost_total", help="Runs of sagas that somebody else had taken over.", labels=("saga",)
        )

    def started(self, saga: str) -> None:
        """Count a saga that was started."""
        self._started.increment(saga=saga)

    def ended(self, saga: str, state: str) -> None:
        """Count a saga that came to its end."""
        self._ended.increment(saga=saga, state=state)

    def step(self, saga: str, step: str, outcome: str, *, seconds: float | None = None) -> None:
        """Count a run of a step."""
        self._steps.increment(saga=saga, step=step, outcome=outcome)
        if seconds is not None:
            self._seconds.observe(seconds, saga=saga, step=step)

    def compensation(self, saga: str, step: str, outcome: str) -> None:
        """Count a run of a compensation."""
        self._compensations.increment(saga=saga, step=step, outcome=outcome)

    def parked(self, saga: str) -> None:
        """Count a look at a saga that could not go on."""
        self._parked.increment(saga=saga)

    def lost(self, saga: str) -> None:
        """Count a run that lost its saga."""
        self._lost.increment(saga=saga)


@cache
def saga_counts() -> SagaCounts:
    """Return what the process counts by."""
    return SagaCounts()
