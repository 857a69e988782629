"""Events: what happens to jobs, in the order in which it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from undercroft._core.clock import VirtualClock, utc
from undercroft.queue._protocol import Engine
from undercroft.queue._values import JobEvent, QueueSettings
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim_one,
    complete,
    fail,
    rescue,
    worker,
)

PROBE = "probe"


class Heard:
    """The events that a listener got so far."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self._is_listening = False
        self._news = anyio.Event()

    async def follow(self, events: AsyncIterator[JobEvent]) -> None:
        """Listen until cancelled."""
        async for event in events:
            if event.queue == PROBE:
                self._is_listening = True
            else:
                self.events.append(event)
            self._news.set()

    async def begin(self, engine: Engine, jobs: NewJobs) -> None:
        """Return when the listener hears: what happened before it did is not its business."""
        with anyio.fail_after(10):
            while not self._is_listening:
                await engine.add([jobs(queue=PROBE)])
                with anyio.move_on_after(0.1):
                    await self._wait()

    async def until(self, type: str, job_id: str | None) -> None:  # noqa: A002 - the event's own word
        """Return when such an event was heard."""
        with anyio.fail_after(10):
            while not any((event.type, event.job_id) == (type, job_id) for event in self.events):
                await self._wait()

    async def _wait(self) -> None:
        await self._news.wait()
        self._news = anyio.Event()

    def types(self, job_id: str, *, among: str) -> list[str]:
        """Return the types of a job's events, of the types given only: engines may tell more."""
        return [event.type for event in self.events if event.job_id == job_id and event.type in among.split()]

    def first(self, is_it: Callable[[JobEvent], bool]) -> JobEvent:
        """Return the first event of a kind."""
        return next(event for event in self.events if is_it(event))


@asynccontextmanager
async def listening(engine: Engine, jobs: NewJobs, *queues: str) -> AsyncIterator[Heard]:
    """Listen to queues inside the block."""
    heard = Heard()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heard.follow, engine.events([*(queues or ("default",)), PROBE]))
        await heard.begin(engine, jobs)
        yield heard
        tasks.cancel_scope.cancel()


class EventPromises(Promises):
    """Events."""

    async def test_life_of_a_job_is_told_in_order(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with listening(engine, jobs) as heard, worker(engine) as me:
            await engine.add([new])
            job = await claim_one(engine, me)
            await engine.set_progress(job, b'{"percent":50}')
            await complete(engine, job, b'{"sum":3}')
            await heard.until("completed", new.id)

            types = heard.types(new.id, among="added waiting active progress completed failed delayed removed")
            assert types == ["added", "waiting", "active", "progress", "completed"]
            assert {event.queue for event in heard.events} == {"default"}
            assert heard.first(lambda event: event.type == "progress").fields["data"] == {"percent": 50}
            assert heard.first(lambda event: event.type == "completed").fields["returnvalue"] == '{"sum":3}'

    async def test_what_happened_before_is_not_told(self, engine: Engine, jobs: NewJobs) -> None:
        before, new = jobs(), jobs()
        await engine.add([before])
        async with listening(engine, jobs) as heard:
            await engine.add([new])
            await heard.until("waiting", new.id)

            assert {event.job_id for event in heard.events} == {new.id}

    async def test_event_has_its_instant(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with listening(engine, jobs) as heard:
            await engine.add([new])
            await heard.until("waiting", new.id)

            assert heard.events[0].at.utcoffset() == utc(0).utcoffset()

    async def test_retry_is_told(self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime) -> None:
        new = jobs()
        async with listening(engine, jobs) as heard, worker(engine) as me:
            await engine.add([new])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time() + 5)
            await pass_time(6)
            await fail(engine, await claim_one(engine, me))
            await heard.until("failed", new.id)

            types = heard.types(new.id, among="active delayed failed completed")
            assert types == ["active", "delayed", "active", "failed"]
            assert heard.first(lambda event: event.type == "failed").fields["failedReason"] == "no route"

    async def test_delayed_job_is_told(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs.later(60)
        async with listening(engine, jobs) as heard:
            await engine.add([new])
            await heard.until("delayed", new.id)

            assert heard.types(new.id, among="added delayed waiting") == ["added", "delayed"]

    async def test_rescue_is_told(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        new = jobs()
        async with listening(engine, jobs) as heard, worker(engine) as me:
            await engine.add([new])
            await claim_one(engine, me)
            await pass_time(LEASE_S + 1)
            await rescue(engine)

            await heard.until("stalled", new.id)

    async def test_removal_is_told(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with listening(engine, jobs) as heard:
            await engine.add([new])
            await engine.remove(new.id)

            await heard.until("removed", new.id)

    async def test_pausing_and_resuming_are_told(self, engine: Engine, jobs: NewJobs) -> None:
        async with listening(engine, jobs) as heard:
            await engine.configure("default", QueueSettings(is_paused=True))
            await heard.until("paused", None)
            await engine.configure("default", QueueSettings())
            await heard.until("resumed", None)

    async def test_only_the_queues_asked_for_are_told(self, engine: Engine, jobs: NewJobs) -> None:
        here, there, last = jobs(), jobs(queue="mail"), jobs(queue="a")
        async with listening(engine, jobs, "default", "a") as heard:
            await engine.add([there])
            await engine.add([here])
            await engine.add([last])
            await heard.until("waiting", here.id)
            await heard.until("waiting", last.id)

            assert {event.queue for event in heard.events} == {"default", "a"}

    async def test_listening_goes_on_after_a_cursor(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs() for _ in range(4)]
        async with listening(engine, jobs) as heard:
            await engine.add(new)
            await heard.until("waiting", new[-1].id)
            before = [*heard.events]

        missed = jobs()
        await engine.add([missed])
        again: list[JobEvent] = []
        with anyio.fail_after(10):
            async for event in engine.events(["default"], after=before[2].cursor):
                again.append(event)
                if (event.type, event.job_id) == ("waiting", missed.id):
                    break

        assert again[: len(before) - 3] == before[3:]
        assert len({event.cursor for event in again}) == len(again)

    async def test_cursors_sort(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs() for _ in range(20)]
        async with listening(engine, jobs) as heard:
            for job in new:
                await engine.add([job])
            await heard.until("waiting", new[-1].id)

            cursors = [event.cursor for event in heard.events]
            assert cursors == sorted(set(cursors))

    async def test_every_listener_hears_everything(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with listening(engine, jobs) as one, listening(engine, jobs) as two:
            await engine.add([new])
            for heard in (one, two):
                await heard.until("waiting", new.id)
                assert heard.types(new.id, among="added waiting") == ["added", "waiting"]
