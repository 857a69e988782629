"""Where events are handed to the SDK, within a budget, and counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from undercroft.logging._sentry._budget import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryCounts:
    """What became of the errors that were logged, since the bridge was made."""

    reported: int = 0
    """Handed to the SDK, which sends them in the background and drops them when Sentry stays away."""
    skipped: int = 0
    """Not made into an event: there were too many, the SDK's buffer is full, or Sentry has asked for a pause."""
    failed: int = 0
    """Not reported because making or redacting the event failed. Nothing is sent that could not be redacted."""


class Outlet:
    """Lives as long as its bridge; `client` is the SDK's while the bridge is open. Used from any thread."""

    def __init__(self, sdk: Any, budget: Budget) -> None:
        self._sdk = sdk
        self._budget = budget
        self.client: Any = None
        self._reported = self._skipped = self._failed = 0
        self._lock = threading.Lock()

    @property
    def counts(self) -> SentryCounts:
        """What became of the errors so far."""
        return SentryCounts(reported=self._reported, skipped=self._skipped, failed=self._failed)

    def send(self, event: dict[str, Any], exc: BaseException | None, *, is_handled: bool = True) -> None:
        """Report `event`, with the exception that belongs to it. Never waits for Sentry.

        Raises:
            Exception: What the SDK raised.
        """
        client = self.client
        if client is None or not self._may_send(client):
            with self._lock:
                self._skipped += 1
            return
        hint: dict[str, Any] = {}
        if exc is not None:
            described, hint = self._sdk.utils.event_from_exception(
                (type(exc), exc, exc.__traceback__),
                client_options=client.options,
                mechanism={"type": "undercroft", "handled": is_handled},
            )
            event = {**described, **event}
        self._sdk.capture_event(event, hint=hint)
        with self._lock:
            self._reported += 1

    def note_failure(self) -> None:
        """Count an event that could not be made or redacted."""
        with self._lock:
            self._failed += 1

    def has_span(self) -> bool:
        """Tell whether a span of the SDK's own is going on here."""
        return self._sdk.get_current_span() is not None

    def _may_send(self, client: Any) -> bool:
        transport = client.transport
        return transport is not None and transport.is_healthy() and self._budget.take()
