"""What is asked of queues and done to them: counts, lists, pages, limits, cleaning, events, metrics, and handles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from undercroft._core.clock import VirtualClock, utc
from undercroft.queue import (
    Job,
    JobCancelledError,
    JobDefinitionError,
    JobEvent,
    JobFailedError,
    JobState,
    Queue,
    QueueInUseError,
    QueueSettings,
    RateLimit,
    create_queue,
    current_job,
    job,
)
from undercroft.queue._metrics import Percentiles, summarise
from undercroft.queue._operations import change_each
from undercroft.queue._values import Counts, Minute, QueueStatistics, Span

pytestmark = pytest.mark.anyio


@job("shop.pack")
async def pack(order: int) -> int:
    await current_job().progress({"packed": order})
    await current_job().log(f"order {order}")
    return order


@job("shop.bill", attempts=1, queue="money")
async def bill(order: int) -> None:
    raise LookupError(f"order {order} is not there")


JOBS: list[Job[..., Any]] = [pack, bill]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def queue(clock: VirtualClock) -> AsyncIterator[Queue]:
    async with create_queue("memory://", jobs=JOBS, clock=clock) as queue:
        yield queue


# One job, by its handle


async def test_handle_tells_progress_log_and_result(queue: Queue) -> None:
    handle = await queue.enqueue(pack, 7)
    assert await handle.progress() is None
    assert await handle.logs() == []
    await queue.worker().drain()
    assert await handle.progress() == {"packed": 7}
    assert await handle.logs() == ["order 7"]
    assert await handle.result() == 7
    assert await handle.children() == []


async def test_cancelled_job_does_not_run_and_its_result_says_so(queue: Queue) -> None:
    handle = await queue.enqueue(pack, 7)
    assert await handle.cancel() is True
    assert await handle.cancel() is False
    await queue.worker().drain()
    with pytest.raises(JobCancelledError, match="was cancelled") as caught:
        await handle.result()
    assert isinstance(caught.value, JobFailedError)
    assert await handle.logs() == []


async def test_failed_job_is_retried_from_the_beginning(queue: Queue) -> None:
    handle = await queue.enqueue(bill, 7)
    assert await handle.retry() is False
    await queue.worker().drain()
    assert await handle.retry() is True
    record = await handle.info()
    assert record is not None
    assert (record.state, record.failures) == (JobState.WAITING, 0)


async def test_delayed_job_is_promoted_once(queue: Queue) -> None:
    handle = await queue.enqueue("shop.pack", {"order": 7}, delay="1h")
    assert await handle.promote() is True
    assert await handle.promote() is False
    assert await handle.state() is JobState.WAITING


async def test_priority_is_changed_and_checked(queue: Queue) -> None:
    handle = await queue.enqueue("shop.pack", {"order": 7}, priority=5)
    assert await handle.reprioritise(1) is True
    record = await handle.info()
    assert record is not None
    assert record.priority == 1
    with pytest.raises(JobDefinitionError, match="priority -1"):
        await handle.reprioritise(-1)


async def test_removed_job_has_no_state_and_no_result(queue: Queue) -> None:
    handle = await queue.enqueue(pack, 7)
    assert await handle.remove() is True
    assert await handle.remove() is False
    assert await handle.state() is None
    with pytest.raises(JobFailedError, match="not in the queue") as caught:
        await handle.result()
    assert caught.value.error_type == "Removed"


async def test_handle_of_a_duplicate_is_that_of_the_first(queue: Queue) -> None:
    first = await queue.enqueue("shop.pack", {"order": 7}, idempotency_key="order-7")
    second = await queue.enqueue("shop.pack", {"order": 7}, idempotency_key="order-7")
    assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
    assert (await queue.counts()).waiting == 1


async def test_tenant_is_known_to_the_run_and_a_filter_of_lists(queue: Queue) -> None:
    for tenant in ("acme", "globex"):
        await queue.enqueue("shop.pack", {"order": 7}, tenant=tenant, tags=["nightly"])

    (record,) = await queue.list_jobs(tenant="acme")
    assert (record.tenant, record.tags) == ("acme", ("nightly", "tenant:acme"))
    assert len((await queue.list_jobs(tag="nightly")).jobs) == 2
    with pytest.raises(JobDefinitionError, match="both 'tag' and 'tenant'"):
        await queue.list_jobs(tag="nightly", tenant="acme")


async def test_idempotency_key_of_one_job_does_not_swallow_another(queue: Queue) -> None:
    for name in ("shop.pack", "shop.bill"):
        assert (await queue.enqueue(name, {"order": 7}, queue="default", idempotency_key="order-7")).is_new


async def test_idempotency_key_is_remembered_after_the_end_and_for_its_ttl_only(
    queue: Queue, clock: VirtualClock
) -> None:
    async def again() -> bool:
        return (await queue.enqueue("shop.pack", {"order": 7}, idempotency_key="k", idempotency_ttl="1h")).is_new

    assert await again() is True
    await queue.worker().drain()
    assert await again() is False
    await clock.advance("61m")
    assert await again() is True


async def test_dedupe_key_is_free_once_its_job_is_finished(queue: Queue) -> None:
    async def again() -> bool:
        return (await queue.enqueue("shop.pack", {"order": 7}, dedupe_key="k")).is_new

    assert [await again(), await again()] == [True, False]
    await queue.worker().drain()
    assert await again() is True


async def test_jobs_are_changed_by_id(queue: Queue) -> None:
    handle = await queue.enqueue("shop.pack", {"order": 7}, delay="1h")
    assert await queue.promote_job(handle.id) is True
    assert await queue.cancel_job(handle.id, queue="default") is True
    assert await queue.job_logs(handle.id) == []
    assert await queue.remove_job("nobody") is False
    assert await queue.retry_job(handle.id, queue="money") is False


# Lists


async def test_jobs_are_listed_in_pages_newest_first(queue: Queue, clock: VirtualClock) -> None:
    handles = []
    for order in range(3):
        handles.append(await queue.enqueue(pack, order))
        await clock.advance(1)

    first = await queue.list_jobs(limit=2, state="waiting")
    rest = await queue.list_jobs(limit=2, state="waiting", cursor=first.cursor)
    assert [record.id for record in (*first, *rest)] == [handle.id for handle in reversed(handles)]
    assert rest.cursor is None


async def test_every_condition_must_hold(queue: Queue, clock: VirtualClock) -> None:
    wanted = await queue.enqueue("shop.pack", {"order": 41}, tags=["vip"])
    await queue.enqueue("shop.pack", {"order": 41})
    await queue.enqueue("shop.pack", {"order": 42}, tags=["vip"])
    now = utc(clock.time())

    async def ids(**conditions: Any) -> list[str]:
        return [record.id async for record in queue.iter_jobs(**conditions)]

    assert await ids(tag="vip", text='"order":41') == [wanted.id]
    assert len(await ids(name="shop.pack", created_after=now - timedelta(1), created_before=now + timedelta(1))) == 3
    assert await ids(name="shop.pack", created_after=now + timedelta(seconds=1)) == []
    assert await ids(queue="money") == []


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"state": "wating"}, "near: waiting"),
        ({"nmae": "x"}, "near: name"),
        ({"queue": "two words"}, "queue name"),
        ({"created_after": datetime(2026, 1, 1)}, "time zone"),
        ({"limit": 0}, "from 1 to 1000"),
        ({"limit": 1001}, "from 1 to 1000"),
    ],
)
async def test_wrong_condition_is_refused(queue: Queue, conditions: Any, says: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        await queue.list_jobs(**conditions)
    assert says in str(caught.value)


# Many


async def test_all_that_match_are_retried_and_each_once(queue: Queue) -> None:
    await queue.enqueue_many(bill, [{"order": order} for order in range(700)])  # more than one page
    await queue.worker().drain()
    assert await queue.retry_jobs(name="shop.bill") == 700
    assert await queue.retry_jobs(name="shop.bill") == 0
    assert (await queue.counts()).waiting == 700


async def test_changes_side_by_side_are_all_counted() -> None:
    async def change(job_id: str, *, queue: str) -> bool:
        await anyio.lowlevel.checkpoint()
        return job_id != "7"

    assert await change_each([(str(number), "q") for number in range(1000)], change) == 999


async def test_all_that_match_are_cancelled_whatever_they_wait_for(queue: Queue) -> None:
    await queue.enqueue("shop.pack", {"order": 1}, tags=["x"])
    await queue.enqueue("shop.pack", {"order": 2}, tags=["x"], delay="1h")
    await queue.enqueue("shop.pack", {"order": 3})
    assert await queue.cancel_jobs(tag="x") == 2
    await queue.worker().drain()
    counts = await queue.counts()
    assert (counts.failed, counts.completed) == (2, 1)


async def test_all_that_match_are_removed(queue: Queue) -> None:
    await queue.enqueue_many(pack, [{"order": order} for order in range(5)])
    assert await queue.remove_jobs(name="shop.pack", state="waiting") == 5
    assert (await queue.counts()).waiting == 0


@pytest.mark.parametrize("method", ["cancel_jobs", "remove_jobs"])
async def test_everything_must_be_asked_for(queue: Queue, method: str) -> None:
    with pytest.raises(JobDefinitionError, match="without a condition"):
        await getattr(queue, method)()


# Queues


async def test_paused_queue_hands_out_nothing_and_takes_more(queue: Queue) -> None:
    await queue.pause("default")
    await queue.enqueue(pack, 1)
    assert await queue.worker().drain() == 0
    assert (await queue.settings("default")).is_paused is True
    await queue.resume("default")
    assert await queue.worker().drain() == 1


async def test_limits_change_one_by_one_and_go_with_none(queue: Queue) -> None:
    assert await queue.limit("default", max_active=4) == QueueSettings(max_active=4)
    assert await queue.limit("default", rate=(100, "1m")) == QueueSettings(
        max_active=4, rate=RateLimit(max=100, per_s=60)
    )
    await queue.pause("default")
    assert await queue.limit("default", max_active=None) == QueueSettings(
        is_paused=True, rate=RateLimit(max=100, per_s=60)
    )
    assert await queue.limit("default", rate=None) == QueueSettings(is_paused=True)
    assert await queue.settings("default") == QueueSettings(is_paused=True)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_active": 0}, "max_active 0"),
        ({"rate": (0, "1m")}, "rate 0"),
        ({"rate": (5, 0)}, "its duration is 0"),
        ({"rate": 5}, "is not (count, duration)"),
    ],
)
async def test_wrong_limit_is_refused(queue: Queue, limits: Any, says: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        await queue.limit("default", **limits)
    assert says in str(caught.value)


async def test_drain_takes_what_waits_and_on_request_what_is_due_later(queue: Queue) -> None:
    await queue.enqueue(pack, 1)
    await queue.enqueue("shop.pack", {"order": 2}, delay="1h")
    assert await queue.drain("default") == 1
    assert await queue.drain("default", delayed=True) == 1
    assert (await queue.counts()).delayed == 0


async def test_clean_takes_the_old_ones_of_one_state(queue: Queue, clock: VirtualClock) -> None:
    old = await queue.enqueue(bill, 1)
    await queue.worker().drain()
    await clock.advance("2h")
    await queue.enqueue(bill, 2)
    await queue.worker().drain()
    assert await queue.clean("money", "failed", older_than="1h") == [old.id]
    assert (await queue.counts(queue="money")).failed == 1


async def test_active_jobs_are_not_cleaned(queue: Queue) -> None:
    with pytest.raises(JobDefinitionError, match="active"):
        await queue.clean("default", "active")


async def test_queue_with_active_jobs_is_obliterated_by_force_only(queue: Queue) -> None:
    started, go_on = anyio.Event(), anyio.Event()

    @job("slow")
    async def slow() -> None:
        started.set()
        await go_on.wait()

    async with create_queue("memory://", jobs=[slow, pack]) as queue:
        await queue.enqueue(slow)
        with anyio.fail_after(10):
            async with queue.worker():
                await started.wait()
                with pytest.raises(QueueInUseError) as caught:
                    await queue.obliterate("default")
                assert caught.value.code == "UC1214"
                assert (await queue.counts()).active == 1
                go_on.set()
        await queue.obliterate("default", force=True)
        assert await queue.queues() == []


async def test_queues_are_those_that_hold_something(queue: Queue) -> None:
    await queue.enqueue(pack, 1)
    await queue.enqueue(bill, 1)
    assert await queue.queues() == ["default", "money"]
    assert (await queue.counts(queue="money")).waiting == 1


# Events


async def test_events_tell_the_life_of_a_job_and_go_on_after_a_cursor(queue: Queue) -> None:
    await queue.enqueue(bill, 0)
    seen: list[JobEvent] = []

    async def listen(after: str | None, until: str) -> None:
        async for event in queue.events(["money"], after=after):
            seen.append(event)
            if event.type == until:
                return

    with anyio.fail_after(10):
        await listen("0", "waiting")
        cursor = seen[-1].cursor
        await queue.worker().drain()
        seen.clear()
        await listen(cursor, "failed")
    assert [event.type for event in seen] == ["active", "failed"]
    assert "is not there" in seen[-1].fields["failedReason"]


# Metrics


async def test_metrics_tell_waits_runs_and_failures(queue: Queue, clock: VirtualClock) -> None:
    await queue.enqueue(bill, 1)
    await clock.advance("4s")
    await queue.worker().drain()
    await queue.enqueue(bill, 2)
    await clock.advance("90s")

    metrics = await queue.metrics("money")
    assert metrics.wait_s == Percentiles(p50=4, p95=4, p99=4, max=4)
    assert metrics.failure_rate == 1.0
    assert metrics.oldest_waiting_s == 90
    assert metrics.throughput_per_minute == pytest.approx(0.2)
    assert (metrics.counts.waiting, metrics.counts.failed) == (1, 1)


async def test_metrics_of_a_queue_without_jobs_are_none_and_zero(queue: Queue) -> None:
    metrics = await queue.metrics("default")
    assert (metrics.wait_s, metrics.run_s, metrics.failure_rate, metrics.oldest_waiting_s) == (None, None, None, None)
    assert metrics.throughput_per_minute == 0


def test_percentiles_are_by_nearest_rank() -> None:
    assert Percentiles.of(range(1, 101)) == Percentiles(p50=50, p95=95, p99=99, max=100)
    assert Percentiles.of([3.0]) == Percentiles(p50=3, p95=3, p99=3, max=3)
    assert Percentiles.of([]) is None


def test_the_minute_that_is_not_over_and_old_ones_are_not_in_the_throughput() -> None:
    now = 600.0 * 1000 + 30
    minutes = tuple(Minute(at=600_000.0 - 60 * n, completed=10, failed=0) for n in range(8))
    statistics = QueueStatistics(oldest_waiting_at=None, minutes=minutes, recent=())
    assert summarise("q", Counts(), statistics, now=now).throughput_per_minute == 10


def test_clocks_that_differ_make_no_negative_waits() -> None:
    span = Span(due_at=10.0, started_at=9.5, finished_at=9.4, is_failed=False)
    statistics = QueueStatistics(oldest_waiting_at=50.0, minutes=(), recent=(span,))
    metrics = summarise("q", Counts(), statistics, now=49.0)
    assert metrics.wait_s == metrics.run_s == Percentiles(p50=0, p95=0, p99=0, max=0)
    assert metrics.oldest_waiting_s == 0


def test_datetime_conditions_are_instants() -> None:
    from undercroft.queue._conditions import job_filter

    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert job_filter({"created_after": at}).created_after == at.timestamp()
