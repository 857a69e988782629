"""Functions to call: they fail, wait and count as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from undercroft._core.clock import VirtualClock

T = TypeVar("T")


class Service:
    """Answers what it is told to, in order, the last one for ever: a value, or an error to raise.

    `gate` holds every call until it is set, when there is one.
    """

    def __init__(self, *answers: object, gate: asyncio.Event | None = None, clock: VirtualClock | None = None) -> None:
        self.answers = list(answers) or ["ok"]
        self.gate = gate
        self.clock = clock
        self.calls = 0
        self.running = 0
        self.most_running = 0
        self.cancelled = 0
        self.times: list[float] = []

    async def __call__(self, *args: object, **kwargs: object) -> Any:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if self.clock is not None:
            self.times.append(self.clock.monotonic())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if isinstance(answer, BaseException):
                raise answer
            return answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def outcome(call: Awaitable[object]) -> object:
    """Return what it returns, or the error it raises."""
    try:
        return await call
    except Exception as exc:
        return exc


async def driven(clock: VirtualClock, call: Callable[[], Awaitable[T]], seconds: float = 1000.0) -> T:
    """Return what a call comes to while the clock moves."""
    task = asyncio.ensure_future(call())
    await clock.advance(seconds)
    if not task.done():
        task.cancel()
    return await task


def gaps(times: Sequence[float]) -> list[float]:
    """Return the seconds between one and the next."""
    return [round(after - before, 6) for before, after in pairwise(times)]
