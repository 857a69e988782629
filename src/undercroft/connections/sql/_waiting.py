"""Waiting for what must be finished although the one who waits is cancelled; and a deadline that costs little."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import anyio


class Deadline:
    """`with Deadline(seconds):` raises `TimeoutError` when the block takes longer; `None` never does. For one use.

    What `asyncio.timeout` does, without being asynchronous: SQLAlchemy's greenlets have no `async with`. anyio's
    `fail_after` would do, at ten times the cost, which each statement would pay.
    """

    __slots__ = ("_cancelling", "_is_over", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def __enter__(self) -> None:
        if self._seconds is not None:
            task = asyncio.current_task()
            assert task is not None
            self._task, self._cancelling = task, task.cancelling()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        # Cancelled by somebody else too: then that goes first.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc

    def _expire(self) -> None:
        self._is_over = True
        self._task.cancel()


async def wait_out(task: asyncio.Task[Any], seconds: float) -> asyncio.CancelledError | None:
    """Wait for `task`, up to `seconds`; return the caller's cancellation, if there was one meanwhile.

    What became of the task is for the caller to see; it goes on if time was up.
    """
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with anyio.CancelScope(shield=True):  # against anyio's cancellation; the except is against asyncio's
        while not task.done() and (left := deadline - loop.time()) > 0:
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError as exc:
                cancelled = exc
    return cancelled


async def end(task: asyncio.Task[Any], seconds: float) -> asyncio.CancelledError | None:
    """Cancel `task` and wait until it has ended, up to `seconds`; return the caller's cancellation as above."""
    task.cancel()
    return await wait_out(task, seconds)
