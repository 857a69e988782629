"""Spans that wait to be exported, and the thread that sends them in batches."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import msgspec

from undercroft.monitoring._tracing._otlp_post import Outcome
from undercroft.monitoring._tracing._protocol import FinishedSpan

_log = logging.getLogger("undercroft.monitoring")
_GRACE_S = 1.0
"""What a thread that was told to end gets on top of the deadline, to end in."""

Send = Callable[[Sequence[FinishedSpan]], Awaitable[Outcome]]
OpenSender = Callable[[Callable[[], float]], AbstractAsyncContextManager[Send]]
"""Given how many seconds are left before closing is over, opens what sends. Entered in the thread's own event loop."""


class ExportCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the spans that an exporter was given."""

    exported: int = 0
    """The receiver took them."""
    rejected: int = 0
    """The receiver answered that it did not take them, though it took their batch."""
    failed: int = 0
    """Given up: it refused them, or could not be reached for as long as retries go on."""
    dropped: int = 0
    """The buffer was full, or closing was over before they were delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many spans wait, and how long."""

    buffer_size: int
    batch_size: int
    interval_s: float
    drain_s: float


class Batches:
    """A bounded buffer that a thread of its own empties, from the first span until `close`."""

    def __init__(self, open_sender: OpenSender, limits: Limits, *, shown: str) -> None:
        self._open_sender = open_sender
        self._limits = limits
        self._shown = shown
        self.reset()

    def reset(self) -> None:
        """Have taken nothing; also in a forked child, where the thread is gone and the lock may be held by nobody."""
        self._lock = threading.Lock()
        self._progress = threading.Condition(self._lock)
        self._buffer: deque[FinishedSpan] = deque()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._limit = asyncio.Timeout(None)
        self._is_closing = self._is_failing = self._has_told_of_rejection = False
        self._close_at = float("inf")
        self._taken = self._over = self._flush_to = 0
        self._exported = self._rejected = self._failed = self._dropped = 0

    @property
    def counts(self) -> ExportCounts:
        with self._lock:
            return ExportCounts(
                exported=self._exported, rejected=self._rejected, failed=self._failed, dropped=self._dropped
            )

    def add(self, span: FinishedSpan) -> None:
        """Take `span`, or drop and count it. Any thread; the lock is only ever held for a moment."""
        with self._lock:
            if self._is_closing or len(self._buffer) >= self._limits.buffer_size:
                self._dropped += 1
                return
            self._buffer.append(span)
            self._taken += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="undercroft spans", daemon=True)
                self._thread.start()
            elif len(self._buffer) == self._limits.batch_size:
                self._wake()

    def flush(self) -> None:
        """Block until what was taken before is delivered or given up, or the deadline has passed."""
        with self._progress:
            target = self._flush_to = max(self._flush_to, self._taken)
            self._wake()
            self._progress.wait_for(lambda: self._over >= target, self._limits.drain_s)

    def close(self) -> None:
        """Deliver what is left within the deadline, drop the rest, end the thread. Blocks; twice does nothing."""
        with self._lock:
            if not self._is_closing:
                self._is_closing = True
                self._close_at = time.monotonic() + self._limits.drain_s
                self._wake()
            thread = self._thread
        if thread is not None:
            thread.join(max(0.0, self._close_at - time.monotonic()) + _GRACE_S)

    def time_left(self) -> float:
        """Return the seconds until closing is over; infinite while it has not begun."""
        return self._close_at - time.monotonic()

    def _wake(self) -> None:
        if self._loop is not None:  # otherwise the thread looks by itself, when it begins
            self._loop.call_soon_threadsafe(self._on_wake)

    # From here on, in the thread.

    def _on_wake(self) -> None:
        self._woken.set()
        if self._is_closing:
            self._limit.reschedule(asyncio.get_running_loop().time() + max(0.0, self.time_left()))

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except TimeoutError:
            _log.warning("closing was over before all spans were exported to %s", self._shown)
        except Exception:  # a thread's error is nobody's: tell it, and take nothing any more
            _log.exception("spans are not exported to %s any more", self._shown)
        finally:
            with self._progress:
                self._is_closing = True
                self._dropped += len(self._buffer)
                self._over += len(self._buffer)
                self._buffer.clear()
                self._progress.notify_all()

    async def _main(self) -> None:
        async with asyncio.timeout(None) as self._limit:
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._on_wake()
            try:
                async with self._open_sender(self.time_left) as send:
                    while await self._wait_until_due():
                        while batch := self._next_batch():
                            await self._deliver(send, batch)
            finally:
                with self._lock:
                    self._loop = None  # nobody may wake a loop that is closed

    async def _wait_until_due(self) -> bool:
        """Return true once there is something to send: a full batch, or whatever there is after the interval."""
        try:
            async with asyncio.timeout(self._limits.interval_s):
                while not (self._is_closing or self._is_due()):
                    await self._woken.wait()
                    self._woken.clear()
        except TimeoutError:
            if not self._limit.expired():
                return True
            raise
        return not self._is_closing or bool(self._buffer)

    def _is_due(self) -> bool:
        return len(self._buffer) >= self._limits.batch_size or self._over < self._flush_to

    def _next_batch(self) -> list[FinishedSpan]:
        with self._lock:
            count = min(len(self._buffer), self._limits.batch_size)
            return [self._buffer.popleft() for _ in range(count)]

    async def _deliver(self, send: Send, batch: list[FinishedSpan]) -> None:
        outcome = None
        try:
            outcome = await send(batch)
        finally:  # also when it is cut short: every span that was taken is counted once
            with self._progress:
                self._over += len(batch)
                self._count(outcome, len(batch))
                self._progress.notify_all()
        self._tell(outcome, len(batch))

    def _count(self, outcome: Outcome | None, size: int) -> None:
        if outcome is None:
            self._dropped += size
        elif outcome.problem:
            self._failed += size
        else:
            rejected = min(size, outcome.rejected)
            self._rejected += rejected
            self._exported += size - rejected

    def _tell(self, outcome: Outcome, size: int) -> None:
        """Log what went wrong when it begins and when it is over, not once a batch."""
        if outcome.problem and not self._is_failing:
            _log.warning("spans are not exported to %s: %s; %d lost so far", self._shown, outcome.problem, self._failed)
        elif self._is_failing and not outcome.problem:
            _log.info("spans are exported to %s again; %d were lost", self._shown, self._failed)
        self._is_failing = bool(outcome.problem)
        if outcome.rejected and not self._has_told_of_rejection:
            self._has_told_of_rejection = True
            _log.warning(
                "%s did not take %d of %d spans: %s", self._shown, outcome.rejected, size, outcome.why_rejected[:256]
            )
