"""Wait for servers that come up later than the application."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio

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
        last: UndercroftError | None = None
        while True:
            try:
                return await self._enter(last)
            except UndercroftError as exc:
                last = exc
                wait_s = delay_s * (0.5 + self._draw() / 2)
                if exc.kind is not Kind.UNAVAILABLE or wait_s >= self._deadline.left_s():
                    raise
                _log.warning("part is not available, will try again", part=self._name, error_text=exc.message)
                await self._clock.sleep(wait_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._part.__aexit__(None, None, None)

    async def _enter(self, last: UndercroftError | None) -> object:
        # Not a cancel scope of anyio: a part may enter one that outlives this call, and scopes must be left in order.
        deadline = asyncio.timeout(max(self._deadline.left_s(), _FIRST_DELAY_S))
        try:
            async with deadline:
                return await self._part.__aenter__()
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise StartTimeoutError(
                f"{self._name} did not open within the start deadline of {self._deadline}"
                + (f"; before: {last.message}" if last else ""),
                hint="look at the server's own log; UNDERCROFT_START_TIMEOUT gives it longer",
            ) from exc


class Pinged(Protocol):
    """A part that connects at its first call, and can be asked for one."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> object: ...

    async def ping(self) -> object:
        """Return when the server answers."""


class Proven:
    """Opens a part that connects late, and lets it prove at once that its server answers."""

    def __init__(self, part: Pinged) -> None:
        self._part = part

    async def __aenter__(self) -> object:
        opened = await self._part.__aenter__()
        try:
            await self._part.ping()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._part.__aexit__(None, None, None)
            raise
        return opened

    async def __aexit__(self, *exc_info: object) -> None:
        await self._part.__aexit__(None, None, None)


class StartTimeoutError(UndercroftError, TimeoutError):
    """A part neither opened nor failed before the start deadline."""

    code = "UC0305"
    kind = Kind.UNAVAILABLE
    http_status = 503
