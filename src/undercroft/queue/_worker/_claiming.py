"""What fills a worker's free slots, and waits when there is nothing to fill them with."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Claim
from undercroft.queue._worker._context import Workplace
from undercroft.queue._worker._draw import QueueDraw
from undercroft.queue._worker._slots import RETRY_S, Slots

_IDLE_S = 1.0
_log = Logger(module="undercroft.queue")


class Claimer:
    """Claims jobs for free slots until it is told to stop. Runs in one task that nothing outside cancels."""

    def __init__(
        self,
        place: Workplace,
        slots: Slots,
        *,
        names: tuple[str, ...],
        draw: QueueDraw,
        clock: Clock,
    ) -> None:
        self.is_stopping = False
        self.until_idle = False
        """Stop when nothing that is due is left."""
        self.unanswered_since: float | None = None
        """Since when the store does not answer, by the worker's monotonic clock."""
        self._place = place
        self._engine = place.engine
        self._slots = slots
        self._names = names
        self._draw = draw
        self._clock = clock
        self._pause = anyio.CancelScope()
        self._claiming: anyio.CancelScope | None = None

    def stop(self) -> None:
        """Claim no more; a claim that is under way is given back."""
        self.is_stopping = True
        self._pause.cancel()

    def start_over(self) -> None:
        """Give up the claim or the wait that is under way, and claim anew."""
        self._pause.cancel()
        if self._claiming is not None:
            self._claiming.cancel()

    async def run(self, group: anyio.abc.TaskGroup) -> None:
        """Claim jobs, and run each in a task of `group`, until stopped or used up."""
        with anyio.CancelScope(shield=True):
            retry_s = RETRY_S[0]
            while not self.is_stopping and not self._slots.is_used_up:
                try:
                    if not await self._turn(group):
                        return
                except Exception as exc:  # a loop that ends quietly is how queues stop without anybody noticing
                    await self._wait_out(exc, retry_s)
                    retry_s = min(retry_s * 2, RETRY_S[1])
                else:
                    retry_s = RETRY_S[0]

    async def _turn(self, group: anyio.abc.TaskGroup) -> bool:
        """Fill the free slots once, or wait. False: all that was wanted is done."""
        free = self._slots.free
        if free <= 0:
            await self._wait(self._slots.wait_until_freed)
            return True
        seen = self._engine.changes
        claimed, next_due_at = await self._fill(free, group)
        return claimed == free or await self._has_more(next_due_at, seen)

    async def _fill(self, free: int, group: anyio.abc.TaskGroup) -> tuple[int, float | None]:
        shares = {self._draw.queues[0]: free}
        if not self._draw.is_single:
            shares = Counter(self._draw.next() for _ in range(free))
        claimed = 0
        for queue, share in shares.items():
            claim = await self._claim(self._draw.order(queue), share)
            for job in claim.jobs:
                self._slots.start(job, group)
            claimed += len(claim.jobs)
            if len(claim.jobs) < share:  # it looked into all queues: none has more
                return claimed, claim.next_due_at
        return claimed, None

    async def _claim(self, queues: tuple[str, ...], limit: int) -> Claim:
        with anyio.CancelScope() as self._claiming:
            claim = await self._engine.claim(
                queues=queues, names=self._names, limit=limit, worker_id=self._place.id, lease_s=self._place.lease_s
            )
        if self._claiming.cancelled_caught:
            raise QueueUnavailableError("a claim took too long and was given up")
        self._claiming, self.unanswered_since = None, None
        if self.is_stopping and claim.jobs:
            await self._slots.release(claim.jobs)
            return Claim(jobs=(), next_due_at=None)
        return claim

    async def _has_more(self, next_due_at: float | None, seen: int) -> bool:
        """Wait for work; `False` when only what is due now was wanted and nothing is left of it."""
        if self.until_idle:
            if not self._slots.is_idle:
                await self._wait(self._slots.wait_until_freed)
                return True
            return self._engine.changes != seen
        until_due = math.inf if next_due_at is None else max(0.0, next_due_at - self._engine.time())
        await self._wait(self._wait_for_work, seen, min(_IDLE_S * random.uniform(0.8, 1.0), until_due))
        return True

    async def _wait_for_work(self, seen: int, timeout: float) -> None:
        await self._engine.wait_for_work(self._draw.queues, since=seen, timeout=timeout)

    async def _wait_out(self, exc: Exception, retry_s: float) -> None:
        if isinstance(exc, QueueUnavailableError):
            _log.warning("queue does not answer, will try again", error_text=exc.message, retry_in_s=retry_s)
        else:
            _log.error("claiming failed, will try again", exc, retry_in_s=retry_s)
        if self.unanswered_since is None:
            self.unanswered_since = self._clock.monotonic()
        await self._wait(self._clock.sleep, retry_s * random.uniform(0.8, 1.2))

    async def _wait(self, wait: Callable[..., Any], *args: Any) -> None:
        """Wait for `wait(*args)`, or until `stop` or `start_over`."""
        with anyio.CancelScope() as self._pause:
            if not self.is_stopping:
                await wait(*args)
