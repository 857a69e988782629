"""The forms of other kits: one mapping in BullMQ's shape, in which bare numbers are milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft.connections.redis._settings import SCHEMES as REDIS_SCHEMES
from undercroft.queue import (
    SCHEMES,
    Backoff,
    Deduplication,
    JobArgumentsError,
    JobDefinitionError,
    JobNotRegisteredError,
    Keep,
    Queue,
    create_job,
    create_queue,
    cron,
    job,
    schedule_job,
)
from undercroft.queue._adapters import job_options
from undercroft.queue._options import ResolvedOptions

pytestmark = pytest.mark.anyio


@job("email.welcome")
async def welcome(user_id: int) -> None: ...


@job("report.daily")
async def daily(kind: str = "short") -> None: ...


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
    async with create_queue("memory://", jobs=[welcome, daily], clock=clock) as queue:
        with bind(Bound(queue)):
            yield queue


def resolved(**options: Any) -> ResolvedOptions:
    return ResolvedOptions().with_(job_options(options))


async def test_job_as_a_mapping_goes_into_the_queue_it_names(queue: Queue, clock: VirtualClock) -> None:
    handle = await create_job(
        "emails", {"name": "email.welcome", "data": {"user_id": 7}, "options": {"attempts": 5, "delay": 1500}}
    )
    record = await queue.get_job(handle.id)
    assert record is not None
    assert (record.queue, record.attempts, record.data) == ("emails", 5, b'{"user_id":7}')
    assert record.due_at.timestamp() == clock.time() + 1.5


async def test_job_without_data_and_options(queue: Queue) -> None:
    handle = await create_job("reports", {"name": "report.daily"})
    record = await handle.info()
    assert record is not None
    assert record.data == b'{"kind":"short"}'


@pytest.mark.parametrize(
    ("option", "value", "field", "means"),
    [
        ("backoff", {"type": "exponential", "delay": 2000}, "backoff", Backoff.exponential(2)),
        ("backoff", {"type": "fixed", "delay": "2s"}, "backoff", Backoff.fixed(2)),
        ("backoff", 500, "backoff", Backoff.fixed(0.5)),
        ("delay", "5m", "delay_s", 300),
        ("timeout", 30000, "timeout_s", 30),
        ("deduplication", {"id": "a", "ttl": 5000}, "deduplication", Deduplication.throttle("a", 5)),
        ("removeOnComplete", True, "keep_completed", Keep(count=0)),
        ("removeOnComplete", False, "keep_completed", Keep()),
        ("removeOnFail", 100, "keep_failed", Keep(count=100)),
        ("removeOnFail", {"age": 3600, "count": 5}, "keep_failed", Keep(age_s=3600, count=5)),
        ("priority", 3, "priority", 3),
        ("lifo", True, "lifo", True),
        ("idempotencyKey", "a", "deduplication", Deduplication(key="idempotency:a", ttl_s=86400)),
    ],
)
def test_bullmq_s_options_mean_what_they_mean_there(option: str, value: Any, field: str, means: object) -> None:
    assert getattr(resolved(**{option: value}), field) == means


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"data": {}}, 'there is no "name"'),
        ({"name": "email.welcome", "opts": {}}, "near: options"),
        ({"name": "email.welcome", "options": {"atempts": 3}}, "near: attempts"),
        ({"name": "email.welcome", "options": {"queue": "x"}}, "unknown key 'queue'"),
        ({"name": "email.welcome", "options": {"removeOnFail": True, "keep_failed": 5}}, "say the same"),
        ({"name": "email.welcome", "options": 5}, "is not a mapping"),
    ],
)
async def test_wrong_mapping_is_refused_and_nothing_is_stored(queue: Queue, spec: Any, says: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        await create_job("emails", spec)
    assert says in str(caught.value)
    assert await queue.queues() == []


async def test_data_is_checked_as_ever(queue: Queue) -> None:
    with pytest.raises(JobArgumentsError):
        await create_job("emails", {"name": "email.welcome", "data": {"user_id": "7"}})
    with pytest.raises(JobNotRegisteredError):
        await create_job("emails", {"name": "email.wlecome", "data": {"user_id": 7}})


async def test_schedule_as_a_mapping_is_stored(queue: Queue) -> None:
    info = await schedule_job("reports", {"name": "report.daily", "cron": "0 2 * * *", "data": {"kind": "long"}})
    assert (info.name, info.queue, info.is_stored) == ("report.daily", "reports", True)
    assert [cron.name for cron in await queue.crons.list()] == ["report.daily"]


async def test_interval_of_a_schedule_is_milliseconds(queue: Queue) -> None:
    info = await schedule_job("reports", {"name": "often", "job": "report.daily", "every": 300_000})
    assert info.expression == "every 5m"


async def test_schedule_of_an_unknown_job_is_refused(queue: Queue) -> None:
    with pytest.raises(JobNotRegisteredError):
        await schedule_job("reports", {"name": "report.dayly", "cron": "0 2 * * *"})
    with pytest.raises(JobDefinitionError, match="name"):
        await schedule_job("reports", {"cron": "0 2 * * *"})


def test_redis_schemes_are_those_of_the_connection() -> None:
    assert set(SCHEMES.names) == {"memory", "sqlite", *REDIS_SCHEMES}


# The facade joins the parts: crons and on_failure jobs are run by its workers


async def test_worker_of_a_queue_fires_its_crons(clock: VirtualClock) -> None:
    fired = anyio.Event()

    @cron("tick", every="1m")
    async def tick() -> None:
        fired.set()

    async with create_queue("memory://", crons=[tick], clock=clock) as queue:
        assert list(queue.jobs) == ["tick"]
        with anyio.fail_after(10):
            async with queue.worker():
                await clock.advance("2m")
                await fired.wait()


async def test_job_on_failure_gets_what_failed(clock: VirtualClock) -> None:
    told: list[Any] = []

    @job("alert")
    async def alert(
        job_id: str, name: str, queue: str, error_type: str, error: str, attempts: int, data: dict[str, Any]
    ) -> None:
        told.append((job_id, name, queue, error_type, error, attempts, data))

    @job("broken", attempts=1, on_failure=alert)
    async def broken(number: int) -> None:
        raise LookupError("gone")

    async with create_queue("memory://", jobs=[alert, broken], clock=clock) as queue:
        handle = await queue.enqueue(broken, 7)
        await queue.worker().drain()
    assert told == [(handle.id, "broken", "default", "LookupError", "gone", 1, {"number": 7})]


def test_cron_and_job_of_one_name_are_refused() -> None:
    @cron("report.daily", every="1m")
    async def other() -> None: ...

    with pytest.raises(JobDefinitionError, match=r"two jobs are called 'report\.daily'"):
        create_queue("memory://", jobs=[daily], crons=[other])
