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
        self._limited: dict[str, CounterSeries] = {}

    def allowed(self, policy: str) -> None:
        """Count what was allowed."""
        try:
            self._allowed[policy].increment()
        except KeyError:
            self._allowed[policy] = self._checks.labels(policy, "allowed")
            self._allowed[policy].increment()

    def refused(self, decision: Decision) -> None:
        """Count a refusal, or what would have been one."""
        policy = decision.policy
        if decision.is_dry_run:
            self._checks.increment(policy=policy, outcome="dry_run")
            return
        try:
            self._limited[policy].increment()
        except KeyError:
            self._limited[policy] = self._checks.labels(policy, "limited")
            self._limited[policy].increment()

    def failed(self, policy: str, failure: Failure, fail: str) -> None:
        """Count a check without the store."""
        self._failures.increment(policy=policy, failure=failure.value, fail=fail)
