"""The SQLite engine does step for step what the memory engine does, in long random walks through the protocol."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._backoff import Backoff
from undercroft.queue._protocol import Engine
from undercroft.queue._values import (
    ClaimedJob,
    Completed,
    Deduplication,
    Failed,
    Fetch,
    JobFilter,
    JobState,
    Keep,
    NewJob,
    OnChildFailure,
    Postponed,
    QueueSettings,
    RateLimit,
)
from undercroft.queue.memory import MemoryQueue
from undercroft.queue.sqlite import SqliteQueue

pytestmark = pytest.mark.anyio
QUEUES = ["a", "b"]
NAMES = ["one", "two"]
WORKER = "w"
STEPS = 150


class Walk:
    """Does the same with both engines, and compares what they say."""

    def __init__(self, seed: int, clock: VirtualClock, engines: list[Engine]) -> None:
        self.draw = random.Random(seed)
        self.clock = clock
        self.engines = engines
        self.made = 0
        self.held: list[tuple[ClaimedJob, ...]] = []
        self.ids: list[tuple[str, str]] = []

    async def both(self, ask: Callable[[Engine], Awaitable[Any]]) -> list[Any]:
        return [await ask(engine) for engine in self.engines]

    async def same(self, ask: Callable[[Engine], Awaitable[Any]]) -> Any:
        first, second = await self.both(ask)
        assert second == first
        return first

    def job(self, **changes: Any) -> NewJob:
        draw, now = self.draw, self.clock.time()
        self.made += 1
        plain = NewJob(
            id=f"job-{self.made}",
            name=draw.choice([*NAMES, "stranger"]),
            queue=draw.choice(QUEUES),
            data=b'{"n":%d}' % self.made,
            attempts=3,
            backoff=draw.choice([None, Backoff.fixed(1)]),
            timeout_s=draw.choice([None, 30.0]),
            priority=draw.choice([0, 0, 0, 1, 5]),
            due_at=now + draw.choice([0, 0, 0, -3, 5, 60]),
            created_at=now,
            request_id=draw.choice([None, "r"]),
            carrier=None,
            lifo=draw.random() < 0.1,
            keep_completed=self.keep(),
            keep_failed=self.keep(),
            tags=draw.choice([(), ("x",), ("x", "y")]),
            on_failure=draw.choice([None, "one"]),
        )
        return msgspec.structs.replace(plain, **changes)

    def rule(self) -> Deduplication:
        key, ttl_s = self.draw.choice([("simple", None), ("timed", 10.0), ("timed", 50.0)])
        return Deduplication(key=key, ttl_s=ttl_s, extend=self.draw.random() < 0.4, replace=self.draw.random() < 0.4)

    def keep(self) -> Keep:
        return self.draw.choice(
            [Keep(), Keep(), Keep(age_s=40.0), Keep(count=2), Keep(count=0), Keep(age_s=90.0, count=3)]
        )

    async def add(self) -> None:
        count = self.draw.choice([1, 1, 1, 2, 5, 12])
        # Several jobs of one key in one call are a case of their own: see the conformance suite.
        rule = self.rule() if count == 1 and self.draw.random() < 0.5 else None
        jobs = [self.job(deduplication=rule) for _ in range(count)]
        if self.ids and self.draw.random() < 0.2:
            queue, known = self.draw.choice(self.ids)
            jobs.append(self.job(id=known, queue=queue))
        await self.keep_ids(jobs)

    async def add_flow(self) -> None:
        root = self.job(has_children=True, due_at=self.clock.time() + self.draw.choice([0, 0, 20]))
        jobs, parents = [root], [root]
        for _ in range(self.draw.choice([0, 1, 2, 4])):
            parent = self.draw.choice(parents)
            rule = self.draw.choice([*OnChildFailure])
            has_children = self.draw.random() < 0.3
            child = self.job(
                parent_id=parent.id, parent_queue=parent.queue, on_child_failure=rule, has_children=has_children
            )
            jobs.append(child)
            parents += [child] if has_children else []
        await self.keep_ids(jobs)

    async def keep_ids(self, jobs: list[NewJob]) -> None:
        self.ids += [(job.queue, job.id) for job in jobs]
        await self.same(lambda engine: engine.add(jobs))

    async def claim(self) -> None:
        queues, limit = self.draw.choice([["a"], ["b"], ["b", "a"]]), self.draw.choice([1, 3, 8])
        names = self.draw.choice([NAMES, NAMES, [*NAMES, "stranger"], ["one"]])
        found = await self.both(
            lambda engine: engine.claim(queues=queues, names=names, limit=limit, worker_id=WORKER, lease_s=30)
        )
        assert [plain(job) for job in found[1].jobs] == [plain(job) for job in found[0].jobs]
        assert found[1].next_due_at == found[0].next_due_at
        self.held += zip(*(claim.jobs for claim in found), strict=True)

    async def finish(self) -> None:
        if not self.held:
            return
        place = self.draw.randrange(len(self.held))
        held = self.held[place]
        if self.draw.random() < 0.9:
            del self.held[place]
        await self.clock.advance(0.125)  # of jobs that end at one instant, either may be the newer
        now = self.clock.time()
        outcome = self.draw.choice(
            [
                Completed(result=b'{"done":true}'),
                Completed(result=b"null"),
                Failed(error_type="OSError", error="no route", stack="trace", retry_at=None),
                Failed(error_type="KeyError", error="'x'", retry_at=now + self.draw.choice([0, 10])),
                Postponed(until=now + self.draw.choice([0, 7])),
            ]
        )
        fetch = Fetch(names=frozenset(NAMES), worker_id=WORKER, lease_s=30) if self.draw.random() < 0.4 else None
        done = [await engine.finish(job, outcome, fetch=fetch) for engine, job in zip(self.engines, held, strict=True)]
        assert done[1].is_recorded == done[0].is_recorded
        assert plain(done[1].next) == plain(done[0].next)
        if done[0].next is not None:
            self.held.append(tuple(each.next for each in done))

    async def release(self) -> None:
        if self.held:
            held = self.held.pop(self.draw.randrange(len(self.held)))
            for engine, job in zip(self.engines, held, strict=True):
                await engine.release([job])

    async def beat(self) -> None:
        beats = [
            await engine.beat(WORKER, [held[n] for held in self.held], lease_s=30)
            for n, engine in enumerate(self.engines)
        ]
        assert ids(beats[1].lost) == ids(beats[0].lost)
        assert ids(beats[1].cancelled) == ids(beats[0].cancelled)

    async def rescue(self) -> None:
        found = await self.both(lambda engine: engine.rescue(queues=QUEUES, max_crashes=3, again_after_s=5))
        assert sorted(found[1], key=msgspec.json.encode) == sorted(found[0], key=msgspec.json.encode)

    async def park(self) -> None:
        parked = await self.both(lambda engine: engine.park_unknown(queues=QUEUES, names=NAMES))
        assert sorted(parked[1]) == sorted(parked[0])

    async def one(self) -> None:
        if not self.ids:
            return
        queue, job_id = self.draw.choice(self.ids)
        way = self.draw.choice(["cancel", "retry", "promote", "remove"])
        job = await self.same(lambda engine: engine.get(job_id, queue=queue))
        if way == "cancel" and job is not None and job.state is JobState.ACTIVE:
            # An active job that was cancelled before: what the second call says is open.
            await self.both(lambda engine: engine.cancel(job_id, queue=queue))
            return
        done = await self.both(lambda engine: getattr(engine, way)(job_id, queue=queue))
        assert done[1] == done[0], way

    async def reprioritise(self) -> None:
        if self.ids:
            queue, job_id = self.draw.choice(self.ids)
            await self.same(lambda engine: engine.reprioritise(job_id, 2, queue=queue))

    async def note(self) -> None:
        if not self.held:
            return
        held = self.draw.choice(self.held)
        for n, engine in enumerate(self.engines):
            await engine.set_progress(held[n], b"50")
            await engine.add_log(held[n], "line", keep=2)

    async def configure(self) -> None:
        rate = self.draw.choice([None, None, RateLimit(max=3, per_s=20.0)])
        settings = QueueSettings(
            is_paused=self.draw.random() < 0.2, max_active=self.draw.choice([None, None, 4]), rate=rate
        )
        queue = self.draw.choice(QUEUES)
        await self.same(lambda engine: engine.configure(queue, settings))
        await self.same(lambda engine: engine.settings(queue))

    async def prune(self) -> None:
        await self.same(lambda engine: engine.prune(queues=QUEUES))

    async def clear(self) -> None:
        queue, way, now = self.draw.choice(QUEUES), self.draw.random(), self.clock.time()
        if way < 0.4:
            await self.same(lambda engine: engine.drain(queue, delayed=way < 0.2))
        elif way < 0.9:
            # Not those that wait: one that was delayed does so since it was due here, there since somebody looked.
            state = self.draw.choice([JobState.COMPLETED, JobState.FAILED, JobState.DELAYED, JobState.BLOCKED])
            gone = await self.both(lambda engine: engine.clean(queue, state, before=now - 5, limit=1000))
            assert sorted(gone[1]) == sorted(gone[0]), state
        else:
            await self.same(lambda engine: engine.obliterate(queue, force=True))

    async def ledger(self) -> None:
        jobs = [self.job(queue="a")] if self.draw.random() < 0.3 else []
        version, data = self.draw.choice([0, 1, 2]), self.draw.choice([b"{}", b"[1]", None])
        await self.same(lambda engine: engine.save_entry("a", "cron:x", data, version=version, jobs=jobs))
        await self.same(lambda engine: engine.entries("a", prefix="cron:"))

    async def wait(self) -> None:
        await self.clock.advance(self.draw.choice([0.5, 3, 11, 31]))

    async def compare(self) -> None:
        for queue in (*QUEUES, None):
            await self.same(lambda engine, queue=queue: engine.counts(queue=queue))
        for queue in QUEUES:
            first, second = await self.both(lambda engine, queue=queue: engine.statistics(queue))
            assert (second.oldest_waiting_at, second.minutes) == (first.oldest_waiting_at, first.minutes)
            assert sorted(second.recent, key=msgspec.json.encode) == sorted(first.recent, key=msgspec.json.encode)
        for queue, job_id in self.ids:
            await self.same(lambda engine, q=queue, i=job_id: engine.get(i, queue=q))
            await self.same(lambda engine, q=queue, i=job_id: engine.children(i, queue=q))
            await self.same(lambda engine, q=queue, i=job_id: engine.logs(i, queue=q))
        wanted = JobFilter(
            queue=self.draw.choice([None, *QUEUES]),
            state=self.draw.choice([*JobState]),
            tag=self.draw.choice([None, "y"]),
            error_type=self.draw.choice([None, None, "OSError"]),
            text=self.draw.choice([None, "N", "route"]),
        )
        listed = await self.both(lambda engine: engine.list_jobs(wanted, limit=1000))
        assert sorted(ids(listed[1].jobs)) == sorted(ids(listed[0].jobs))

    async def step(self) -> None:
        ways: dict[Callable[[], Awaitable[None]], int] = {
            self.add: 8, self.add_flow: 4, self.claim: 8, self.finish: 16, self.release: 2, self.beat: 2,
            self.rescue: 3, self.park: 1, self.one: 5, self.reprioritise: 1, self.note: 2, self.configure: 2,
            self.prune: 2, self.clear: 1, self.ledger: 1, self.wait: 6,
        }  # fmt: skip
        (way,) = self.draw.choices([*ways], [*ways.values()])
        await way()


def plain(job: ClaimedJob | None) -> ClaimedJob | None:
    return job and msgspec.structs.replace(job, token=0, lock="")


def ids(jobs: Any) -> list[str]:
    return [job.id for job in jobs]


@pytest.mark.parametrize("seed", range(25))
async def test_it_does_what_the_memory_engine_does(seed: int, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        engines: list[Engine] = [MemoryQueue(clock), SqliteQueue(tmp_path / "queue.db", clock=clock)]
        for engine in engines:
            await stack.enter_async_context(engine)
            await stack.enter_async_context(engine.attend(WORKER, queues=QUEUES))
        walk = Walk(seed, clock, engines)
        for n in range(STEPS):
            await walk.step()
            if n % 10 == 0:
                await walk.compare()
        await walk.compare()
