"""Flows, chains, batches, groups, and many jobs at once: stored whole or not at all, and run in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft.queue import (
    Flow,
    Job,
    JobArgumentsError,
    JobDefinitionError,
    JobFailedError,
    JobNotRegisteredError,
    JobState,
    Queue,
    ResultTimeoutError,
    batch,
    chain,
    create_queue,
    current_job,
    define_job,
    enqueue_many,
    group,
    job,
)

pytestmark = pytest.mark.anyio


@job("region.fetch")
async def fetch(region: str) -> str:
    return region.upper()


@job("report.make")
async def make(month: str = "May") -> list[Any]:
    return [child.result for child in await current_job().children()]


@job("region.broken", attempts=1)
async def broken(region: str = "x") -> None:
    raise ValueError(f"region {region!r} does not answer")


@job("count.up")
async def count_up() -> int:
    results = await current_job().children_results()
    return (results[0] if results else 0) + 1


@job("batch.done")
async def done(name: str) -> dict[str, list[str]]:
    children = await current_job().children()
    return {name: [str(child.error or child.result) for child in children]}


JOBS: list[Job[..., Any]] = [fetch, make, broken, count_up, done]
stranger = define_job(name="stranger", handler=fetch.handler)


class Bound:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def get_part(self, name: str) -> object:
        return getattr(self, name)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def queue(clock: VirtualClock) -> AsyncIterator[Queue]:
    async with create_queue("memory://", jobs=JOBS, clock=clock) as queue:
        with bind(Bound(queue)):
            yield queue


# Many of one job


async def test_many_are_stored_in_order_with_the_same_options(queue: Queue) -> None:
    handles = await queue.enqueue_many(fetch, [{"region": "n"}, {"region": "s"}], priority=7, tags=["nightly"])
    records = [await handle.info() for handle in handles]
    assert [(r.data, r.priority, r.tags) for r in records if r] == [
        (b'{"region":"n"}', 7, ("nightly",)),
        (b'{"region":"s"}', 7, ("nightly",)),
    ]


async def test_many_are_one_call_of_the_engine(queue: Queue) -> None:
    calls: list[int] = []
    add = queue._engine.add

    async def counted(jobs: Any) -> Any:
        calls.append(len(jobs))
        return await add(jobs)

    queue._engine.add = counted  # type: ignore[method-assign]
    await enqueue_many(fetch, ({"region": str(n)} for n in range(50)))
    assert calls == [50]


async def test_one_wrong_item_is_named_by_its_index_and_nothing_is_stored(queue: Queue) -> None:
    with pytest.raises(JobArgumentsError, match="item 2 of enqueue_many") as caught:
        await queue.enqueue_many(fetch, [{"region": "n"}, {"region": "s"}, {"regoin": "w"}])
    assert caught.value.near == ("region",)
    assert (await queue.counts()).waiting == 0


async def test_many_of_a_name_with_none_is_nothing(queue: Queue) -> None:
    assert await queue.enqueue_many("region.fetch", []) == []


async def test_many_with_one_key_are_refused_because_only_the_first_would_be_stored(queue: Queue) -> None:
    with pytest.raises(JobDefinitionError, match="store the first job only"):
        await queue.enqueue_many(fetch, [{"region": "n"}], idempotency_key="a")


# Steps


async def test_step_is_checked_when_it_is_made_and_stored_when_it_is_enqueued(queue: Queue) -> None:
    with pytest.raises(JobArgumentsError, match="missing"):
        fetch.step()  # type: ignore[call-arg]  # that is the point
    step = fetch.with_(delay="5m").step("north")
    assert (await queue.counts()).delayed == 0
    first, second = await step.enqueue(), await step.enqueue()
    assert first.id != second.id
    assert (await queue.counts()).delayed == 2


# Flows


async def test_parent_runs_after_its_children_and_has_their_results_in_order(queue: Queue) -> None:
    handle = await Flow(make.step(month="June"), [fetch.step("north"), fetch.step("south")]).enqueue()

    assert await handle.root.state() is JobState.BLOCKED
    assert await queue.worker().drain() == 3
    assert await handle.result() == ["NORTH", "SOUTH"]
    assert [child.state for child in await handle.root.children()] == [JobState.COMPLETED] * 2


async def test_flow_may_have_flows_below(queue: Queue) -> None:
    inner = Flow(make.with_(queue="other").step(), [fetch.step("a")])
    handle = await queue.enqueue_flow(Flow(make.step(), [inner, fetch.step("b")]))

    assert [child.name for child in handle.jobs()] == ["report.make", "report.make", "region.fetch", "region.fetch"]
    await queue.worker(queues=["default", "other"]).drain()
    assert await handle.result() == [["A"], "B"]


async def test_failed_child_fails_the_parent_without_running_it(queue: Queue) -> None:
    handle = await Flow(make.step(), [broken.step("north"), fetch.step("south")]).enqueue()
    await queue.worker().drain()

    with pytest.raises(JobFailedError, match="north") as caught:
        await handle.result()
    assert caught.value.error_type == "ChildFailed"


async def test_failed_child_that_is_ignored_is_among_the_children(queue: Queue) -> None:
    handle = await Flow(make.step(), [broken.step(), fetch.step("south")], on_child_failure="ignore").enqueue()
    await queue.worker().drain()

    assert await handle.result() == [None, "SOUTH"]
    failed, completed = await handle.root.children()
    assert failed.state is JobState.FAILED
    assert "does not answer" in str(failed.error)
    assert completed.result == "SOUTH"


async def test_flow_with_an_unknown_job_stores_nothing(queue: Queue) -> None:
    with pytest.raises(JobNotRegisteredError, match="stranger"):
        await Flow(make.step(), [fetch.step("a"), stranger.step("b")]).enqueue()
    assert await queue.counts() == await create_queue("memory://").counts()


async def test_deduplicated_job_in_a_flow_is_refused(queue: Queue) -> None:
    with pytest.raises(JobDefinitionError, match="deduplication key"):
        await Flow(make.step(), [fetch.with_(dedupe_key="a").step("a")]).enqueue()
    assert (await queue.counts()).waiting == 0


def test_flow_without_children_is_refused() -> None:
    with pytest.raises(JobDefinitionError, match="no children"):
        Flow(make.step(), [])


def test_what_is_no_step_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(JobDefinitionError, match=r"its_job\.step"):
        Flow(make.step(), [fetch])  # type: ignore[list-item]  # that is the point


def test_unknown_rule_for_failures_is_refused() -> None:
    with pytest.raises(JobDefinitionError, match='"fail" or "ignore"'):
        Flow(make.step(), [fetch.step("a")], on_child_failure="retry")  # type: ignore[arg-type]  # that is the point


# Chains


async def test_chain_runs_one_after_the_other_and_each_has_the_result_before(queue: Queue) -> None:
    handle = await chain(count_up.step(), count_up.step(), count_up.step()).enqueue()
    counts = await queue.counts()
    assert (counts.waiting, counts.blocked) == (1, 2)
    await queue.worker().drain()
    assert await handle.result() == 3


async def test_chain_of_a_hundred_is_run_and_a_longer_one_refused(queue: Queue) -> None:
    handle = await chain(*[count_up.step()] * 100).enqueue()
    await queue.worker().drain()
    assert await handle.result() == 100
    with pytest.raises(JobDefinitionError, match="100 levels"):
        chain(*[count_up.step()] * 101)


async def test_step_after_a_failed_one_does_not_run(queue: Queue) -> None:
    handle = await chain(broken.step(), count_up.step(), count_up.step()).enqueue()
    await queue.worker().drain()
    with pytest.raises(JobFailedError):
        await handle.result()
    assert (await queue.counts()).failed == 3


def test_chain_of_one_is_refused() -> None:
    with pytest.raises(JobDefinitionError, match="two steps or more"):
        chain(count_up.step())


# Batches


async def test_callback_runs_when_all_members_are_finished_also_the_failed(queue: Queue) -> None:
    handle = await batch([fetch.step("a"), broken.step("b"), fetch.step("c")], on_complete=done.step("night")).enqueue()

    progress = await handle.progress()
    assert (progress.total, progress.pending) == (3, 3)
    await queue.worker().drain()
    assert await handle.result() == {"night": ["A", "region 'b' does not answer", "C"]}
    progress = await handle.progress()
    assert (progress.completed, progress.failed, progress.pending) == (2, 1, 0)
    assert [member.name for member in handle.members] == ["region.fetch", "region.broken", "region.fetch"]


def test_batch_without_members_is_refused() -> None:
    with pytest.raises(JobDefinitionError, match="no members"):
        batch([], on_complete=done.step("x"))


# Groups


async def test_group_has_its_results_in_order(queue: Queue) -> None:
    handle = await group(*[fetch.step(region) for region in "abc"]).enqueue()
    await queue.worker().drain()
    assert await handle.results() == ["A", "B", "C"]


async def test_results_raise_the_first_failure_and_outcomes_hold_it(queue: Queue) -> None:
    handle = await queue.enqueue_group(group(fetch.step("a"), broken.step("b")))
    await queue.worker().drain()
    with pytest.raises(JobFailedError, match="'b' does not answer"):
        await handle.results()
    first, second = await handle.outcomes()
    assert first == "A"
    assert isinstance(second, JobFailedError)


async def test_group_is_waited_for_until_one_deadline(queue: Queue, clock: VirtualClock) -> None:
    handle = await group(fetch.step("a"), fetch.with_(delay="1h").step("b")).enqueue()
    await queue.worker().drain()

    async def wait() -> None:
        with pytest.raises(ResultTimeoutError, match="1 of 2 jobs"):
            await handle.results("10s")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await clock.advance("11s")


async def test_members_of_a_group_have_keys_of_their_own(queue: Queue) -> None:
    again = group(*[fetch.with_(dedupe_key=key).step(key) for key in "aab"])
    handle = await again.enqueue()
    assert [member.is_new for member in handle.members] == [True, False, True]
    assert handle.members[0].id == handle.members[1].id
