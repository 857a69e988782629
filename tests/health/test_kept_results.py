"""Results that are kept for a moment, so that a burst of probes is no burst of queries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.health import HealthChecks, HealthReport, HealthResult, HealthStatus

pytestmark = pytest.mark.anyio
DEADLINE_S = 10


class Counted:
    """A checker that counts its calls, and waits for the gate if it is closed."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.word = "healthy"

    async def __call__(self) -> str:
        self.calls += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.word


@pytest.fixture
async def checker() -> Counted:
    return Counted()


@pytest.fixture
def health(clock: VirtualClock, checker: Counted) -> HealthChecks:
    health = HealthChecks(clock=clock)
    health.register("it", checker)
    return health


async def together(*calls: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call)  # type: ignore[arg-type]


async def test_a_burst_of_probes_runs_each_check_once(health: HealthChecks, checker: Counted) -> None:
    checker.gate.clear()
    reports: list[HealthReport] = []

    async def probe() -> None:
        reports.append(await health.report())

    async def open_the_gate() -> None:
        await anyio.wait_all_tasks_blocked()
        checker.gate.set()

    await together(*[probe] * 100, open_the_gate)
    assert checker.calls == 1
    assert [report.status for report in reports] == [HealthStatus.HEALTHY] * 100


async def test_a_kept_result_tells_its_age_and_is_renewed_when_it_is_too_old(
    health: HealthChecks, checker: Counted, clock: VirtualClock
) -> None:
    first = (await health.report()).checks["it"]
    await clock.advance("900ms")
    kept = (await health.report()).checks["it"]
    await clock.advance("200ms")
    renewed = (await health.report()).checks["it"]
    assert [result.age_s for result in (first, kept, renewed)] == [0, 0.9, 0]
    assert kept.checked_at == first.checked_at
    assert checker.calls == 2


async def test_a_run_asks_anew_and_its_result_is_kept_for_reports(health: HealthChecks, checker: Counted) -> None:
    await health.run()
    checker.word = "degraded"
    await health.run()
    assert (await health.report()).status is HealthStatus.DEGRADED
    assert checker.calls == 2


async def test_how_old_a_result_may_be_is_the_callers_choice(
    health: HealthChecks, checker: Counted, clock: VirtualClock
) -> None:
    await health.report()
    await clock.advance("30s")
    assert (await health.report(max_age="1m")).checks["it"].age_s == 30
    await health.report(max_age=0)
    assert checker.calls == 2


async def test_nothing_is_kept_without_a_cache(clock: VirtualClock, checker: Counted) -> None:
    health = HealthChecks(clock=clock, cache=0)
    health.register("it", checker)
    await health.report()
    await health.report()
    assert checker.calls == 2


async def test_a_check_that_is_replaced_has_no_result_to_keep(health: HealthChecks) -> None:
    await health.report()
    health.register("it", lambda: False)
    assert (await health.report()).status is HealthStatus.UNHEALTHY


async def test_one_who_goes_away_does_not_take_the_others_result_along(health: HealthChecks, checker: Counted) -> None:
    checker.gate.clear()
    impatient = asyncio.create_task(health.report())
    patient = asyncio.create_task(health.report())
    await anyio.wait_all_tasks_blocked()
    impatient.cancel()
    await anyio.wait_all_tasks_blocked()
    checker.gate.set()
    assert (await patient).status is HealthStatus.HEALTHY
    assert (checker.calls, checker.cancelled) == (1, 0)


async def test_the_last_one_who_goes_away_cancels_the_check(health: HealthChecks, checker: Counted) -> None:
    checker.gate.clear()
    everyone = [asyncio.create_task(health.report()) for _ in range(3)]
    await anyio.wait_all_tasks_blocked()
    for task in everyone:
        task.cancel()
    await asyncio.wait(everyone)
    assert (checker.calls, checker.cancelled) == (1, 1)
    checker.gate.set()
    assert (await health.report()).status is HealthStatus.HEALTHY


async def test_who_comes_late_to_a_hung_check_waits_for_its_deadline_and_not_for_one_of_their_own(
    health: HealthChecks, checker: Counted, clock: VirtualClock
) -> None:
    checker.gate.clear()
    reports: list[HealthReport] = []

    async def probe() -> None:
        reports.append(await health.report())

    async def move_time() -> None:
        await clock.advance("4s")
        tasks.start_soon(probe)
        await clock.advance("1s")

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(probe)
            tasks.start_soon(move_time)
    assert [report.checks["it"].message for report in reports] == ["timed out after 5s"] * 2
    assert checker.calls == 1


async def test_every_run_of_a_check_is_observed_once_and_kept_results_are_not(
    clock: VirtualClock, checker: Counted
) -> None:
    seen: list[tuple[str, HealthStatus]] = []

    def observe(name: str, result: HealthResult) -> None:
        seen.append((name, result.status))

    health = HealthChecks(clock=clock, observe=observe)
    health.register("it", checker)
    health.register("bad", lambda: False)
    await health.report()
    await health.report()
    assert sorted(seen) == [("bad", HealthStatus.UNHEALTHY), ("it", HealthStatus.HEALTHY)]


async def test_an_observer_that_raises_changes_no_report(clock: VirtualClock, checker: Counted) -> None:
    def observe(name: str, result: HealthResult) -> None:
        raise RuntimeError("the metric is broken")

    health = HealthChecks(clock=clock, observe=observe)
    health.register("it", checker)
    assert (await health.run()).status is HealthStatus.HEALTHY
