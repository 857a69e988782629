"""What operations on Redis promise beyond the conformance suite: cursors, both protocols, what BullMQ leaves to us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.queue.interop._python import new_job, succeed, work
from undercroft._core.errors import InvalidDataError
from undercroft._core.url import Url
from undercroft.queue._values import ClaimedJob, Completed, Entry, Failed, JobEvent, JobFilter, JobState
from undercroft.queue.redis import RedisQueue
from undercroft.queue.redis import _events as events_module

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def ids(engine: RedisQueue, wanted: JobFilter, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    page = await engine.list_jobs(wanted, limit=limit, cursor=cursor)
    return [job.id for job in page.jobs], page.cursor


# --- Pages -----------------------------------------------------------------------------------------------------------


async def test_a_page_goes_on_when_the_last_job_of_the_one_before_is_gone(engine: RedisQueue) -> None:
    jobs = [new_job(engine, "q") for _ in range(12)]
    await engine.add(jobs)
    await work(engine, "q", count=12)  # several end in the same millisecond
    wanted = JobFilter(queue="q", state=JobState.COMPLETED)
    first, cursor = await ids(engine, wanted, 5, None)
    await engine.remove(first[-1], queue="q")
    rest, cursor = await ids(engine, wanted, 50, cursor)
    assert {*first, *rest} == {job.id for job in jobs}
    assert cursor is None


async def test_a_page_of_waiting_jobs_passes_over_none_that_still_waits(engine: RedisQueue) -> None:
    jobs = [new_job(engine, "q") for _ in range(10)]
    await engine.add(jobs)
    wanted = JobFilter(queue="q", state=JobState.WAITING)
    first, cursor = await ids(engine, wanted, 4, None)
    await work(engine, "q", count=2)  # the oldest
    await engine.remove(first[-1], queue="q")
    await engine.add([new_job(engine, "q") for _ in range(3)])
    rest, _ = await ids(engine, wanted, 50, cursor)
    assert {*first, *rest} >= {job.id for job in jobs[2:]}


async def test_a_cursor_of_something_else_is_refused(engine: RedisQueue) -> None:
    for cursor in ("nonsense", "e30=", "💥"):
        with pytest.raises(InvalidDataError, match="cursor"):
            await engine.list_jobs(JobFilter(queue="q"), limit=1, cursor=cursor)
    with pytest.raises(InvalidDataError, match="cursor"):
        engine.events(["q"], after="12")


# --- Events ----------------------------------------------------------------------------------------------------------


async def heard(events: AsyncIterator[JobEvent], count: int) -> list[JobEvent]:
    found: list[JobEvent] = []
    with anyio.fail_after(10):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    generator: Any = events
    await generator.aclose()
    return found


async def test_listening_goes_on_behind_any_event_of_several_queues(
    engine: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_AT_ONCE", 3)
    names = ["a", "b", "c"]
    await engine.ping()
    listening = engine.events(names)
    # One transaction: all within a millisecond or two, and in some queues more than one reply holds.
    await engine.add([new_job(engine, names[min(n % 4, 2)]) for n in range(20)])
    every = [event.cursor for event in await heard(listening, 40)]
    assert every == sorted(every)
    for at in (0, 7, 20, 38):
        rest = await heard(engine.events(names, after=every[at]), 39 - at)
        assert [event.cursor for event in rest] == every[at + 1 :]


async def test_what_came_before_the_call_is_not_heard(engine: RedisQueue) -> None:
    await engine.add([new_job(engine, "q")])
    listening = engine.events(["q", "other"])
    job = new_job(engine, "q")
    await engine.add([job])
    (event,) = await heard(listening, 1)
    assert (event.type, event.job_id) == ("added", job.id)


# --- What BullMQ leaves to us ----------------------------------------------------------------------------------------


async def test_a_parent_failed_by_its_child_can_be_retried_and_completed(engine: RedisQueue) -> None:
    parent = new_job(engine, "q", name="parent", has_children=True)
    child = new_job(engine, "q", name="child", parent_id=parent.id)

    async def fail(job: ClaimedJob) -> Failed:
        return Failed(error_type="ValueError", error="no", retry_at=None)

    await engine.add([parent, child])
    await work(engine, "q", fail, count=2)
    assert await engine.retry(parent.id, queue="q")

    async def look(job: ClaimedJob) -> Completed:
        (seen,) = await engine.children(job.id, queue="q")
        assert (seen.state, seen.error) == (JobState.FAILED, "no")
        return await succeed(job)

    (run,) = await work(engine, "q", look)
    assert run.doom is None
    record = await engine.get(parent.id, queue="q")
    assert record is not None
    assert record.state is JobState.COMPLETED


async def test_obliterating_deletes_a_parent_that_waits_for_another_queue(engine: RedisQueue) -> None:
    parent = new_job(engine, "q", name="parent", has_children=True)
    child = new_job(engine, "below", name="child", parent_id=parent.id, parent_queue="q")
    await engine.add([parent, child])
    await engine.save_entry("q", "cron:x", b"{}", version=0)
    await engine.obliterate("q", force=False)
    assert await engine.get(parent.id, queue="q") is None
    assert await engine.entries("q") == {}
    assert await engine.queues() == ["below"]
    await work(engine, "below")
    assert await engine.get(child.id, queue="below") is not None


async def test_queues_of_a_prefix_with_wildcards_are_its_own(url: str) -> None:
    async with (
        RedisQueue.from_url(Url.parse(f"{url}?prefix=a%2A")) as starred,
        RedisQueue.from_url(Url.parse(f"{url}?prefix=ab")) as other,
    ):
        await starred.add([new_job(starred, "mine")])
        await other.add([new_job(other, "theirs")])
        assert await starred.queues() == ["mine"]


# --- Both protocols --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
async def test_everything_is_read_alike_by_either_protocol(url: str, protocol: int) -> None:
    async with RedisQueue.from_url(Url.parse(f"{url}?protocol={protocol}")) as engine:
        await engine.ping()
        listening = engine.events(["q"])
        parent = new_job(engine, "q", name="parent", has_children=True)
        child = new_job(engine, "q", name="child", parent_id=parent.id, priority=3)
        later = new_job(engine, "q", due_at=engine.time() + 60)
        await engine.add([parent, child])
        await engine.add([later])
        assert [event.type for event in await heard(listening, 6)] == [
            *("added", "waiting-children", "added", "waiting", "added", "delayed")
        ]
        assert (await engine.statistics("q")).oldest_waiting_at == pytest.approx(child.due_at, abs=0.002)
        await work(engine, "q", count=2)
        (seen,) = await engine.children(parent.id)
        assert json.loads(seen.result or b"")["by"] == "python"
        listed, _ = await ids(engine, JobFilter(), 10, None)
        assert (listed[0], {*listed[1:]}) == (later.id, {parent.id, child.id})  # these may have ended together
        counts = await engine.counts()
        assert (counts.completed, counts.delayed) == (2, 1)
        statistics = await engine.statistics("q")
        assert [len(statistics.recent), statistics.minutes[0].completed] == [2, 2]
        assert await engine.save_entry("q", "k", b"x", version=0)
        assert await engine.entries("q", prefix="k") == {"k": Entry(1, b"x")}
        assert await engine.cancel(later.id)
        assert await engine.drain("q", delayed=True) == 1
