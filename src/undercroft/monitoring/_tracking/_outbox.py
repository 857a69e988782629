"""The way of alerts to one receiver: in order, tried again until it takes them."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from undercroft._core.clock import Clock
from undercroft.monitoring._metrics._declared import Counter
from undercroft.monitoring._tracking._event import AlertEvent

Notify: TypeAlias = Callable[[AlertEvent], Awaitable[None] | None]
"""Takes an event; raising means that it did not. A function that is not `async` must not block."""

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 300.0
_MAX_WAITING = 100


class Outbox:
    """What one receiver has not taken yet. At least once: one that took an event and then raised gets it again."""

    def __init__(self, notify: Notify, *, clock: Clock, random: Callable[[], float], timeout_s: float) -> None:
        self.name = getattr(notify, "__qualname__", type(notify).__qualname__)
        self._notify = notify
        self._clock = clock
        self._random = random
        self._timeout_s = timeout_s
        self._waiting: deque[AlertEvent] = deque()
        self._failures = 0
        self._due_at = 0.0
        self.lost_count = 0
        self._deliveries = Counter(
            "undercroft_alert_deliveries_total",
            help="Attempts to tell a receiver of an alert: taken, failed; and events lost without one.",
            labels=("outcome",),
        )

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: AlertEvent) -> None:
        """Take an event for the receiver. With 100 waiting, the oldest is lost, counted and logged."""
        if len(self._waiting) == _MAX_WAITING:
            self._log("error", f"lost, since {_MAX_WAITING} wait already: {self._waiting.popleft()}")
            self.lost_count += 1
            self._deliveries.increment(outcome="lost")
        self._waiting.append(event)

    @property
    def wait_s(self) -> float | None:
        """Seconds until the next attempt; `None` when nothing waits."""
        return max(0.0, self._due_at - self._clock.monotonic()) if self._waiting else None

    async def deliver(self) -> None:
        """Give the receiver what waits, if an attempt is due, up to the first failure.

        Each attempt has the timeout, and none is begun after it: a slow receiver keeps nobody longer than twice that.
        """
        end = self._clock.monotonic() + self._timeout_s
        while self._waiting and self._due_at <= self._clock.monotonic() < end:
            event = self._waiting[0]
            problem = await self._attempt(event)
            self._deliveries.increment(outcome="taken" if problem is None else "failed")
            if problem is not None:
                self._postpone(event, problem)
            else:
                self._failures = 0
                if self._waiting and self._waiting[0] is event:  # and not lost meanwhile
                    self._waiting.popleft()

    async def _attempt(self, event: AlertEvent) -> str | None:
        """Return why the receiver did not take it, `None` when it did."""
        try:
            with self._clock.cancel_after(self._timeout_s) as scope:
                answer = self._notify(event)
                if inspect.isawaitable(answer):
                    await answer
        except Exception as exc:  # its failure is kept here, counted, logged and tried again
            return f"{type(exc).__name__}: {exc}"
        return f"no answer within {self._timeout_s:g}s" if scope.cancelled_caught else None

    def _postpone(self, event: AlertEvent, problem: str) -> None:
        delay = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(self._failures, 20))
        self._failures += 1
        delay *= 0.5 + self._random() / 2  # so that many processes do not come back at once
        self._due_at = self._clock.monotonic() + delay
        self._log("warning", f"did not take {event}, next attempt in {delay:.1f}s: {problem}")

    def _log(self, level: str, text: str) -> None:
        from logging import getLogger

        getattr(getLogger("undercroft.monitoring"), level)("alert receiver %s: %s", self.name, text)
