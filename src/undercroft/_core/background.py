"""Run something beside a block, and stop it at the block's end, whichever way the block ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

import anyio
import anyio.abc


class InBackground:
    """`async with` starts `run` in the background; leaving stops it and waits for it.

    A block that ends well stops it with `stop`, which may let it finish what it has begun. A block that raises, or a
    stop that is itself cancelled because its time is up, cancels `run`, which then gives back what it holds.
    """

    def __init__(
        self, run: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], Awaitable[None]], *, name: str
    ) -> None:
        self._run = run
        self._stop = stop
        self._name = name
        self._group: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> None:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._run, name=self._name)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._group is not None
        if exc is None:
            try:
                await self._stop()
            except BaseException as cut:
                self._group.cancel_scope.cancel()
                await self._group.__aexit__(type(cut), cut, cut.__traceback__)
                raise
        else:
            self._group.cancel_scope.cancel()
        return await self._group.__aexit__(exc_type, exc, traceback)
