from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, correlate, correlation
from undercroft._core.durations import DurationError
from undercroft._core.errors import NotBoundError
from undercroft.health import (
    HealthCheck,
    HealthCheckError,
    HealthChecks,
    HealthReport,
    HealthStatus,
    health_check,
    register_health_check,
    remove_health_check,
    run_health_checks,
)

pytestmark = pytest.mark.anyio
DEADLINE_S = 10
"""Of real time, for what must happen soon."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def health(clock: VirtualClock) -> HealthChecks:
    return HealthChecks(clock=clock)


@pytest.fixture
def blocker() -> Iterator[threading.Event]:
    """What a hung thread waits for; set after the test, so that the thread ends."""
    event = threading.Event()
    yield event
    event.set()


@asynccontextmanager
async def running(health: HealthChecks) -> AsyncIterator[list[HealthReport]]:
    """Run the checks beside the block; the list has the report after it."""
    reports: list[HealthReport] = []

    async def run() -> None:
        reports.append(await health.run())

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            yield reports


async def hang() -> None:
    await anyio.sleep_forever()


def blocked_by(blocker: threading.Event, started: Callable[[], object] = lambda: None) -> Callable[[], None]:
    def check() -> None:
        started()
        blocker.wait(DEADLINE_S * 3)

    return check


async def test_all_checks_start_before_any_ends(health: HealthChecks) -> None:
    everyone, arrived = 3, []
    met = asyncio.Event()

    async def meet() -> None:
        arrived.append(1)
        if len(arrived) == everyone:
            met.set()
        await met.wait()

    for number in range(everyone):
        health.register(f"check {number}", meet)
    with anyio.fail_after(DEADLINE_S):
        report = await health.run()
    assert report.status is HealthStatus.HEALTHY


async def test_sync_checks_run_at_once_too_however_busy_the_applications_threads_are(health: HealthChecks) -> None:
    everyone = 50  # more than anyio's default of 40 threads
    barrier = threading.Barrier(everyone)
    for number in range(everyone):
        health.register(f"check {number}", lambda: barrier.wait(DEADLINE_S) >= 0)
    assert (await health.run()).status is HealthStatus.HEALTHY


async def test_a_hung_check_times_out_and_the_others_are_reported(health: HealthChecks, clock: VirtualClock) -> None:
    health.register("hung", hang)
    health.register("fine", Pool().ping)  # not in a thread, which virtual time would not wait for
    async with running(health) as reports:
        await clock.advance("5s")
    checks = reports[0].checks
    assert checks["hung"].message == "timed out after 5s"
    assert checks["hung"].latency_ms == 5000
    assert checks["hung"].status is HealthStatus.UNHEALTHY
    assert checks["fine"].status is HealthStatus.HEALTHY


async def test_a_check_is_not_given_up_before_its_timeout(health: HealthChecks, clock: VirtualClock) -> None:
    health.register("slow", functools.partial(clock.sleep, 4.9))
    async with running(health) as reports:
        await clock.advance("5s")
    assert reports[0].checks["slow"].status is HealthStatus.HEALTHY
    assert reports[0].checks["slow"].latency_ms == pytest.approx(4900)


async def test_each_check_has_its_own_timeout(health: HealthChecks, clock: VirtualClock) -> None:
    health.register("short", hang, timeout="200ms")
    health.register("long", hang, timeout="1m")
    async with running(health) as reports:
        await clock.advance("1m")
    assert [check.latency_ms for check in reports[0].checks.values()] == [200, 60_000]
    assert reports[0].checks["short"].message == "timed out after 200ms"


async def test_a_check_that_times_out_is_cancelled(health: HealthChecks, clock: VirtualClock) -> None:
    cancelled = asyncio.Event()

    async def check() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    health.register("hung", check)
    async with running(health):
        await clock.advance("5s")
    assert cancelled.is_set()


async def test_a_check_that_swallows_cancellation_once_is_cancelled_again(
    health: HealthChecks, clock: VirtualClock
) -> None:
    ended = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    health.register("stubborn", stubborn)
    async with running(health) as reports:
        await clock.advance("5s")
    assert reports[0].checks["stubborn"].message == "timed out after 5s"
    assert ended.is_set()


async def test_a_check_that_swallows_cancellation_and_returns_was_late_all_the_same(
    health: HealthChecks, clock: VirtualClock
) -> None:
    async def check() -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return True

    health.register("late", check)
    async with running(health) as reports:
        await clock.advance("5s")
    assert reports[0].checks["late"].message == "timed out after 5s"


async def test_a_check_that_cannot_be_cancelled_is_abandoned_and_not_started_again(
    health: HealthChecks, clock: VirtualClock
) -> None:
    let_go, calls = asyncio.Event(), []

    async def shielded() -> None:
        calls.append(1)
        with anyio.CancelScope(shield=True):
            await let_go.wait()

    health.register("shielded", shielded)
    health.register("fine", lambda: True)
    async with running(health) as reports:
        await clock.advance("5s")
    assert reports[0].checks["shielded"].message == "timed out after 5s"
    await clock.advance("25s")
    again = await health.run()
    assert again.checks["shielded"].message == "still hung after 30s, and not started again"
    assert again.checks["fine"].status is HealthStatus.HEALTHY
    let_go.set()
    await clock.advance("1s")
    assert (await health.run()).checks["shielded"].status is HealthStatus.HEALTHY
    assert len(calls) == 2


async def test_a_hung_thread_is_abandoned_and_not_started_again(
    health: HealthChecks, clock: VirtualClock, blocker: threading.Event
) -> None:
    calls: list[int] = []
    started, done = threading.Event(), threading.Event()

    def check() -> None:
        calls.append(1)
        started.set()
        blocker.wait(DEADLINE_S * 3)
        done.set()

    health.register("hung", check)
    async with running(health) as reports:
        await asyncio.to_thread(started.wait, DEADLINE_S)
        await clock.advance("5s")
    assert reports[0].checks["hung"].message == "timed out after 5s"
    assert (await health.run()).checks["hung"].message == "still hung after 5s, and not started again"
    await clock.advance("1h30m")
    assert (await health.run()).checks["hung"].message == "still hung after 1h30m5s, and not started again"
    blocker.set()
    await asyncio.to_thread(done.wait, DEADLINE_S)
    with anyio.fail_after(DEADLINE_S):
        while (await health.run()).checks["hung"].status is not HealthStatus.HEALTHY:
            await anyio.lowlevel.checkpoint()  # the thread has a line to go
    assert len(calls) == 2


async def test_a_slow_thread_of_one_run_is_no_hung_one_for_another(
    health: HealthChecks, clock: VirtualClock, blocker: threading.Event
) -> None:
    arrived = threading.Semaphore(0)
    health.register("slow", blocked_by(blocker, arrived.release))
    async with running(health) as first, running(health) as second:
        for _ in range(2):
            await asyncio.to_thread(arrived.acquire, True, DEADLINE_S)
        blocker.set()
    assert [reports[0].status for reports in (first, second)] == [HealthStatus.HEALTHY] * 2


async def test_cancelling_a_run_cancels_its_checks(health: HealthChecks) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def check() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    health.register("it", check)
    run = asyncio.create_task(health.run())
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cancelled.is_set()


async def test_a_run_cancelled_before_its_thread_began_leaves_nothing_hung(
    health: HealthChecks, clock: VirtualClock
) -> None:
    health.register("it", lambda: True)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await health.run()
    await clock.advance("1h")
    assert (await health.run()).status is HealthStatus.HEALTHY


async def test_a_cancellation_of_the_checkers_own_is_its_failure(health: HealthChecks) -> None:
    async def awaits_what_was_cancelled() -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.lowlevel.checkpoint()

    health.register("other", awaits_what_was_cancelled)
    health.register("itself", cancels_itself)
    report = await health.run()
    assert [check.message for check in report.checks.values()] == ["CancelledError"] * 2


async def test_a_sync_check_runs_in_another_thread_with_the_callers_context(health: HealthChecks) -> None:
    seen: list[Any] = []

    def check() -> None:
        seen.append((threading.current_thread() is threading.main_thread(), correlation().request_id))

    async def check_async() -> None:
        seen.append((threading.current_thread() is threading.main_thread(), correlation().request_id))

    health.register("sync", check)
    health.register("async", check_async)
    with correlate(Correlation(request_id="req-1")):
        await health.run()
    assert sorted(seen) == [(False, "req-1"), (True, "req-1")]


class Pool:
    async def ping(self, answer: bool = True) -> bool:
        await anyio.lowlevel.checkpoint()
        return answer

    async def __call__(self) -> bool:
        return await self.ping()


@pytest.mark.parametrize(
    "checker",
    [Pool().ping, Pool(), lambda: Pool().ping(), functools.partial(Pool().ping, True), lambda: True],
    ids=["method", "object", "lambda", "partial", "sync"],
)
async def test_anything_callable_without_arguments_is_a_checker(checker: Any, health: HealthChecks) -> None:
    health.register("it", checker)
    assert (await health.run()).status is HealthStatus.HEALTHY


async def test_names_keep_the_order_of_registration_and_a_replaced_one_its_place(health: HealthChecks) -> None:
    for name in ("zebra", "ant", "cow"):
        health.register(name, lambda: False)
    health.register("zebra", lambda: True)
    report = await health.run()
    assert health.names == tuple(report.checks) == ("zebra", "ant", "cow")
    assert report.checks["zebra"].status is HealthStatus.HEALTHY


async def test_a_removed_check_does_not_run_and_an_unknown_one_is_no_error(health: HealthChecks) -> None:
    health.register("it", lambda: False)
    assert health.remove("it") is True
    assert health.remove("it") is False
    assert (await health.run()).checks == {}


async def test_no_check_runs_for_liveness(health: HealthChecks, clock: VirtualClock) -> None:
    ran: list[int] = []
    health.register("it", lambda: ran.append(1))
    await clock.advance("90s")
    assert health.is_alive()
    report = health.liveness()
    assert (report.status, report.checks, report.uptime_seconds) == (HealthStatus.HEALTHY, {}, 90)
    assert not ran


async def test_the_report_has_the_clocks_time_and_uptime(clock: VirtualClock) -> None:
    health = HealthChecks(clock=clock)
    await clock.advance("61s")
    report = await health.run()
    assert report.timestamp.timestamp() == clock.time()
    assert report.timestamp.utcoffset() is not None
    assert report.uptime_seconds == 61


async def test_the_hosts_clock_is_the_default_and_bounds_a_hung_check() -> None:
    health = HealthChecks(default_timeout="30ms")
    health.register("hung", hang)
    with anyio.fail_after(DEADLINE_S):
        report = await health.run()
    assert report.checks["hung"].message == "timed out after 30ms"
    assert 25 <= report.checks["hung"].latency_ms < 2_000


# definitions


@health_check("database", critical=False, timeout="2s")
async def database() -> str:
    """Ask the database."""
    return "warn"


async def test_a_definition_is_a_value_and_calling_it_runs_the_function() -> None:
    assert (database.name, database.critical, database.timeout_s) == ("database", False, 2.0)
    assert await database() == "warn"
    with pytest.raises(AttributeError):
        database.name = "other"  # type: ignore[misc]


async def test_definitions_are_given_to_the_constructor_or_added(clock: VirtualClock) -> None:
    health = HealthChecks([database], clock=clock)
    health.add(HealthCheck(name="disk", function=lambda: True))
    health.add("queue", Pool().ping, critical=False)
    report = await health.run()
    assert [(name, check.status.value, check.critical) for name, check in report.checks.items()] == [
        ("database", "degraded", False),
        ("disk", "healthy", True),
        ("queue", "healthy", False),
    ]


async def test_a_definition_under_another_name_keeps_its_options_unless_others_are_given(
    health: HealthChecks, clock: VirtualClock
) -> None:
    hung = HealthCheck(name="hung", function=hang, critical=False, timeout_s=2.0)
    health.register("as it is", hung)
    health.register("changed", hung, critical=True, timeout=1)
    async with running(health) as reports:
        await clock.advance("2s")
    assert [(check.critical, check.latency_ms) for check in reports[0].checks.values()] == [(False, 2000), (True, 1000)]


def test_options_beside_a_definition_are_refused(health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="options of its own"):
        health.add(database, critical=True)  # type: ignore[call-overload]
    with pytest.raises(HealthCheckError, match="has no checker"):
        health.add("database")  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["", "  "])
def test_a_check_without_a_name_is_refused(name: str, health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="UC1001"):
        health.register(name, lambda: True)


def test_the_decorator_without_a_name_says_how_it_is_written() -> None:
    with pytest.raises(HealthCheckError, match=r'@health_check\("redis"\)'):

        @health_check  # type: ignore[arg-type]
        def redis() -> bool:
            return True


def test_a_checker_that_needs_arguments_or_is_none_is_refused(health: HealthChecks) -> None:
    async def ping(pool: object) -> bool:
        return True

    with pytest.raises(HealthCheckError, match=r"'pool'(.|\n)*functools.partial"):
        health.register("it", ping)  # type: ignore[arg-type]
    with pytest.raises(HealthCheckError, match="a bool, not a function"):
        health.register("it", True)  # type: ignore[arg-type]


async def test_a_coroutine_instead_of_a_function_is_refused(health: HealthChecks) -> None:
    coroutine = Pool().ping()
    with pytest.raises(HealthCheckError, match="a coroutine, not a function"):
        health.register("it", coroutine)  # type: ignore[arg-type]
    coroutine.close()


def test_a_timeout_of_nothing_is_refused(health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="leaves no time"):
        health.register("it", lambda: True, timeout=0)
    with pytest.raises(DurationError, match="timeout of health check 'it'"):
        health.register("it", lambda: True, timeout="soon")
    with pytest.raises(HealthCheckError):
        HealthChecks(default_timeout=0)


# the functions of the face


class Source:
    def __init__(self, health: HealthChecks) -> None:
        self.health = health

    def get_part(self, name: str) -> object:
        return getattr(self, name)


async def test_the_functions_act_on_the_bound_part(health: HealthChecks) -> None:
    with bind(Source(health)):
        register_health_check("it", lambda: False, critical=False, timeout="1s")
        assert (await run_health_checks()).status is HealthStatus.DEGRADED
        assert remove_health_check("it") is True
        assert remove_health_check("it") is False
    assert health.names == ()


@pytest.mark.parametrize(
    "call", [lambda: register_health_check("it", lambda: True), lambda: remove_health_check("it"), run_health_checks]
)
async def test_unbound_use_says_what_is_missing(call: Callable[[], Awaitable[object] | object]) -> None:
    with pytest.raises(NotBoundError, match="'health' has nothing to act on"):
        await call()  # type: ignore[misc]
