"""Whatever is done to the memory engine, in whatever order: no job is lost, and none is held twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from undercroft._core.clock import VirtualClock
from undercroft.queue._values import (
    ClaimedJob,
    Completed,
    Failed,
    Fetch,
    JobFilter,
    JobState,
    OnChildFailure,
    Postponed,
    QueueSettings,
)
from undercroft.queue.memory import MemoryQueue
from undercroft.testing.conformance.queue import NewJobs

T = TypeVar("T")
QUEUES = ["a", "b"]
NAMES = ["one", "two"]
LEASE_S = 30.0
a_queue = st.sampled_from(QUEUES)
a_name = st.sampled_from(NAMES)
a_delay = st.sampled_from([0.0, 0.0, 1.0, 40.0])


class QueueMachine(RuleBasedStateMachine):
    """Does what clients, workers and operators do, and keeps account of every job."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = VirtualClock()
        self.new = NewJobs(self.clock)
        self.engine = MemoryQueue(self.clock)
        self.stack = AsyncExitStack()
        self.run(self.stack.enter_async_context(self.engine.attend("w", queues=QUEUES)))
        self.stored: set[str] = set()
        self.held: dict[str, ClaimedJob] = {}
        self.old: list[ClaimedJob] = []

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def teardown(self) -> None:
        self._everything_comes_to_its_end()
        self.run(self.stack.aclose())
        self.runner.close()

    # --- Clients ----------------------------------------------------------------------------------------------------

    @rule(target=jobs, queue=a_queue, name=a_name, delay=a_delay, priority=st.integers(0, 3), lifo=st.booleans())
    def add(self, queue: str, name: str, delay: float, priority: int, lifo: bool) -> str:
        new = self.new.later(delay, queue=queue, name=name, priority=priority, lifo=lifo)
        (added,) = self.run(self.engine.add([new]))
        assert (added.id, added.is_new) == (new.id, True)
        self.stored.add(new.id)
        return new.id

    @rule(target=jobs, queue=a_queue, count=st.integers(1, 3), on_failure=st.sampled_from(OnChildFailure))
    def add_flow(self, queue: str, count: int, on_failure: OnChildFailure) -> str:
        parent = self.new(name="one", queue="a", has_children=True)
        link = {"parent_id": parent.id, "parent_queue": "a", "on_child_failure": on_failure}
        family = [parent, *(self.new(name="two", queue=queue, **link) for _ in range(count))]
        assert all(added.is_new for added in self.run(self.engine.add(family)))
        self.stored.update(new.id for new in family)
        return parent.id

    # --- Workers ----------------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 4), names=st.sampled_from([NAMES, ["one"], ["two"]]))
    def claim(self, limit: int, names: list[str]) -> None:
        found = self.run(self.engine.claim(queues=QUEUES, names=names, limit=limit, worker_id="w", lease_s=LEASE_S))
        assert len(found.jobs) <= limit
        for job in found.jobs:
            self._take(job, names)

    @rule(data=st.data(), how=st.integers(0, 3), delay=a_delay, fetches=st.booleans())
    def finish(self, data: st.DataObject, how: int, delay: float, fetches: bool) -> None:
        if not self.held:
            return
        job = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
        retry_at = self.clock.time() + delay
        outcome = (
            Completed(result=b"1"),
            Failed(error_type="E", error="e", retry_at=retry_at),
            Failed(error_type="E", error="e", retry_at=None),
            Postponed(until=retry_at),
        )[how]
        fetch = Fetch(names=frozenset(NAMES), worker_id="w", lease_s=LEASE_S) if fetches else None
        done = self.run(self.engine.finish(job, outcome, fetch=fetch))
        assert done.is_recorded
        self.old.append(job)
        if done.next is not None:
            assert done.next.queue == job.queue
            self._take(done.next, NAMES)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.held:
            job = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
            self.run(self.engine.release([job]))
            self.old.append(job)

    @rule(data=st.data())
    def report_late(self, data: st.DataObject) -> None:
        if self.old:
            job = data.draw(st.sampled_from(self.old))
            assert not self.run(self.engine.finish(job, Completed(result=b"9"))).is_recorded
            assert not self.run(self.engine.set_progress(job, b"9"))
            self.run(self.engine.release([job]))

    @rule()
    def beat(self) -> None:
        beat = self.run(self.engine.beat("w", [*self.held.values(), *self.old], lease_s=LEASE_S))
        assert beat.lost == tuple(self.old)

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 60.0]))
    def rescue_later(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))
        for rescued in self.run(self.engine.rescue(queues=QUEUES, max_crashes=3, again_after_s=5)):
            self.old.append(self.held.pop(rescued.id))

    # --- Operators --------------------------------------------------------------------------------------------------

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        self.run(self.engine.cancel(job_id))

    @rule(job_id=jobs)
    def retry(self, job_id: str) -> None:
        self.run(self.engine.retry(job_id))

    @rule(job_id=jobs, priority=st.integers(0, 3))
    def hurry(self, job_id: str, priority: int) -> None:
        self.run(self.engine.promote(job_id))
        self.run(self.engine.reprioritise(job_id, priority))

    @rule(job_id=jobs)
    def remove(self, job_id: str) -> None:
        children = self.run(self.engine.children(job_id))
        if self.run(self.engine.remove(job_id)):
            self.stored -= {job_id, *(child.id for child in children)}

    @rule(queue=a_queue, is_paused=st.booleans(), max_active=st.sampled_from([None, 1, 3]))
    def configure(self, queue: str, is_paused: bool, max_active: int | None) -> None:
        self.run(self.engine.configure(queue, QueueSettings(is_paused=is_paused, max_active=max_active)))

    @rule(names=st.sampled_from([NAMES, ["one"], ["two"]]))
    def park(self, names: list[str]) -> None:
        for _, name in self.run(self.engine.park_unknown(queues=QUEUES, names=names)):
            assert name not in names

    # --- What always holds ------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_in_one_state(self) -> None:
        counts = self.run(self.engine.counts())
        assert sum(msgspec.structs.astuple(counts)) == len(self.stored)
        assert counts.active == len(self.held)

    @invariant()
    def every_job_is_listed_once(self) -> None:
        page = self.run(self.engine.list_jobs(JobFilter(), limit=3))
        found = [*page.jobs]
        while page.cursor is not None:
            page = self.run(self.engine.list_jobs(JobFilter(), limit=3, cursor=page.cursor))
            found += page.jobs
        assert sorted(job.id for job in found) == sorted(self.stored)
        assert {job.id for job in found if job.state is JobState.ACTIVE} == self.held.keys()

    def _take(self, job: ClaimedJob, names: list[str]) -> None:
        assert job.id not in self.held, "held twice"
        assert job.id in self.stored
        assert job.name in names
        assert all(job.token > old.token for old in self.old if old.id == job.id)
        self.held[job.id] = job

    def _everything_comes_to_its_end(self) -> None:
        for queue in QUEUES:
            self.configure(queue, is_paused=False, max_active=None)
        for _ in range(20):
            self.run(self.clock.advance(61))
            self.run(self.engine.rescue(queues=QUEUES, max_crashes=3, again_after_s=5))
            self.held.clear()
            self.claim(100, NAMES)
            for job in self.held.values():
                assert self.run(self.engine.finish(job, Completed(result=b"1"))).is_recorded
            self.held.clear()
        counts = self.run(self.engine.counts())
        assert counts.completed + counts.failed == len(self.stored)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
