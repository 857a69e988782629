"""Slots become jobs: each once, whoever fires it, and whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
import pytest

from tests.queue.cron._world import START, World
from undercroft.queue._cron._definition import CronJob, cron, define_cron
from undercroft.queue._cron._scheduler import Scheduler
from undercroft.queue._cron._state import CronState, Outcome
from undercroft.queue._values import JobState

pytestmark = pytest.mark.anyio


async def nothing() -> None: ...


def minutely(**options: Any) -> CronJob[..., Any]:
    return define_cron("m", "* * * * *", handler=nothing, **options)


@asynccontextmanager
async def running(*schedulers: Scheduler) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        for scheduler in schedulers:
            group.start_soon(scheduler.run)
        yield
        group.cancel_scope.cancel()


@pytest.fixture
def world() -> World:
    return World()


async def outcomes(world: World, cron: CronJob[..., Any]) -> list[tuple[str, int, int]]:
    history = await world.crons(cron).history(cron.name)
    return [(line.outcome.value, int(line.slot_at.timestamp() - START), line.count) for line in reversed(history)]


# --- One scheduler ----------------------------------------------------------------------------------------------------


async def test_each_slot_becomes_a_job_at_its_instant(world: World) -> None:
    async with running(world.crons(minutely(overlap="allow")).scheduler()):
        await world.at(59.999)
        assert await world.slots() == []
        await world.at(60)
        assert await world.slots() == [60]
        await world.at(180)
    assert await world.slots() == [60, 120, 180]


async def test_first_sight_makes_up_for_nothing(world: World) -> None:
    await world.at(90)
    async with running(world.crons(minutely(misfire="all", overlap="allow")).scheduler()):
        await world.at(125)
    assert await world.slots() == [120]


async def test_job_carries_data_queue_and_options(world: World) -> None:
    @cron("report", "* * * * *", data={"month": "May"}, queue="reports", attempts=7, priority=3)
    async def report(month: str) -> None: ...

    async with running(world.crons(report).scheduler()):
        await world.at(60)
    (job,) = await world.jobs("reports")
    assert (job.id, job.name, job.attempts, job.priority) == (f"cron-report-{int(START) + 60}", "report", 7, 3)
    assert msgspec.json.decode(job.data) == {"month": "May"}


async def test_name_with_colons_makes_an_id_without(world: World) -> None:
    async with running(world.crons(define_cron("a:b%", every="1m", handler=nothing)).scheduler()):
        await world.at(60)
    assert [job.id for job in await world.jobs()] == [f"cron-a%3Ab%25-{int(START) + 60}"]


async def test_cron_of_another_job_runs_that_job(world: World) -> None:
    base = define_cron("base", every="1h", handler=nothing).job
    async with running(world.crons(define_cron("often", every="1m", job=base, priority=9)).scheduler()):
        await world.at(60)
    (job,) = await world.jobs()
    assert (job.name, job.priority) == ("base", 9)


async def test_disabled_cron_never_fires(world: World) -> None:
    async with running(world.crons(minutely(enabled=False)).scheduler()):
        await world.at(600)
    assert await world.slots() == []


async def test_no_firing_outside_of_start_and_end(world: World) -> None:
    bounded = minutely(
        start=datetime.fromtimestamp(START + 180, UTC), end=datetime.fromtimestamp(START + 300, UTC), overlap="allow"
    )
    async with running(world.crons(bounded).scheduler()):
        await world.at(900)
    assert await world.slots() == [180, 240, 300]


async def test_max_runs_is_exact_over_all_schedulers(world: World) -> None:
    three = minutely(max_runs=3, overlap="allow")
    async with running(*(world.crons(three).scheduler() for _ in range(5))):
        await world.at(900)
    assert await world.slots() == [60, 120, 180]


async def test_max_runs_holds_for_slots_that_are_made_up_for(world: World) -> None:
    three = minutely(max_runs=3, overlap="allow", misfire="all")
    await world.crons(three).scheduler().step()
    await world.at(900)
    await world.crons(three).scheduler().step()
    assert len(await world.slots()) == 3


async def test_jitter_is_within_its_bound_and_the_same_for_every_scheduler() -> None:
    due = []
    for _ in range(2):
        world = World()
        async with running(world.crons(minutely(jitter="30s", overlap="allow")).scheduler()):
            await world.at(600)
        due.append([job.due_at.timestamp() - START for job in await world.jobs()])
    assert due[0] == due[1]
    late = sorted(at - 60 * (number + 1) for number, at in enumerate(sorted(due[0])))
    assert len(late) == 10
    assert 0 <= late[0] < late[-1] < 30
    assert len(set(late)) == 10


async def test_changed_expression_goes_on_from_the_last_slot(world: World) -> None:
    async with running(world.crons(minutely(overlap="allow")).scheduler()):
        await world.at(120)
    changed = define_cron("m", "*/15 * * * *", handler=nothing, overlap="allow")
    async with running(world.crons(changed).scheduler()):
        await world.at(2000)
    assert await world.slots() == [60, 120, 900, 1800]


async def test_definitions_that_were_cleared_fire_no_more(world: World) -> None:
    crons = world.crons(minutely(overlap="allow"))
    async with running(crons.scheduler()):
        await world.at(60)
        crons.clear_definitions()
        await world.at(600)
    assert await world.slots() == [60]


async def test_clock_of_the_store_that_steps_back_repeats_nothing(world: World) -> None:
    crons = world.crons(minutely(overlap="allow"))
    async with running(crons.scheduler()):
        await world.at(120)
        world.clock._now -= 90
        await world.clock.advance(89)
        assert await world.slots() == [60, 120]
        await world.at(180)
    assert await world.slots() == [60, 120, 180]


# --- Overlap ----------------------------------------------------------------------------------------------------------


async def test_overlap_skip_records_the_slot_and_runs_nothing(world: World) -> None:
    skip = minutely()
    async with running(world.crons(skip).scheduler()), world.engine.attend("w", queues=["default"]):
        await world.at(60)
        (job,) = await world.claim("m")
        await world.at(130)
        await world.finish(job)
        await world.at(180)
    assert await world.slots() == [60, 180]
    assert await outcomes(world, skip) == [("fired", 60, 1), ("skipped", 120, 1), ("fired", 180, 1)]


async def test_overlap_queue_runs_one_after_the_other(world: World) -> None:
    queue = minutely(overlap="queue")
    async with running(world.crons(queue).scheduler()), world.engine.attend("w", queues=["default"]):
        await world.at(60)
        (job,) = await world.claim("m")
        await world.at(190)
        assert await world.slots() == [60]
        await world.finish(job)
        await world.at(191)  # looked at within a second
        assert await world.slots() == [60, 120]
        (job,) = await world.claim("m")
        await world.finish(job)
        await world.at(193)
    assert await world.slots() == [60, 120, 180]
    assert [name for name, *_ in await outcomes(world, queue)] == ["fired"] * 3


async def test_overlap_allow_runs_beside(world: World) -> None:
    async with running(world.crons(minutely(overlap="allow")).scheduler()):
        await world.at(180)
    assert await world.waiting() == 3


async def test_overlap_replace_cancels_the_running_one(world: World) -> None:
    replace = minutely(overlap="replace")
    async with running(world.crons(replace).scheduler()), world.engine.attend("w", queues=["default"]):
        await world.at(60)
        (job,) = await world.claim("m")
        await world.at(120)
        beat = await world.engine.beat("w", [job], lease_s=60)
        assert [cancelled.id for cancelled in beat.cancelled] == [job.id]
    assert await world.slots() == [60, 120]
    state = msgspec.json.decode((await world.engine.entries("default"))["cron:m"].data, type=CronState)
    assert state.replaced == ()


async def test_replacement_survives_a_scheduler_that_dies_before_it_cancels(world: World) -> None:
    replace = minutely(overlap="replace")
    async with running(world.crons(replace).scheduler()):
        await world.at(60)
    await world.at(120)
    await world.crons(replace).scheduler().step()  # stored, and no further
    first = f"cron-m-{int(START) + 60}"
    assert (await world.claim_states(first))[0] is None
    await world.crons(replace).scheduler().step()
    assert (await world.claim_states(first))[0] == "Cancelled"


# --- Misfire ----------------------------------------------------------------------------------------------------------


async def down_for_ten_minutes(world: World, cron: CronJob[..., Any]) -> None:
    async with running(world.crons(cron).scheduler()):
        await world.at(60)
    await world.at(665)
    async with running(world.crons(cron).scheduler()):
        await world.at(670)


async def test_misfire_one_runs_the_latest(world: World) -> None:
    one = minutely(overlap="allow")
    await down_for_ten_minutes(world, one)
    assert await world.slots() == [60, 660]
    assert await outcomes(world, one) == [("fired", 60, 1), ("missed", 600, 9), ("fired", 660, 1)]


async def test_misfire_all_runs_each(world: World) -> None:
    every = minutely(overlap="allow", misfire="all")
    await down_for_ten_minutes(world, every)
    assert await world.slots() == list(range(60, 720, 60))


async def test_misfire_all_with_queue_runs_each_in_turn(world: World) -> None:
    every = minutely(overlap="queue", misfire="all")
    async with world.engine.attend("w", queues=["default"]):
        await down_for_ten_minutes(world, every)
        async with running(world.crons(every).scheduler()):
            for _ in range(11):
                (job,) = await world.claim("m")
                await world.finish(job)
                await world.clock.advance(1)
    assert await world.slots() == list(range(60, 720, 60))


async def test_misfire_skip_runs_only_what_is_at_most_a_minute_late(world: World) -> None:
    skip = minutely(overlap="allow", misfire="skip")
    await down_for_ten_minutes(world, skip)
    assert await world.slots() == [60, 660]
    daily = define_cron("d", "1 0 * * *", handler=nothing, misfire="skip")
    other = World()
    await other.crons(daily).scheduler().step()
    await other.at(180)
    await other.crons(daily).scheduler().step()
    assert await other.slots() == []
    assert await outcomes(other, daily) == [("missed", 60, 1)]


@pytest.mark.parametrize(("misfire", "fired"), [("one", 1), ("all", 1000), ("skip", 61)])
async def test_long_downtime_is_bounded_work(misfire: str, fired: int) -> None:
    world = World()
    every_second = define_cron("s", "* * * * * *", handler=nothing, overlap="allow", misfire=misfire)  # type: ignore[call-overload]
    await world.crons(every_second).scheduler().step()
    await world.at(400 * 86400)
    with anyio.fail_after(5):
        await world.crons(every_second).scheduler().step()
    assert len(await world.slots()) == fired
    assert (await world.slots())[-1] == 400 * 86400


# --- Several schedulers, and what may happen to them ------------------------------------------------------------------


async def test_scheduler_killed_at_any_await_loses_and_doubles_nothing() -> None:
    """Cut the first scheduler at its n-th step of the loop, for every n, then let another go on."""
    n, was_cut = 0, True
    while was_cut:
        world = World()
        crons = world.crons(minutely(overlap="replace"))
        await crons.scheduler().step()
        await crons.scheduler().step()
        await world.at(60)
        await crons.scheduler().step()
        await world.at(120)
        was_cut = await _cut(crons.scheduler(), after=n)
        n += 1
        async with running(crons.scheduler()):
            await world.clock.advance(1)
        assert await world.slots() == [60, 120]
        assert await world.claim_states(f"cron-m-{int(START) + 60}") == ["Cancelled"]
        assert await world.claim_states(f"cron-m-{int(START) + 120}") == [None]
        assert [name for name, *_ in await outcomes(world, crons.definitions[0])] == ["fired", "fired"]
    assert n > 10  # there were so many points to cut it at


async def _cut(scheduler: Scheduler, *, after: int) -> bool:
    """Step the scheduler until nothing is left to do, or until it has come to the loop `after` times."""
    work = _work(scheduler)
    try:
        for _ in range(after):
            work.send(None)
    except StopIteration:
        return False
    finally:
        work.close()  # as a killed process: nothing runs any more but what needs no await
    return True


async def _work(scheduler: Scheduler) -> None:
    for _ in range(3):
        await scheduler.step()


async def test_store_that_is_down_is_waited_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with running(world.crons(minutely(overlap="allow")).scheduler()):
        await world.at(61)
        world.engine.is_down = True
        await world.at(125)
        assert "queue does not answer" in caplog.text
        before = world.engine.calls
        await world.at(130)
        assert world.engine.calls - before <= 2  # it waits longer and longer, up to five seconds
        world.engine.is_down = False
        await world.at(136)
    assert await world.slots() == [60, 120]


async def test_cron_that_fails_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        text = "broken"

        def after(self, instant: int) -> Any:
            raise RuntimeError("broken")

        before = after

        def describe(self) -> str:
            return "broken"

    broken = define_cron("broken", every="1m", handler=nothing)
    object.__setattr__(broken.timetable, "slots", Broken())
    async with running(world.crons(broken, minutely()).scheduler()):
        await world.at(60)
    assert await world.slots() == [60]
    assert "cron failed, will try again" in caplog.text


async def test_entry_of_a_later_version_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    later = b'{"v":2,"last_slot":0,"colour":"red"}'
    await world.engine.save_entry("default", "cron:m", later, version=0)
    async with running(world.crons(minutely()).scheduler()):
        await world.at(300)
    assert (await world.engine.entries("default"))["cron:m"].data == later
    assert caplog.text.count("later version") == 1


async def test_damaged_entry_is_left_alone_and_can_be_cleared(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.engine.save_entry("default", "cron:m", b"\x00", version=0)
    crons = world.crons(minutely())
    async with running(crons.scheduler()):
        await world.at(60)
        assert await world.slots() == []
        assert caplog.text.count("cannot be read") == 1
        assert await crons.clear("m")
        await world.at(120)
    assert await world.slots() == [120]


async def test_state_that_an_older_release_wrote_can_be_read(world: World) -> None:
    """The first format, as it is in stores."""
    written = b'{"v":1,"last_slot":1767225660,"runs":1,"last_job_id":"x","unknown":1,"history":'
    written += b'[[1767225660,1767225660.5,"fired"],[5,6.0,"missed",3]]}'
    await world.engine.save_entry("default", "cron:m", written, version=0)
    await world.at(61)
    async with running(world.crons(minutely()).scheduler()):
        await world.at(120)
    assert await world.slots() == [120]
    assert [line.outcome for line in await world.crons(minutely()).history("m")] == [
        Outcome.FIRED,
        Outcome.FIRED,
        Outcome.MISSED,
    ]


async def test_job_that_is_gone_counts_as_finished(world: World) -> None:
    async with running(world.crons(minutely()).scheduler()):
        await world.at(60)
        assert await world.engine.remove(f"cron-m-{int(START) + 60}")
        await world.at(120)
    assert await world.slots() == [120]
    assert await world.state_of(f"cron-m-{int(START) + 120}") is JobState.WAITING


async def test_history_is_bounded(world: World) -> None:
    often = define_cron("s", every=1, handler=nothing, overlap="allow")
    async with running(world.crons(often).scheduler()):
        await world.at(200)
    history = await world.crons(often).history("s")
    assert [int(line.slot_at.timestamp() - START) for line in history] == list(range(200, 150, -1))
    assert len((await world.engine.entries("default"))["cron:s"].data) < 3000
