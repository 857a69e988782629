"""Timers."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import MetricDeclarationError, Registry

pytestmark = pytest.mark.anyio


async def test_block_is_measured_by_the_monotonic_clock(registry: Registry, clock: VirtualClock) -> None:
    with registry.timer("seconds", {"what": "block"}) as timer:
        await clock.advance(1.5)
    assert timer.elapsed_s == 1.5
    assert registry.get_histogram("seconds", {"what": "block"}).sum == 1.5


async def test_block_that_raises_is_measured_too(registry: Registry, clock: VirtualClock) -> None:
    async def break_late() -> None:
        with registry.timer("seconds"):
            await clock.advance(2)
            raise KeyError

    with pytest.raises(KeyError):
        await break_late()
    assert registry.get_histogram("seconds").sum == 2


async def test_async_function_is_measured_until_it_returns(registry: Registry, clock: VirtualClock) -> None:
    @registry.timer("seconds")
    async def work(number: int, *, by: int) -> int:
        """Multiply."""
        await clock.advance(3)
        return number * by

    assert await work(2, by=3) == 6
    assert (work.__name__, work.__doc__) == ("work", "Multiply.")
    assert registry.get_histogram("seconds").sum == 3


async def test_function_that_raises_is_measured_too(registry: Registry, clock: VirtualClock) -> None:
    @registry.timer("seconds")
    def broken() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        broken()
    assert registry.get_histogram("seconds").count == 1


async def test_calls_at_the_same_time_are_measured_apart(registry: Registry, clock: VirtualClock) -> None:
    import anyio

    @registry.timer("seconds")
    async def wait(seconds: float) -> None:
        await clock.sleep(seconds)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, 1)
        tasks.start_soon(wait, 4)
        await clock.advance(5)
    held = registry.get_histogram("seconds")
    assert (held.count, held.sum) == (2, 5)


def test_generators_are_refused(registry: Registry) -> None:
    def numbers():
        yield 1

    async def later():
        yield 1

    for generator in (numbers, later):
        with pytest.raises(MetricDeclarationError, match="generator"):
            registry.timer("seconds")(generator)
