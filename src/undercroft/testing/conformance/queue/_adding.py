"""Adding: whole, on disk, each id once."""

from __future__ import annotations

import anyio
import pytest

from undercroft._core.carrier import Carried, pack, unpack
from undercroft._core.clock import VirtualClock, utc
from undercroft._core.context import Correlation, Trace
from undercroft.queue._backoff import Backoff
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Added, Counts, Deduplication, JobState
from undercroft.testing.conformance.queue._base import (
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    require,
    worker,
)

AWKWARD = {
    "plain": b'{"a":1}',
    "spaced": b'{ "a" : 1.0, "b":[ ]}',
    "unicode": '{"text":"grüße 𝄞 \u2028 e\u0301"}'.encode(),
    "escaped": b'{"text":"\\u0000 \\ud83d\\ude00"}',
    "nul": b'{"text":"\x00"}',
    "big numbers": b'{"id":9007199254740993,"x":1e400,"y":-0.0}',
    "long": b'{"text":"' + b"x" * 300_000 + b'"}',
}


class AddingPromises(Promises):
    """Adding."""

    async def test_ping_answers(self, engine: Engine) -> None:
        await engine.ping()

    async def test_time_is_the_clocks(self, engine: Engine, clock: VirtualClock) -> None:
        assert engine.time() == pytest.approx(clock.time(), abs=0.01)

    async def test_added_job_is_handed_out_whole(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        new = jobs(
            data=b'{"n":1}',
            request_id="r-1",
            carrier="00-aa-bb-01",
            timeout_s=2.5,
            priority=7,
            tags=("vip", "größe"),
            on_failure="tell-someone",
            backoff=Backoff.exponential(2, factor=3.0, limit="1h"),
        )
        async with worker(engine) as me:
            await engine.add([new])
            job = await claim_one(engine, me)

        assert (job.id, job.name, job.queue, job.data) == (new.id, new.name, new.queue, new.data)
        assert (job.request_id, job.carrier, job.timeout_s) == ("r-1", "00-aa-bb-01", 2.5)
        assert (job.attempts, job.backoff, job.attempt, job.priority) == (3, new.backoff, 1, 7)
        assert (job.tags, job.on_failure, job.doom) == (("vip", "größe"), "tell-someone", None)
        assert (job.failures, job.crashes, job.is_foreign) == (0, 0, False)
        assert job.created_at == pytest.approx(clock.time())
        assert job.due_at == pytest.approx(clock.time())

    async def test_job_without_backoff_and_timeout_has_none(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(backoff=None, timeout_s=None)])
            job = await claim_one(engine, me)

        assert (job.backoff, job.timeout_s, job.is_foreign) == (None, None, False)

    @pytest.mark.parametrize("data", AWKWARD.values(), ids=AWKWARD.keys())
    async def test_data_comes_back_byte_for_byte(self, engine: Engine, jobs: NewJobs, data: bytes) -> None:
        new = jobs(data=data)
        async with worker(engine) as me:
            await engine.add([new])

            assert (await require(engine, new.id)).data == data
            assert (await claim_one(engine, me)).data == data

    async def test_names_ids_and_texts_may_be_any_text(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs(id="größe/1-failed", name="bücher.senden 𝄞", tags=("a,b", "{c}", "'"), request_id="é\x00")
        async with worker(engine) as me:
            await engine.add([new])
            job = await claim_one(engine, me, new.name)

        assert (job.id, job.name, job.tags, job.request_id) == (new.id, new.name, new.tags, new.request_id)

    async def test_state_and_baggage_of_a_trace_stay_with_the_job(self, engine: Engine, jobs: NewJobs) -> None:
        trace = Trace(trace_id="a" * 32, span_id="b" * 16, state="vendor=1")
        carrier = pack(Correlation(trace=trace, baggage="user=1"))
        async with worker(engine) as me:
            await engine.add([jobs(carrier=carrier)])
            job = await claim_one(engine, me)

        assert unpack(job.carrier) == Carried(trace=trace, baggage="user=1")
        assert (await require(engine, job.id)).carrier == job.carrier

    async def test_added_job_is_shown_whole(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        key = Deduplication(key="k")
        new = jobs(priority=2, tags=("a",), request_id="r", carrier="t", deduplication=key)
        await engine.add([new])

        record = await require(engine, new.id)

        assert (record.id, record.name, record.queue, record.data) == (new.id, "job", "default", b"{}")
        assert (record.state, record.priority, record.failures, record.crashes) == (JobState.WAITING, 2, 0, 0)
        assert (record.attempts, record.worker_id, record.result, record.progress) == (3, None, None, None)
        assert (record.error_type, record.error, record.stack) == (None, None, None)
        assert (record.request_id, record.carrier, record.tags) == ("r", "t", ("a",))
        assert (record.parent_id, record.parent_queue, record.deduplication_key) == (None, None, "k")
        assert (record.created_at, record.due_at) == (utc(clock.time()), utc(clock.time()))
        assert (record.started_at, record.finished_at) == (None, None)

    async def test_unknown_id_is_none(self, engine: Engine) -> None:
        assert await engine.get("nothing") is None
        assert await engine.get("nothing", queue="default") is None

    async def test_job_is_found_in_its_queue_only(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs(queue="mail")
        await engine.add([new, jobs()])

        found = await engine.get(new.id, queue="mail")
        assert found is not None
        assert found.id == new.id
        assert await engine.get(new.id, queue="default") is None

    async def test_adding_says_what_became_of_each_job_in_order(self, engine: Engine, jobs: NewJobs) -> None:
        old, first, second = jobs(), jobs(), jobs(queue="mail")
        await engine.add([old])

        assert await engine.add([first, old, second]) == [
            Added(first.id, True),
            Added(old.id, False),
            Added(second.id, True),
        ]
        assert await engine.counts() == Counts(waiting=3)

    async def test_adding_nothing_adds_nothing(self, engine: Engine) -> None:
        assert await engine.add([]) == []
        assert await engine.counts() == Counts()

    async def test_job_that_is_added_again_stays_as_it_was(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs(data=b'"first"')
        await engine.add([new])

        await engine.add([jobs(id=new.id, data=b'"second"', priority=9)])

        record = await require(engine, new.id)
        assert (record.data, record.priority) == (b'"first"', 0)

    async def test_id_that_comes_twice_in_one_call_is_stored_once(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()

        assert await engine.add([new, new]) == [Added(new.id, True), Added(new.id, False)]
        assert await engine.counts() == Counts(waiting=1)

    async def test_finished_job_is_not_added_again(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            await complete(engine, await claim_one(engine, me), b"1")

            assert await engine.add([new]) == [Added(new.id, False)]
            assert await claim(engine, me) == ()

        assert (await require(engine, new.id)).result == b"1"

    async def test_of_many_adding_one_id_at_once_one_adds_it(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        added: list[Added] = []

        async def contend() -> None:
            added.extend(await engine.add([new]))

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(contend)

        assert [each.is_new for each in added].count(True) == 1
        assert {each.id for each in added} == {new.id}
        assert await engine.counts() == Counts(waiting=1)

    async def test_delayed_job_waits_until_it_is_due(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        new = jobs.later(60)
        async with worker(engine) as me:
            await engine.add([new])

            assert await claim(engine, me) == ()
            assert await engine.counts() == Counts(delayed=1)
            assert (await require(engine, new.id)).due_at == utc(clock.time() + 60)
            await pass_time(59.9)
            assert await claim(engine, me) == ()
            await pass_time(0.2)
            assert (await claim_one(engine, me)).id == new.id

    async def test_claim_tells_when_the_next_job_is_due(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs.later(60), jobs.later(20), jobs.later(10, queue="other")])

            found = await engine.claim(queues=["default"], names=["job"], limit=5, worker_id=me, lease_s=30)

        assert found.next_due_at == pytest.approx(clock.time() + 20, abs=0.01)

    async def test_job_that_was_due_before_it_was_added_waits(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs.later(-60)])

        assert await engine.counts() == Counts(waiting=1)
