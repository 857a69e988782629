"""Cancels the task that holds a lock when the lease is lost, and tells that apart from every other cancellation.

As `asyncio.timeout` does (CPython, Lib/asyncio/timeouts.py): the number of cancellations that were asked for before the
block is compared with the number after it, less our own.
"""

from __future__ import annotations

import asyncio

from undercroft.resilience._locks._lease import Lease


class Guard:
    """Watches over one block of one task, from `begin` to `end`."""

    __slots__ = ("_before", "_is_cancelling", "_task", "_timer", "lease")

    def __init__(self, lease: Lease, task: asyncio.Task[object]) -> None:
        self.lease = lease
        self._task = task
        self._before = task.cancelling()
        self._is_cancelling = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Cancel the task from now on when the lease is lost."""
        self.lease.watch(self._cancel)
        if self.lease.is_on_the_hosts_clock:
            self._look()

    def _look(self) -> None:
        """Find the lease ended, in a timer and not only in the task that renews.

        A process that was stopped past its lease finds its timers and its answers due together. A timer runs before any
        task that an answer wakes, so the holder is cancelled instead of going on with what it was waiting for.
        """
        left = self.lease.check()
        if self.lease.is_in_use:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)

    def _cancel(self) -> None:
        if asyncio.current_task() is not self._task:  # it has found out by itself, and is told by an error
            self._is_cancelling = True
            self._task.cancel()

    async def end(self, exc: BaseException | None) -> bool:
        """Cancel nobody any more, and return whether `exc`, `None` for a block that ended well, is our doing alone.

        Raises:
            asyncio.CancelledError: Somebody else cancelled the task as well, and that was not told yet.
        """
        self.lease.watch(None)
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_cancelling:
            return False
        pending: asyncio.CancelledError | None = None
        if not isinstance(exc, asyncio.CancelledError):
            # Asked for and not delivered yet, it would come at some later await: `uncancel` does not take it back
            # before Python 3.13.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as cancelled:
                pending = cancelled
        is_ours_alone = self._task.uncancel() <= self._before
        if pending is not None and not is_ours_alone:
            raise pending
        return is_ours_alone and (exc is None or isinstance(exc, asyncio.CancelledError))
