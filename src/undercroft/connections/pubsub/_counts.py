"""What is counted of messages; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from undercroft.monitoring import Counter, Histogram


class PublishCounts:
    """Counts what is published."""

    def __init__(self) -> None:
        self._messages = Counter(
            "undercroft_messages_published_total", help="Messages that the server took.", labels=("topic",)
        )

    def published(self, topic: str) -> None:
        """Count a message."""
        self._messages.increment(topic=topic)


class HandlingCounts:
    """Counts what is handled."""

    def __init__(self) -> None:
        self._messages = Counter(
            "undercroft_messages_handled_total",
            help="Deliveries of messages by what came of them: handled, duplicate, failed, …",
            labels=("subscription", "outcome"),
        )
        self._seconds = Histogram(
            "undercroft_message_handling_seconds",
            help="Seconds that deliveries took to handle.",
            unit="seconds",
            labels=("subscription",),
        )

    def ended(self, subscription: str, outcome: str, *, seconds: float) -> None:
        """Count a delivery."""
        self._messages.increment(subscription=subscription, outcome=outcome)
        self._seconds.observe(seconds, subscription=subscription)
