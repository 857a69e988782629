"""Waiting for parts that are not up yet: as long as the deadline, only for what may get better, never in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Self

import anyio
import pytest

from undercroft._core.clock import SystemClock, VirtualClock
from undercroft._core.errors import Kind, UndercroftError
from undercroft.app import StartTimeoutError
from undercroft.app._start import Patient, StartDeadline

pytestmark = pytest.mark.anyio


class DownError(UndercroftError):
    kind = Kind.UNAVAILABLE


class WrongPasswordError(UndercroftError):
    kind = Kind.REFUSED


class FakePart:
    """Raises what it is told to, one for each try, then opens. Notes when it was tried."""

    def __init__(self, clock: VirtualClock, errors: Iterable[Exception]) -> None:
        self._clock = clock
        self._errors = iter(errors)
        self.tries: list[float] = []
        self.is_open = False

    async def __aenter__(self) -> Self:
        self.tries.append(self._clock.monotonic())
        error = next(self._errors, None)
        if error is not None:
            raise error
        self.is_open = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.is_open = False

    @property
    def waits(self) -> list[float]:
        return [round(later - earlier, 3) for earlier, later in pairwise(self.tries)]


class SilentPart:
    """Never opens, and never fails."""

    was_cancelled = False

    async def __aenter__(self) -> Self:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...


def forever() -> Iterable[Exception]:
    while True:
        yield DownError("db refused the connection")


def patient(
    part: FakePart, clock: VirtualClock, *, timeout_s: float = 30.0, draw: Callable[[], float] = lambda: 1.0
) -> Patient:
    return Patient("db", part, deadline=StartDeadline(timeout_s, clock), clock=clock, draw=draw)


async def entered(one: Patient, clock: VirtualClock, *, seconds: float = 60.0) -> Exception | None:
    """Enter it while time passes, and return what it raised."""
    caught: list[Exception] = []

    async def enter() -> None:
        try:
            await one.__aenter__()
        except Exception as exc:  # the test looks at it
            caught.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        await clock.advance(seconds)
    return caught[0] if caught else None


async def test_part_that_opens_is_tried_once() -> None:
    clock = VirtualClock()
    part = FakePart(clock, [])
    assert await entered(patient(part, clock), clock) is None
    assert (len(part.tries), part.is_open) == (1, True)


async def test_unavailable_part_is_tried_again_until_it_opens() -> None:
    clock = VirtualClock()
    part = FakePart(clock, [DownError("down")] * 3)
    assert await entered(patient(part, clock), clock) is None
    assert (len(part.tries), part.is_open) == (4, True)


async def test_waits_double_up_to_five_seconds() -> None:
    clock = VirtualClock()
    part = FakePart(clock, [DownError("down")] * 8)
    await entered(patient(part, clock), clock)
    assert part.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_jitter_takes_up_to_half_of_each_wait() -> None:
    clock = VirtualClock()
    part = FakePart(clock, [DownError("down")] * 3)
    await entered(patient(part, clock, draw=lambda: 0.0), clock)
    assert part.waits == [0.05, 0.1, 0.2]


async def test_last_error_is_raised_when_no_time_is_left() -> None:
    clock = VirtualClock()
    part = FakePart(clock, forever())
    error = await entered(patient(part, clock, timeout_s=2.0), clock)
    assert isinstance(error, DownError)
    assert part.tries[-1] - part.tries[0] < 2.0


@pytest.mark.parametrize("error", [WrongPasswordError("no"), ValueError("no"), OSError("no")])
async def test_what_will_not_get_better_is_not_tried_again(error: Exception) -> None:
    clock = VirtualClock()
    part = FakePart(clock, [error])
    assert await entered(patient(part, clock), clock) is error
    assert len(part.tries) == 1


async def test_parts_share_one_deadline() -> None:
    clock = VirtualClock()
    deadline = StartDeadline(3.0, clock)
    first, second = FakePart(clock, [DownError("down")] * 4), FakePart(clock, forever())
    for part in (first, second):
        await entered(Patient("part", part, deadline=deadline, clock=clock, draw=lambda: 1.0), clock, seconds=1.5)
    assert first.is_open
    assert second.tries[-1] - first.tries[0] < 3.0


async def test_deadline_begins_with_the_first_look_at_it() -> None:
    clock = VirtualClock()
    deadline = StartDeadline(3.0, clock)
    await clock.advance(10)
    assert deadline.left_s() == 3.0
    await clock.advance(1)
    assert deadline.left_s() == 2.0
    await clock.advance(10)
    assert deadline.left_s() == 0.0


async def test_part_that_says_nothing_is_cancelled_at_the_deadline() -> None:
    part = SilentPart()
    clock = SystemClock()
    with pytest.raises(StartTimeoutError, match="mongo did not open within the start deadline of 100ms") as caught:
        await Patient("mongo", part, deadline=StartDeadline(0.1, clock), clock=clock).__aenter__()
    assert part.was_cancelled
    assert (caught.value.code, caught.value.kind) == ("UC0305", Kind.UNAVAILABLE)
    assert "UNDERCROFT_START_TIMEOUT" in (caught.value.hint or "")


async def test_timeout_error_of_the_part_itself_stays_as_it_is() -> None:
    clock = VirtualClock()
    error = TimeoutError("its own")
    assert await entered(patient(FakePart(clock, [error]), clock), clock) is error


async def test_cancelling_while_it_waits_ends_it() -> None:
    clock = VirtualClock()
    part = FakePart(clock, forever())
    task = asyncio.create_task(patient(part, clock).__aenter__())
    await clock.advance(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not part.is_open


async def test_leaving_closes_the_part() -> None:
    clock = VirtualClock()
    part = FakePart(clock, [])
    async with patient(part, clock):
        assert part.is_open
    assert not part.is_open
