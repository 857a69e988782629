"""What is counted of locks; the metrics are the process's, and listed in docs/metrics.md.

Never by the lock's name: there may be one lock for each order.
"""

from __future__ import annotations

from undercroft.monitoring import Counter, Histogram

# Leases are held for milliseconds or for an hour.
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


class LockCounts:
    """Counts what becomes of locks in one store. On the path of every acquire, so the series are kept."""

    def __init__(self, store: str) -> None:
        acquisitions = Counter(
            "undercroft_lock_acquisitions_total",
            help="Attempts to acquire a lock by what came of them: acquired, contended, timed_out, unavailable.",
            labels=("store", "outcome"),
        )
        self.acquired = acquisitions.labels(store, "acquired")
        self.refused = acquisitions.labels(store, "contended")
        self.timed_out = acquisitions.labels(store, "timed_out")
        self.unavailable = acquisitions.labels(store, "unavailable")
        self.contended = Counter(
            "undercroft_lock_contended_total",
            help="Times that somebody had to wait for a lock, or was told that it is held.",
            labels=("store",),
        ).labels(store)
        self.lost = Counter(
            "undercroft_lock_lost_total", help="Leases that ended while their holder used them.", labels=("store",)
        ).labels(store)
        self.wait = Histogram(
            "undercroft_lock_wait_seconds",
            help="Seconds from asking for a lock to having it.",
            unit="seconds",
            labels=("store",),
            buckets=_SECONDS,
        ).labels(store)
        self.held = Histogram(
            "undercroft_lock_held_seconds",
            help="Seconds that locks were held, from having one to its release or loss.",
            unit="seconds",
            labels=("store",),
            buckets=_SECONDS,
        ).labels(store)
