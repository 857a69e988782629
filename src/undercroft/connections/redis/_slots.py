"""So many at a time, first come first served, and who holds what."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from undercroft._core.clock import Clock
from undercroft.connections.redis._errors import Holder

_NAMED = 5
"""How many holders a message names."""


@dataclass(eq=False, slots=True)
class Hold:
    """One slot in use."""

    task: asyncio.Task[object] | None
    since: float


class SlotsExhausted(Exception):  # noqa: N818 - never leaves this package
    """Nobody gave a slot back in time."""


class Slots:
    """`size` slots. Giving back never waits, so that a cancelled holder cannot lose its slot on the way."""

    def __init__(self, size: int, *, wait_s: float, clock: Clock) -> None:
        self.size = size
        self._wait_s = wait_s
        self._clock = clock
        self._holds: dict[Hold, None] = {}  # in the order they were taken
        self._waiting: deque[tuple[asyncio.Future[Hold], asyncio.Task[object] | None]] = deque()

    @property
    def in_use(self) -> int:
        """How many are held."""
        return len(self._holds)

    @property
    def waiting(self) -> int:
        """How many tasks wait for one."""
        return sum(1 for waiter, _ in self._waiting if not waiter.done())

    @property
    def oldest_s(self) -> float | None:
        """How long the longest holder has held; `None` when there is none."""
        first = next(iter(self._holds), None)
        return None if first is None else self._clock.monotonic() - first.since

    def holders(self) -> list[Holder]:
        """Return who holds a slot, longest first."""
        now = self._clock.monotonic()
        return [
            Holder(task=hold.task.get_name() if hold.task else "no task", held_s=now - hold.since)
            for hold in self._holds
        ]

    def is_held_by(self, task: asyncio.Task[object] | None) -> bool:
        """Tell whether `task` holds a slot."""
        return any(hold.task is task for hold in self._holds)

    async def take(self) -> Hold:
        """Return a slot, at once or when somebody has given one back.

        Raises:
            SlotsExhausted: Nobody did for `wait_s`; the text says who holds them.
        """
        task = asyncio.current_task()
        if len(self._holds) < self.size and not self._waiting:
            return self._hold(task)
        waiter: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        entry = (waiter, task)
        self._waiting.append(entry)
        try:
            with self._clock.cancel_after(self._wait_s):
                await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())  # it came together with the cancellation
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        if waiter.cancelled():
            raise SlotsExhausted(self._exhausted())
        return waiter.result()

    def give_back(self, hold: Hold) -> None:
        """Give a slot back; the one who waits longest gets it in the same moment."""
        if self._holds.pop(hold, hold) is hold:
            return  # it was given back before
        while self._waiting:
            waiter, task = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(self._hold(task))
                return

    def refuse_waiting(self, error: Exception) -> None:
        """Raise `error` in everybody who waits."""
        while self._waiting:
            waiter, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _hold(self, task: asyncio.Task[object] | None) -> Hold:
        hold = Hold(task, self._clock.monotonic())
        self._holds[hold] = None
        return hold

    def _exhausted(self) -> str:
        named = ", ".join(f"{holder.task} for {holder.held_s:.1f}s" for holder in self.holders()[:_NAMED])
        rest = f" and {self.in_use - _NAMED} more" if self.in_use > _NAMED else ""
        return f"all {self.size} were in use for {self._wait_s:g}s, by {named or 'nobody'}{rest}"
