"""Flows: children before their parents, and their ends with the parent."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import ChildRecord, Counts, Doom, JobState, Keep, OnChildFailure
from undercroft.testing.conformance.queue._base import (
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    require,
    state_of,
    worker,
)

IGNORE = {"on_child_failure": OnChildFailure.IGNORE}
BOTH = ("job", "parent")


class FlowPromises(Promises):
    """Flows."""

    async def test_parent_runs_after_its_children(self, engine: Engine, jobs: NewJobs) -> None:
        parent, one, two = jobs.family({}, {})
        async with worker(engine) as me:
            await engine.add([parent, one, two])
            assert await engine.counts() == Counts(waiting=2, blocked=1)
            assert await state_of(engine, parent.id) is JobState.BLOCKED

            first, second = await claim(engine, me, names=BOTH)
            assert [first.id, second.id] == [one.id, two.id]
            await complete(engine, first)
            assert await claim(engine, me, names=BOTH) == ()
            await complete(engine, second)

            assert (await claim_one(engine, me, "parent")).id == parent.id

    async def test_child_names_its_parent(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({"queue": "mail"})
        await engine.add([parent, child])

        record = await require(engine, child.id)

        assert (record.parent_id, record.parent_queue) == (parent.id, "default")

    async def test_parent_sees_its_children_in_the_order_given(self, engine: Engine, jobs: NewJobs) -> None:
        parent, *children = jobs.family({}, {"queue": "mail"}, {}, IGNORE)
        async with worker(engine, "default", "mail") as me:
            await engine.add([parent, *children])
            (one, three, four) = await claim(engine, me)
            (two,) = await claim(engine, me, queues=("mail",))
            assert [child.state for child in await engine.children(parent.id)] == [JobState.ACTIVE] * 4

            for job, result in ((three, b"3"), (two, '"zwölf"'.encode()), (one, b'{"n":1}')):
                await complete(engine, job, result)
            await fail(engine, four)

            assert await engine.children(parent.id, queue="default") == [
                ChildRecord(id=one.id, queue="default", state=JobState.COMPLETED, result=b'{"n":1}'),
                ChildRecord(id=two.id, queue="mail", state=JobState.COMPLETED, result='"zwölf"'.encode()),
                ChildRecord(id=three.id, queue="default", state=JobState.COMPLETED, result=b"3"),
                ChildRecord(id=four.id, queue="default", state=JobState.FAILED, error="no route"),
            ]

    async def test_job_without_children_has_none(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])

        assert await engine.children(new.id) == []
        assert await engine.children("nothing") == []

    async def test_child_in_another_queue_unblocks_its_parent(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({"queue": "mail"})
        async with worker(engine, "default", "mail") as me:
            await engine.add([parent, child])
            await complete(engine, await claim_one(engine, me, queue="mail"))

            assert (await claim_one(engine, me, "parent")).id == parent.id

    async def test_retried_child_keeps_its_parent_waiting(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        parent, child = jobs.family({})
        async with worker(engine) as me:
            await engine.add([parent, child])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time())

            assert await state_of(engine, parent.id) is JobState.BLOCKED
            await complete(engine, await claim_one(engine, me))
            assert (await claim_one(engine, me, "parent")).doom is None

    async def test_failed_child_dooms_its_parent_at_once(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child, other = jobs.family({}, {"queue": "mail"})
        async with worker(engine) as me:
            await engine.add([parent, child, other])

            await fail(engine, await claim_one(engine, me))

            job = await claim_one(engine, me, "parent")
            assert job.id == parent.id
            assert job.doom == Doom(error_type="ChildFailed", error=f"child {child.id} failed: no route")
            await fail(engine, job)
            assert await state_of(engine, other.id) is JobState.WAITING

    async def test_ignored_failure_counts_as_finished(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child, other = jobs.family(IGNORE, {})
        async with worker(engine) as me:
            await engine.add([parent, child, other])
            one, two = await claim(engine, me)
            await fail(engine, one)
            assert await state_of(engine, parent.id) is JobState.BLOCKED
            await complete(engine, two)

            job = await claim_one(engine, me, "parent")

        assert (job.id, job.doom) == (parent.id, None)
        assert [child.state for child in await engine.children(parent.id)] == [JobState.FAILED, JobState.COMPLETED]

    async def test_grandchildren_run_first(self, engine: Engine, jobs: NewJobs) -> None:
        top, middle = jobs.family({"name": "middle", "has_children": True})
        leaf = jobs(parent_id=middle.id, parent_queue="default")
        names = ("job", "middle", "parent")
        got = []
        async with worker(engine) as me:
            await engine.add([top, middle, leaf])
            assert await engine.counts() == Counts(waiting=1, blocked=2)
            while found := await claim(engine, me, names=names):
                for job in found:
                    got.append(job.id)
                    await complete(engine, job)

        assert got == [leaf.id, middle.id, top.id]

    async def test_failure_climbs_from_grandchild_to_grandparent(self, engine: Engine, jobs: NewJobs) -> None:
        top, middle = jobs.family({"name": "middle", "has_children": True})
        leaf = jobs(parent_id=middle.id, parent_queue="default")
        async with worker(engine) as me:
            await engine.add([top, middle, leaf])
            await fail(engine, await claim_one(engine, me))
            doomed = await claim_one(engine, me, "middle")
            assert doomed.doom is not None
            assert await state_of(engine, top.id) is JobState.BLOCKED
            await fail(engine, doomed)

            assert (await claim_one(engine, me, "parent")).doom is not None

    async def test_removed_child_counts_as_finished(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child, other = jobs.family({}, {})
        async with worker(engine) as me:
            await engine.add([parent, child, other])
            assert await engine.remove(child.id)
            assert await state_of(engine, parent.id) is JobState.BLOCKED
            await complete(engine, await claim_one(engine, me), b"2")

            assert (await claim_one(engine, me, "parent")).doom is None
            assert await engine.children(parent.id) == [
                ChildRecord(id=child.id, queue="default", state=None),
                ChildRecord(id=other.id, queue="default", state=JobState.COMPLETED, result=b"2"),
            ]

    async def test_parent_of_one_removed_child_waits_no_longer(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({})
        await engine.add([parent, child])

        await engine.remove(child.id)

        assert await state_of(engine, parent.id) is JobState.WAITING

    @pytest.mark.parametrize("how", ["removed", "retried"])
    async def test_finished_child_counts_once_whatever_becomes_of_it(
        self, engine: Engine, jobs: NewJobs, how: str
    ) -> None:
        parent, child, other = jobs.family({}, {"queue": "mail"})
        async with worker(engine, "default", "mail") as me:
            await engine.add([parent, child, other])
            await complete(engine, await claim_one(engine, me), b"1")
            if how == "removed":
                await engine.remove(child.id)
            else:
                await engine.retry(child.id)
                await complete(engine, await claim_one(engine, me), b"1")

            assert await state_of(engine, parent.id) is JobState.BLOCKED
            await complete(engine, await claim_one(engine, me, queue="mail"), b"2")
            assert (await claim_one(engine, me, "parent")).doom is None
        assert [each.result for each in await engine.children(parent.id)] == [b"1", b"2"]

    async def test_drained_and_cleaned_children_are_removed_ones(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        parent, one, two = jobs.family({"queue": "a"}, {"queue": "b"})
        await engine.add([parent, one, two])
        await pass_time(10)

        assert await engine.drain("a", delayed=False) == 1
        assert await engine.clean("b", JobState.WAITING, before=clock.time(), limit=10) == [two.id]

        assert await state_of(engine, parent.id) is JobState.WAITING

    async def test_parent_is_removed_with_its_children(self, engine: Engine, jobs: NewJobs) -> None:
        parent, *children = jobs.family({}, {"queue": "mail"})
        bystander = jobs()
        await engine.add([parent, *children, bystander])

        assert await engine.remove(parent.id)

        assert await engine.counts() == Counts(waiting=1)
        assert await state_of(engine, bystander.id) is JobState.WAITING

    async def test_parent_of_an_active_child_is_not_removed(self, engine: Engine, jobs: NewJobs) -> None:
        parent, *children = jobs.family({}, {})
        async with worker(engine) as me:
            await engine.add([parent, *children])
            await claim_one(engine, me)

            assert not await engine.remove(parent.id)

        assert await engine.counts() == Counts(waiting=1, active=1, blocked=1)

    async def test_result_of_a_child_outlives_the_child(self, engine: Engine, jobs: NewJobs) -> None:
        parent, one, two = jobs.family({"keep_completed": Keep(count=0)}, {})
        async with worker(engine) as me:
            await engine.add([parent, one, two])
            for result in (b"1", b"2"):
                await complete(engine, await claim_one(engine, me), result)
            await engine.remove(two.id)

            assert await state_of(engine, one.id) is None
            assert [child.result for child in await engine.children(parent.id)] == [b"1", b"2"]
            assert (await claim_one(engine, me, "parent")).id == parent.id

    async def test_parent_that_is_due_later_is_delayed_when_its_children_are_finished(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        parent, child = jobs.family({}, due_at=clock.time() + 60)
        async with worker(engine) as me:
            await engine.add([parent, child])
            assert await state_of(engine, parent.id) is JobState.BLOCKED
            await complete(engine, await claim_one(engine, me))

            assert await claim(engine, me, names=BOTH) == ()
            assert await state_of(engine, parent.id) is JobState.DELAYED
            await pass_time(61)
            assert (await claim_one(engine, me, "parent")).id == parent.id

    async def test_unblocked_parent_keeps_its_priority(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({}, priority=3)
        async with worker(engine) as me:
            await engine.add([parent, child])
            less, more = jobs(priority=5), jobs(priority=1)
            await engine.add([less, more])
            await complete(engine, await claim_one(engine, me))

            assert [job.id for job in await claim(engine, me, names=BOTH)] == [more.id, parent.id, less.id]

    async def test_flow_that_is_added_twice_is_there_once(self, engine: Engine, jobs: NewJobs) -> None:
        family = jobs.family({}, {})
        async with worker(engine) as me:
            await engine.add(family)
            await complete(engine, await claim_one(engine, me))
            before = await engine.counts()

            assert [added.is_new for added in await engine.add(family)] == [False] * 3

            assert await engine.counts() == before

    async def test_children_of_a_parent_that_is_there_already_are_not_added(
        self, engine: Engine, jobs: NewJobs
    ) -> None:
        parent, child = jobs.family({"keep_completed": Keep(count=0)})
        async with worker(engine) as me:
            await engine.add([parent, child])
            await complete(engine, await claim_one(engine, me))
            assert await state_of(engine, child.id) is None

            assert [added.is_new for added in await engine.add([parent, child])] == [False, False]

        assert await engine.counts() == Counts(waiting=1)

    async def test_parent_none_of_whose_children_was_stored_waits_for_none(self, engine: Engine, jobs: NewJobs) -> None:
        stands = jobs()
        parent, child = jobs.family({"id": stands.id})
        await engine.add([stands])

        added = await engine.add([parent, child])

        assert [each.is_new for each in added] == [True, False]
        assert await state_of(engine, parent.id) is JobState.WAITING

    @pytest.mark.parametrize("how", ["completes", "fails"])
    async def test_end_of_a_child_does_not_move_a_parent_that_was_cancelled(
        self, engine: Engine, jobs: NewJobs, how: str
    ) -> None:
        parent, child = jobs.family({})
        async with worker(engine) as me:
            await engine.add([parent, child])
            assert await engine.cancel(parent.id)
            await fail(engine, await claim_one(engine, me, "parent"))
            job = await claim_one(engine, me)

            await (complete(engine, job) if how == "completes" else fail(engine, job))

            assert await claim(engine, me, names=BOTH) == ()
        assert await state_of(engine, parent.id) is JobState.FAILED
