"""What rate limits count of their own work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from undercroft.monitoring import Counter, CounterSeries
from undercroft.ratelimit._values import Decision, Failure


class LimitCounts:
    """Counts decisions by policy. On the path that every check takes, so each policy's series are kept."""

    def __init__(self) -> None:
        self._checks = Counter(
            "undercroft_rate_limit_checks_total",
            help="Checks of rate limits by what they came to: allowed, limited, dry_run (would have been limited).",
            labels=("policy", "outcome"),
        )
        self._failures = Counter(
            "undercroft_rate_limit_failures_total",
            help="Checks that the store did not answer, by why, and by what the policy does then.",
            labels=("policy", "failure", "fail"),
        )
        self._allowed: dict[str, CounterSeries] = {}
        self._refused: dict[tuple[str, bool], CounterSeries] = {}

    def allowed(self, policy: str) -> None:
        """Count what was allowed."""
        try:
            self._allowed[policy].increment()
        except KeyError:
            self._allowed[policy] = self._checks.labels(policy, "allowed")
            self._allowed[policy].increment()

    def refused(self, decision: Decision) -> None:
        """Count a refusal, or what would have been one."""
        kept = decision.policy, decision.is_dry_run
        try:
            self._refused[kept].increment()
        except KeyError:
            self._refused[kept] = self._checks.labels(kept[0], "dry_run" if kept[1] else "limited")
            self._refused[kept].increment()

    def failed(self, policy: str, failure: Failure, fail: str) -> None:
        """Count a check without the store."""
        self._failures.increment(policy=policy, failure=failure.value, fail=fail)
