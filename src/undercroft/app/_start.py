"""Wait for servers that come up later than the application."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft._core.errors import Kind, UndercroftError
from undercroft.logging import Logger

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_log = Logger(module="undercroft.app")


class StartDeadline:
    """One deadline for opening all parts of an `Infra`; it runs from the first part's first try."""

    def __init__(self, timeout_s: float, clock: Clock) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._ends: float | None = None

    def left_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        now = self._clock.monotonic()
        if self._ends is None:
            self._ends = now + self._timeout_s
        return max(0.0, self._ends - now)

    def __str__(self) -> str:
        return format_seconds(self._timeout_s)


class Patient:
    """A part that is opened again, with growing and jittered waits, while it is unavailable and time is left.

    Only errors of the kind *unavailable* are tried again: a wrong password stays wrong. The jitter keeps processes of
    a deployment that start together from knocking together.
    """

    def __init__(
        self,
        name: str,
        part: AbstractAsyncContextManager[object],
        *,
        deadline: StartDeadline,
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._part = part
        self._deadline = deadline
        self._clock = clock
        self._draw = draw

    async def __aenter__(self) -> object:
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await self._enter()
            except UndercroftError as exc:
                wait_s = delay_s * (0.5 + self._draw() / 2)
                if exc.kind is not Kind.UNAVAILABLE or wait_s >= self._deadline.left_s():
                    raise
                _log.warning("part is not available, will try again", part=self._name, error_text=exc.message)
                await self._clock.sleep(wait_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._part.__aexit__(None, None, None)

    async def _enter(self) -> object:
        left_s = self._deadline.left_s()
        with self._clock.cancel_after(max(left_s, _FIRST_DELAY_S)):
            return await self._part.__aenter__()
        raise StartTimeoutError(
            f"{self._name} did not open within the start deadline of {self._deadline}",
            hint="look at the server's own log; UNDERCROFT_START_TIMEOUT gives it longer",
        )


class StartTimeoutError(UndercroftError, TimeoutError):
    """A part neither opened nor failed before the start deadline."""

    code = "UC0305"
    kind = Kind.UNAVAILABLE
    http_status = 503
