"""What policies count of their work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from undercroft.monitoring import Counter, Gauge, Histogram

STATES = {"closed": 0, "half_open": 1, "open": 2}


class RetryCounts:
    """Counts extra attempts, and calls that got no more of them."""

    def __init__(self) -> None:
        self._retries = Counter(
            "undercroft_retries_total", help="Attempts after the first, by the name of the retry.", labels=("retry",)
        )
        self._given_up = Counter(
            "undercroft_retries_given_up_total",
            help="Calls whose error could have been retried and was not: attempts, deadline, budget, retry_after.",
            labels=("retry", "reason"),
        )

    def retried(self, name: str) -> None:
        """Count an attempt after the first."""
        self._retries.increment(retry=name)

    def gave_up(self, name: str, reason: str) -> None:
        """Count a call that got no more attempts."""
        self._given_up.increment(retry=name, reason=reason)


class HedgeCounts:
    """Counts second attempts of slow calls, and which of them were of use."""

    def __init__(self) -> None:
        self._hedges = Counter(
            "undercroft_hedges_total",
            help="Attempts that were started beside a slow one: started, won, denied (by the budget).",
            labels=("hedge", "outcome"),
        )

    def count(self, name: str, outcome: str) -> None:
        """Count an attempt."""
        self._hedges.increment(hedge=name, outcome=outcome)


class BulkheadCounts:
    """Counts what a bulkhead turned away, and shows how full it is."""

    def __init__(self, name: str) -> None:
        self.refused = Counter(
            "undercroft_bulkhead_refused_total",
            help="Calls that a bulkhead turned away: full, or waited too long.",
            labels=("bulkhead", "reason"),
        )
        self.running = Gauge(
            "undercroft_bulkhead_running", help="Calls that run inside of a bulkhead.", labels=("bulkhead",)
        ).labels(name)
        self.wait = Histogram(
            "undercroft_bulkhead_wait_seconds",
            help="Seconds that calls waited for a place in a bulkhead; those that did not wait are not observed.",
            unit="seconds",
            labels=("bulkhead",),
        ).labels(name)


class FallbackCounts:
    """Counts answers that were not the real ones."""

    def __init__(self, name: str) -> None:
        self.used = Counter(
            "undercroft_fallbacks_total", help="Calls that were answered by their fallback.", labels=("fallback",)
        ).labels(name)


class TimeoutCounts:
    """Counts calls that were cut off."""

    def __init__(self, name: str) -> None:
        self.cut = Counter(
            "undercroft_call_timeouts_total", help="Calls that were cut off by a timeout policy.", labels=("timeout",)
        ).labels(name)


class BreakerCounts:
    """Counts the calls over one breaker by how they ended, and shows its state."""

    def __init__(self, name: str) -> None:
        calls = Counter(
            "undercroft_breaker_calls_total",
            help="Calls over a breaker: succeeded, failed, ignored (nobody's failure), rejected (it was open).",
            labels=("breaker", "outcome"),
        )
        self.succeeded = calls.labels(name, "succeeded")
        self.failed = calls.labels(name, "failed")
        self.ignored = calls.labels(name, "ignored")
        self.rejected = calls.labels(name, "rejected")
        self.changes = Counter(
            "undercroft_breaker_changes_total",
            help="Changes of a breaker's state as this process saw them, by the new state.",
            labels=("breaker", "state"),
        )
        self.state = Gauge(
            "undercroft_breaker_state",
            help="0 closed, 1 half open, 2 open; of several processes, the worst.",
            labels=("breaker",),
            across="max",
        ).labels(name)


class StoreCounts:
    """Counts what the store of shared breakers did not answer."""

    def __init__(self) -> None:
        self._errors = Counter(
            "undercroft_breaker_store_errors_total",
            help="Calls to the store of shared breakers that failed or took too long.",
            labels=("store",),
        )

    def failed(self, store: str) -> None:
        """Count one."""
        self._errors.increment(store=store)
