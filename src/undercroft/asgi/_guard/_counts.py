"""What the guards count of their own work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from undercroft.monitoring import Counter, Gauge


class GuardCounts:
    """Counts requests that were refused before the application had them, and tells who is blocked."""

    def __init__(self) -> None:
        self._refused = Counter(
            "undercroft_guard_refused_total",
            help="Requests that a guard refused: limited, unavailable, denied, blocked, client, global, lag.",
            labels=("reason",),
        )
        self._blocked = Gauge(
            "undercroft_guard_blocked_clients", help="Clients that the penalty box of a process remembers."
        )

    def refused(self, reason: str) -> None:
        """Count a refusal."""
        self._refused.increment(reason=reason)

    def blocked(self, count: int) -> None:
        """Tell how many clients the box has."""
        self._blocked.set(count)
