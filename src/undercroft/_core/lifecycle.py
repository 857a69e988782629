"""Open parts in order, all or nothing; close them in reverse, every one, under one deadline.

The parts are entered and left by one task that the lifecycle owns, so `open` and `close` may be called from different
tasks (a server's lifespan, a test fixture), and a cancelled caller never leaves a part half closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import anyio

from undercroft._core.errors import CloseTimeoutError, NotOpenError, UndercroftError

Part = tuple[str, AbstractAsyncContextManager[object]]
"""A part's name, for errors, and the part."""

_LAST_CHANCE_S = 0.25
"""What every part still gets to close when the deadline has passed."""


class Lifecycle:
    """One life of a row of parts: opened once, closed once. Make a new one to open them again."""

    def __init__(self, parts: Sequence[Part], *, close_timeout: float) -> None:
        self._parts = tuple(parts)
        self._close_timeout = close_timeout
        self._deadline = float("inf")
        self._closing = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._step: asyncio.Timeout | None = None

    async def open(self) -> None:
        """Open every part in order. When one fails, the ones before it are closed and its error is raised.

        Cancellation: safe; what was opened is closed before it propagates.

        Raises:
            NotOpenError: It was opened before, or is closed by another task meanwhile.
        """
        if self._keeper is not None:
            raise NotOpenError("already opened once", hint="make a new Infra, or open it in one place only")
        is_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(is_open), name="undercroft parts")
        try:
            await asyncio.shield(is_open)
        except asyncio.CancelledError:
            self._closing.set()  # and not only cancelled: a part that opens right now may swallow that
            self._keeper.cancel()
            await _wait_shielded(self._keeper)
            raise

    async def close(self) -> None:
        """Close every part in reverse order.

        Each part may use what is left of the deadline, less a last chance kept for those after it; then it is
        cancelled, and waited for: a part that ignores its cancellation is not abandoned. Cancelling the caller does
        not interrupt the closing: it is finished first, then the cancellation propagates.

        Raises:
            ExceptionGroup: Of what the parts raised, a `CloseTimeoutError` for each that ran out of time. Every part
                was attempted all the same.
        """
        if self._keeper is None:
            return
        self._closing.set()
        cancelled = await _wait_shielded(self._keeper)
        error = None if self._keeper.cancelled() else self._keeper.exception()
        if cancelled is not None:
            raise cancelled from error
        if error is not None:
            raise error

    def hurry(self) -> None:
        """Cut the closing short: what is closing now, and each part after it, gets a last chance only."""
        self._deadline = 0.0
        if self._step is not None and not self._step.expired():
            last = asyncio.get_running_loop().time() + _LAST_CHANCE_S
            self._step.reschedule(min(last, self._step.when() or last))  # a second hurry must not prolong it

    async def _keep(self, is_open: asyncio.Future[None]) -> None:
        opened: list[Part] = []
        try:
            for name, part in self._parts:
                await part.__aenter__()
                opened.append((name, part))
                self._require_still_wanted()
        except BaseException as exc:
            for error in await self._close(opened):
                exc.add_note(f"while closing after this failure: {error!r}")
            if isinstance(exc, asyncio.CancelledError):
                is_open.cancel()
                raise
            is_open.set_exception(exc)
            return
        is_open.set_result(None)
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._closing.wait()
        except asyncio.CancelledError as exc:  # the loop is torn down, or a part's own task group broke
            cancelled = exc
        if errors := await self._close(opened):
            raise ExceptionGroup("closing failed", errors) from cancelled
        if cancelled is not None:
            raise cancelled

    def _require_still_wanted(self) -> None:
        if self._closing.is_set():
            raise NotOpenError("closed while it was opening", hint="await open() before close()")

    async def _close(self, opened: list[Part]) -> list[Exception]:
        loop = asyncio.get_running_loop()
        self._deadline = min(self._deadline, loop.time() + self._close_timeout)
        errors: list[Exception] = []
        while opened:
            name, part = opened.pop()
            kept_for_others = _LAST_CHANCE_S * len(opened)
            budget = max(_LAST_CHANCE_S, self._deadline - loop.time() - kept_for_others)
            self._step = step = asyncio.timeout(budget)
            started = loop.time()
            try:
                async with step:
                    await part.__aexit__(None, None, None)
            except (Exception, asyncio.CancelledError) as exc:
                errors.append(_closing_error(name, exc, loop.time() - started if step.expired() else None))
            self._step = None
        return errors


def _closing_error(name: str, exc: BaseException, late_after: float | None) -> Exception:
    if late_after is not None:
        error: UndercroftError = CloseTimeoutError(f"{name} did not close within {late_after:.1f}s")
    elif isinstance(exc, Exception):
        return exc
    else:  # a task it awaited was cancelled, or this one was; the parts after it must be closed all the same
        error = UndercroftError(
            f"{name} was cancelled while it closed", hint="catch the CancelledError of its own tasks"
        )
    error.__cause__ = exc
    return error


async def _wait_shielded(task: asyncio.Task[None]) -> asyncio.CancelledError | None:
    """Wait until `task` is done, whatever happens to the caller; return the caller's cancellation, if there was one."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):  # against anyio's cancellation; the except is against asyncio's
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = exc
    return cancelled
