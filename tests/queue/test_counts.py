"""What a queue counts of its own work."""

from __future__ import annotations

from typing import Any

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import get_counter, get_gauge, get_histogram
from undercroft.queue import Discard, Job, Queue, RetryLater, define_cron, define_job
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio

RUNS = "undercroft_job_runs_total"


def job_of(name: str, handler: Any, **options: Any) -> Job[..., Any]:
    # Metrics are the process's: each test counts a job of its own.
    return define_job(name=name, handler=handler, options=options)  # type: ignore[arg-type]


def runs(job: Job[..., Any], outcome: str) -> float:
    return get_counter(RUNS, {"queue": "default", "job": job.name, "outcome": outcome})


async def nothing() -> None: ...


async def drained(job: Job[..., Any], count: int = 1) -> None:
    async with Queue(MemoryQueue(), [job]) as queue:
        await queue.enqueue_many(job, [{}] * count)
        await queue.worker().drain()


async def test_jobs_and_their_runs_are_counted() -> None:
    job = job_of("counts.fine", nothing)
    await drained(job, 3)
    assert get_counter("undercroft_jobs_enqueued_total", {"queue": "default", "job": job.name}) == 3
    assert runs(job, "completed") == 3
    assert get_histogram("undercroft_job_run_seconds", {"queue": "default", "job": job.name}).count == 3


@pytest.mark.parametrize(
    ("error", "attempts", "outcome"),
    [
        (KeyError(), 1, "failed"),
        (KeyError(), 2, "retried"),
        (RetryLater("1h"), 1, "postponed"),
        (Discard("no"), 1, "completed"),
    ],
)
async def test_runs_are_counted_by_how_they_ended(error: Exception, attempts: int, outcome: str) -> None:
    async def work() -> None:
        raise error

    job = job_of(f"counts.{outcome}.{type(error).__name__}", work, attempts=attempts)
    await drained(job)
    assert runs(job, outcome) == 1
    assert sum(runs(job, each) for each in ("completed", "failed", "retried", "postponed", "given_back")) == 1


async def test_wait_is_from_when_the_job_could_run() -> None:
    job, clock = job_of("counts.waits", nothing), VirtualClock()
    async with Queue(MemoryQueue(clock), [job], clock=clock) as queue:
        await queue.enqueue(job.name, {}, delay="1h")
        await clock.advance("1h")
        await clock.advance("20s")
        await queue.worker().drain()
    waits = get_histogram("undercroft_job_wait_seconds", {"queue": "default", "job": job.name})
    assert (waits.count, waits.sum) == (1, pytest.approx(20, abs=0.1))


async def test_workers_tell_how_deep_their_queues_are() -> None:
    job, clock = job_of("counts.deep", nothing, queue="deep"), VirtualClock()
    async with Queue(MemoryQueue(clock), [job], clock=clock) as queue:
        await queue.enqueue(job)
        await queue.enqueue("counts.deep", {}, delay="1h")
        await clock.advance("30s")
        worker = queue.worker(queues=["deep"])
        await worker._depth.look()
    assert get_gauge("undercroft_queue_jobs", {"queue": "deep", "state": "waiting"}) == 1
    assert get_gauge("undercroft_queue_jobs", {"queue": "deep", "state": "delayed"}) == 1
    assert get_gauge("undercroft_queue_oldest_waiting_seconds", {"queue": "deep"}) == pytest.approx(30, abs=0.1)


async def test_slots_of_crons_are_counted() -> None:
    clock = VirtualClock()
    cron = define_cron("counts-cron", every="1m", handler=nothing)
    async with Queue(MemoryQueue(clock), crons=[cron], clock=clock) as queue, queue.worker():
        for _ in range(3):
            await clock.advance("1m")
    assert get_counter("undercroft_cron_fired_total", {"cron": "counts-cron"}) == 3
