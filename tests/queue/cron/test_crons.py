"""What users hold: look, pause, run now, schedule what is not in the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
import pytest

from tests.queue.cron._world import START, World
from undercroft._core.bound import bind
from undercroft._core.errors import NotBoundError
from undercroft.queue._cron._crons import Crons, crons_by_name
from undercroft.queue._cron._definition import CronJob, cron, define_cron
from undercroft.queue._cron._face import clear_cron_jobs, get_cron_job, get_cron_jobs
from undercroft.queue._cron._state import Outcome
from undercroft.queue._errors import JobDefinitionError, JobNotRegisteredError, QueueUnavailableError
from undercroft.queue._job import define_job

pytestmark = pytest.mark.anyio


async def nothing() -> None: ...


async def report(month: str) -> None: ...


REPORT = define_job(name="report", handler=report)
MINUTELY = define_cron("m", "* * * * *", handler=nothing, overlap="allow", description="often")
NIGHTLY = define_cron("n", "30 3 * * *", tz="Europe/Berlin", handler=nothing)


@asynccontextmanager
async def fired_by(crons: Crons) -> Any:
    async with anyio.create_task_group() as group:
        group.start_soon(crons.scheduler().run)
        yield
        group.cancel_scope.cancel()


@pytest.fixture
def world() -> World:
    return World()


# --- Looking ----------------------------------------------------------------------------------------------------------


async def test_list_tells_definition_state_and_next_firings(world: World) -> None:
    crons = world.crons(MINUTELY, NIGHTLY)
    async with fired_by(crons):
        await world.at(130)
    minutely, nightly = await crons.list()
    assert (minutely.name, minutely.expression, minutely.words) == ("m", "* * * * *", "Every minute")
    assert (minutely.runs, minutely.description, minutely.is_stored) == (2, "often", False)
    assert minutely.last_slot_at == datetime.fromtimestamp(START + 120, UTC)
    assert minutely.last_job_id == f"cron-m-{int(START) + 120}"
    assert [int(at.timestamp() - START) for at in minutely.next_at] == [180, 240, 300, 360, 420]
    assert (nightly.tz, nightly.words) == ("Europe/Berlin", "At 03:30 every day (Europe/Berlin)")
    assert (nightly.last_slot_at, nightly.last_job_id, nightly.runs) == (None, None, 0)
    assert nightly.next_at[0].isoformat() == "2026-01-01T03:30:00+01:00"


async def test_cron_that_no_scheduler_has_seen_can_be_looked_at(world: World) -> None:
    crons = world.crons(MINUTELY)
    info = await crons.get("m")
    assert info is not None
    assert (info.runs, info.last_slot_at, len(info.next_at)) == (0, None, 5)
    assert await crons.history("m") == ()
    assert await crons.get("x") is None


async def test_next_gives_as_many_as_are_wanted(world: World) -> None:
    following = await world.crons(NIGHTLY).next("n", 100)
    assert len(following) == 100
    assert {at.strftime("%H:%M") for at in following} == {"03:30"}  # also across the change to summer time


async def test_unknown_cron_names_those_there_are(world: World) -> None:
    with pytest.raises(JobNotRegisteredError) as caught:
        await world.crons(define_cron("report.daily", every="1h", handler=nothing)).pause("report.dayly")
    assert caught.value.near == ("report.daily",)


async def test_what_is_told_has_a_json_form(world: World) -> None:
    crons = world.crons(MINUTELY)
    await crons.run_now("m")
    assert b'"outcome":"manual"' in msgspec.json.encode(await crons.history("m"))
    assert b'"expression":"* * * * *"' in msgspec.json.encode(await crons.list())


# --- Acting -----------------------------------------------------------------------------------------------------------


async def test_paused_cron_does_not_fire_and_goes_on_with_its_next_slot(world: World) -> None:
    crons, elsewhere = world.crons(MINUTELY), world.crons(MINUTELY)
    async with fired_by(crons):
        await world.at(60)
        await elsewhere.pause("m")
        await world.at(600)
        info = await crons.get("m")
        assert info is not None
        assert (info.is_paused, info.next_at) == (True, ())
        await elsewhere.resume("m")
        await world.at(660)
    assert await world.slots() == [60, 660]


async def test_pause_before_any_scheduler_holds(world: World) -> None:
    crons = world.crons(MINUTELY)
    await crons.pause("m")
    async with fired_by(crons):
        await world.at(600)
    assert await world.slots() == []


async def test_run_now_adds_a_job_beside_the_slots(world: World) -> None:
    limited = define_cron("m", "* * * * *", handler=nothing, overlap="skip", max_runs=1)
    crons = world.crons(limited)
    async with fired_by(crons):
        await world.at(30)
        handle = await crons.run_now("m")
        await world.at(120)
    assert (handle.name, handle.queue) == ("m", "default")
    assert await world.state_of(handle.id) is not None
    assert await world.slots() == [60]  # the run by hand was neither counted nor in the way
    assert [line.outcome for line in await crons.history("m")] == [Outcome.FIRED, Outcome.MANUAL]


async def test_disabled_and_paused_crons_run_by_hand(world: World) -> None:
    crons = world.crons(define_cron("m", every="1m", handler=nothing, enabled=False))
    await crons.pause("m")
    await crons.run_now("m")
    assert len(await world.jobs()) == 1


async def test_runs_by_hand_at_once_are_all_there(world: World) -> None:
    crons = world.crons(MINUTELY)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(crons.run_now, "m")
    assert len(await world.jobs()) == 20
    assert len(await crons.history("m")) == 20


async def test_clear_forgets_and_goes_on_from_now(world: World) -> None:
    crons = world.crons(MINUTELY)
    async with fired_by(crons):
        await world.at(60)
        assert await crons.clear("m")
        assert not await crons.clear("x")
        await world.at(120)
    info = await crons.get("m")
    assert info is not None
    assert info.runs == 1
    assert await world.slots() == [60, 120]


# --- Stored crons -----------------------------------------------------------------------------------------------------


async def test_stored_cron_is_fired_by_every_scheduler_that_knows_its_job(world: World) -> None:
    here, there = world.crons(jobs=[REPORT]), world.crons(jobs=[REPORT])
    async with fired_by(there):
        info = await here.schedule("monthly", "* * * * *", job="report", data={"month": "May"}, overlap="allow")
        assert (info.is_stored, info.job, info.expression) == (True, "report", "* * * * *")
        await world.at(120)
        (job, _) = await world.jobs()
        assert (job.name, msgspec.json.decode(job.data)) == ("report", {"month": "May"})
        assert [info.name for info in await there.list()] == ["monthly"]
        assert await here.unschedule("monthly")
        await world.at(600)
    assert await world.slots() == [60, 120]
    assert await here.list() == ()
    assert not await here.unschedule("monthly")


async def test_stored_cron_keeps_every_option(world: World) -> None:
    crons = world.crons(jobs=[REPORT])
    end = datetime(2030, 1, 31, tzinfo=UTC)
    await crons.schedule(
        "monthly", every="90m", job=REPORT, queue="slow", data={"month": "May"}, description="d", overlap="queue",
        misfire="all", jitter="3s", start=datetime(2026, 1, 1, tzinfo=UTC), end=end, max_runs=9, enabled=False,
    )  # fmt: skip
    (known,) = await crons._load()
    assert known.cron == define_cron(
        "monthly", every="90m", job=REPORT, queue="slow", data={"month": "May"}, description="d", overlap="queue",
        misfire="all", jitter="3s", start=datetime(2026, 1, 1, tzinfo=UTC), end=end, max_runs=9, enabled=False,
    )  # fmt: skip


async def test_scheduling_again_changes_it_from_now_on(world: World) -> None:
    crons = world.crons(jobs=[REPORT])
    await crons.schedule("report", "* * * * *", data={"month": "May"}, overlap="allow", misfire="all")
    async with fired_by(crons):
        await world.at(60)
    await world.at(599)
    await crons.schedule("report", "*/10 * * * *", data={"month": "June"}, overlap="allow", misfire="all")
    async with fired_by(crons):
        await world.at(600)
    assert await world.slots() == [60, 600]
    info = await crons.get("report")
    assert info is not None
    assert info.runs == 2


async def test_scheduling_the_same_again_changes_nothing(world: World) -> None:
    crons = world.crons(jobs=[REPORT])
    async with fired_by(crons):
        for minute in range(5):
            await crons.schedule("report", "*/2 * * * *", data={"month": "May"}, overlap="allow")
            await world.at(60 * minute + 59.9)
        await world.at(300)
    assert await world.slots() == [120, 240]


async def test_cron_of_a_job_that_is_not_known_here_is_left_to_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.crons(jobs=[REPORT]).schedule("report", "* * * * *", data={"month": "May"})
    async with fired_by(world.crons(MINUTELY)):
        await world.at(60)
    assert [job.name for job in await world.jobs()] == ["m"]
    assert caplog.text.count("its job is not known here") == 1
    assert await world.crons(MINUTELY).unschedule("report")  # and can be taken away from anywhere


async def test_schedule_refuses_what_could_not_run(world: World) -> None:
    crons = world.crons(MINUTELY, jobs=[REPORT])
    with pytest.raises(JobNotRegisteredError, match="job 'reprot' is not registered here"):
        await crons.schedule("reprot", "* * * * *")
    with pytest.raises(JobDefinitionError, match="99 is not within 0-59"):
        await crons.schedule("report", "99 * * * *", data={"month": "May"})
    with pytest.raises(JobDefinitionError, match="month"):
        await crons.schedule("report", "* * * * *")  # its data is missing
    with pytest.raises(JobDefinitionError, match="is defined in the code"):
        await crons.schedule("m", "* * * * *", job="report", data={"month": "May"})
    await crons.schedule("x", "* * * * *", job="report", queue="slow", data={"month": "May"})
    with pytest.raises(JobDefinitionError, match="is scheduled in the queue 'slow'"):
        await crons.schedule("x", "* * * * *", job="report", data={"month": "May"})
    assert [info.name for info in await crons.list()] == ["m", "x"]


async def test_name_that_was_once_a_cron_of_the_code_can_be_stored(world: World) -> None:
    await world.crons(MINUTELY).pause("m")
    crons = world.crons(jobs=[REPORT])
    await crons.schedule("m", "* * * * *", job="report", data={"month": "May"})
    async with fired_by(crons):
        await world.at(60)
    assert await world.slots() == [60]


async def test_store_that_is_down_is_told(world: World) -> None:
    world.engine.is_down = True
    with pytest.raises(QueueUnavailableError):
        await world.crons(MINUTELY).pause("m")


# --- The face ---------------------------------------------------------------------------------------------------------


class Source:
    """An application, as far as the face looks at it."""

    def __init__(self, crons: Crons) -> None:
        self.crons = crons

    def get_part(self, name: str) -> object:
        assert name == "queue"
        return self


@pytest.fixture
def bound(world: World) -> Iterator[None]:
    with bind(Source(world.crons(MINUTELY, NIGHTLY))):
        yield


async def test_face_lists_gets_and_clears_definitions(bound: None) -> None:
    assert get_cron_jobs() == (MINUTELY, NIGHTLY)
    assert get_cron_job("n") is NIGHTLY
    assert get_cron_job("unknown") is None
    clear_cron_jobs()
    assert get_cron_jobs() == ()


async def test_face_needs_a_bound_queue() -> None:
    with pytest.raises(NotBoundError):
        get_cron_jobs()


# --- Definitions ------------------------------------------------------------------------------------------------------


async def test_calling_a_cron_runs_its_handler() -> None:
    @cron("add", every="1h", data={"a": 1, "b": 2})
    async def add(a: int, b: int) -> int:
        return a + b

    assert await add(3, 4) == 7
    assert await add.job(3, 4) == 7


@pytest.mark.parametrize("spelling", ["schedule", "pattern", "cron"])
def test_each_spelling_of_the_expression_is_the_same(spelling: str) -> None:
    spelled: CronJob[..., Any] = define_cron("x", handler=nothing, **{spelling: "0 3 * * *"})  # type: ignore[call-overload]
    assert spelled.schedule == define_cron("x", "0 3 * * *", handler=nothing).schedule


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "no schedule is given, not exactly one"),
        ({"schedule": "* * * * *", "cron": "* * * * *"}, "schedule and cron are given"),
        ({"pattern": "* * * * *", "every": "5m"}, "pattern and every are given"),
        ({"every": "5m", "tz": "Europe/Berlin"}, "tz 'Europe/Berlin' has no meaning for every="),
        ({"every": 0.5}, "every 0.5 is not a whole number of seconds"),
        ({"every": "0s"}, "not a whole number of seconds, at least 1"),
        ({"cron": "@daily", "overlap": "skpi"}, "overlap 'skpi' is not known"),
        ({"cron": "@daily", "misfire": "all"}, "misfire='all' with overlap='skip'"),
        ({"cron": "@daily", "delay": "5m"}, "delay is not for crons"),
        ({"cron": "@daily", "overlp": "skip"}, "unknown option 'overlp'"),
        ({"cron": "@daily", "attempts": 0}, "attempts 0 is not a whole number"),
        ({"cron": "@daily", "start": datetime(2026, 1, 1)}, "is not a datetime with a time zone"),
        ({"cron": "@daily", "max_runs": 0}, "max_runs 0 is not a whole number"),
        ({"cron": "@daily", "enabled": "yes"}, "enabled 'yes' is not a bool"),
        ({"cron": "@daily", "data": {"x": 1}}, "data: "),
        ({"cron": "@daily", "data": 5}, "data: "),
        (
            {"cron": "@daily", "start": datetime(2027, 1, 1, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
            "before it starts",
        ),
    ],
)
def test_definition_that_is_wrong_says_what(options: dict[str, Any], says: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        define_cron("x", handler=nothing, **options)
    assert says in caught.value.message


def test_handler_without_its_data_is_refused_where_it_is_defined() -> None:
    with pytest.raises(JobDefinitionError, match="month"):
        define_cron("x", "@daily", handler=report)


def test_decorator_without_a_name_says_how() -> None:
    with pytest.raises(JobDefinitionError, match="@cron needs a name"):
        cron(nothing)  # type: ignore[arg-type]


def test_crons_have_unique_names(world: World) -> None:
    with pytest.raises(JobDefinitionError, match="two crons are called 'm'"):
        world.crons(MINUTELY, define_cron("m", every="1m", handler=nothing))
    with pytest.raises(JobDefinitionError, match="is not a cron"):
        crons_by_name([MINUTELY.job])  # type: ignore[list-item]
