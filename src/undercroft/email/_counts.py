"""What is counted of mails; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from undercroft.monitoring import Counter, Histogram


class EmailCounts:
    """Counts the sending of mails."""

    def __init__(self) -> None:
        self._mails = Counter(
            "undercroft_emails_total",
            help="Mails by what came of sending them: sent, or the type of the error.",
            labels=("transport", "outcome"),
        )
        self._seconds = Histogram(
            "undercroft_email_send_seconds",
            help="Seconds that sending a mail took, from the template to the transport's answer.",
            unit="seconds",
            labels=("transport",),
        )

    def ended(self, transport: str, error: BaseException | None, *, seconds: float) -> None:
        """Count a mail that was sent, or not."""
        self._mails.increment(transport=transport, outcome="sent" if error is None else type(error).__name__)
        self._seconds.observe(seconds, transport=transport)
