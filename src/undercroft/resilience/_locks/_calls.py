"""Calls to a store of locks: each under a deadline, a few times when it is away, and to the end when it must be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, Generic, TypeVar

import anyio

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft.resilience._locks._errors import LockUnavailableError
from undercroft.resilience._locks._protocol import LockStore

T = TypeVar("T")
ATTEMPTS = 3
_FIRST_PAUSE_S = 0.02


class Answer(Generic[T]):
    """What the store said, and how far that can be trusted."""

    __slots__ = ("asked_at", "is_repeated", "value")

    def __init__(self, value: T, asked_at: float, *, is_repeated: bool) -> None:
        self.value = value
        self.asked_at = asked_at
        """By the monotonic clock, before the request that was answered was sent."""
        self.is_repeated = is_repeated
        """Whether an earlier request may have been carried out too."""


class Calls:
    """Calls of one store. `timeout_s` is what a call may take, its repetitions included."""

    def __init__(self, store: LockStore, clock: Clock, timeout_s: float, random: Callable[[], float]) -> None:
        self._store_name, self._is_local = store.name, store.is_local
        self._clock = clock
        self._random = random
        self.timeout_s = timeout_s

    async def ask(
        self, call: Callable[[], Awaitable[T]], *, within_s: float | None = None, attempts: int = ATTEMPTS
    ) -> Answer[T]:
        """Make a call that may be repeated, up to `attempts` times, with growing pauses of random length.

        Raises:
            LockUnavailableError: It failed each time, or did not return in time. It may have been carried out.
        """
        if self._is_local:
            asked_at = self._clock.monotonic()
            return Answer(await call(), asked_at, is_repeated=False)
        limit_s = self.timeout_s if within_s is None else within_s
        with self._clock.cancel_after(limit_s):
            for attempt in count(1):
                asked_at = self._clock.monotonic()
                try:
                    return Answer(await call(), asked_at, is_repeated=attempt > 1)
                except LockUnavailableError:
                    if attempt >= attempts:
                        raise
                await self._clock.sleep(self.pause(attempt))
        raise LockUnavailableError(
            f"the locks' store ({self._store_name}) did not answer within {format_seconds(limit_s)}"
        )

    def pause(self, attempt: int, *, cap_s: float = 0.1) -> float:
        """Return how long to wait after that many attempts: full jitter (Brooker, AWS architecture blog, 2015)."""
        longest: float = min(cap_s, _FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 16))
        return max(0.001, self._random() * longest)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which has a deadline of its own, also when the caller is cancelled; then be cancelled.

    A task of its own, as a cancellation of asyncio's own kind does not stop at a shield.
    """
    task = asyncio.create_task(work, name="undercroft locks: end of a lease")
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = exc
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what counts
        raise cancelled
    return task.result()
