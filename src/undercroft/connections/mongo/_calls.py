"""Operations of the driver, each in a task of its own, so that cancelling the caller does not harm the driver.

pymongo takes no cancellation well (4.20; without this, `test_cancelled_callers_leave_nothing_and_disturb_nobody`
hangs). anyio's cancel scopes cancel again at every await until the task is gone: halfway through its clean-up that
breaks the locks of pymongo's pool, and from then on operations wait forever. A single cancellation while it connects
leaves the socket open for good. So an operation whose caller has gone is left to finish, for a while; only then is it
cancelled, once, when it is not connecting any more but waiting for an answer, where pymongo closes the connection as
it should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class Calls:
    """The operations in flight. Lives as long as its `Mongo`; `finish` before the client is closed."""

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, operation: Awaitable[T]) -> T:
        """Run one operation and return its result.

        Cancellation: returns at once; the operation goes on for up to `grace_s`, and its outcome is dropped.
        """
        task = asyncio.create_task(_awaited(operation), name="undercroft mongo operation")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._leave(task)
            raise

    async def finish(self) -> None:
        """Return when no operation is left; none outlives its grace."""
        while self._left:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(self._left)

    @property
    def left_count(self) -> int:
        """How many operations go on whose callers have gone."""
        return len(self._left)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._left.add(task)
        end = asyncio.get_running_loop().call_later(self._grace_s, task.cancel)

        def forget(_: asyncio.Task[Any]) -> None:
            end.cancel()
            self._left.discard(task)
            if not task.cancelled():
                task.exception()  # looked at, or asyncio complains: nobody is left who could be told

        task.add_done_callback(forget)


async def _awaited(operation: Awaitable[T]) -> T:
    return await operation
