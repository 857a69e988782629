from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypedDict, assert_type

import msgspec

from undercroft import Infra
from undercroft.queue import (
    Backoff,
    BatchHandle,
    Child,
    Counts,
    DeadLetterReason,
    Deduplication,
    Flow,
    FlowHandle,
    GroupHandle,
    Job,
    JobCall,
    JobEvent,
    JobHandle,
    JobPage,
    JobRecord,
    JobState,
    JobStep,
    Priority,
    Queue,
    QueueMetrics,
    QueueSettings,
    RetryLater,
    Worker,
    batch,
    chain,
    create_job,
    create_queue,
    create_queue_worker,
    current_job,
    define_job,
    enqueue,
    enqueue_many,
    group,
    job,
)


# defining
@job("email.welcome", retries=3, backoff="exponential", timeout="30s")
async def welcome(user_id: int, lang: str = "en", *, when: datetime | None = None) -> str:
    return f"{lang} {user_id}"


@job("report.totals")
def totals(numbers: list[int]) -> int:
    return sum(numbers)


@job("tidy")
async def tidy() -> None: ...


class Order(msgspec.Struct):
    number: int


@job("order.pay", schema=Order, attempts=5, delay=timedelta(minutes=1), timeout=None, priority=0, queue="slow")
async def pay(order: Order) -> bool:
    return order.number > 0


class Note(TypedDict):
    text: str


@job("note", schema=Note)
def take(note: Note) -> None: ...


assert_type(welcome.name, str)
jobs: list[Job[..., Any]] = [welcome, totals, tidy, pay, take]

shout = define_job(name="shout", handler=str.upper, options={"attempts": 2})


@job  # E: arg-type
async def unnamed() -> None: ...


@job("typo", retires=3)  # E: call-arg
async def typo() -> None: ...


@job("wrong", attempts="three")  # E: arg-type
async def wrong() -> None: ...


@job("soon", delay=[5])  # E: arg-type
async def soon() -> None: ...


@job("backoff", backoff=["1s"])  # E: arg-type
async def waits() -> None: ...


@job("backoff", backoff=Backoff.exponential(0.1))
async def waits_less() -> None: ...


job("not a function")(5)  # E: call-overload


welcome.name = "other"  # E: misc


# calling: the handler's own parameters, and what it returns
async def calling() -> None:
    assert_type(await welcome(1), str)
    assert_type(await welcome(1, "de", when=None), str)
    assert_type(await totals([1]), int)
    assert_type(await tidy(), None)
    assert_type(await pay(Order(number=1)), bool)
    await welcome("one")  # E: arg-type
    await welcome()  # E: call-arg
    await welcome(1, "de", None)  # E: call-arg
    await welcome(1, lnag="de")  # E: call-arg
    assert_type(await shout("hello"), str)
    await totals([1.5])  # E: list-item
    await tidy(1)  # E: call-arg
    await pay({"number": 1})  # E: arg-type
    await pay(1)  # E: arg-type


# enqueueing by the job
async def by_the_job() -> None:
    handle = await welcome.enqueue(1, lang="de")
    assert_type(handle, JobHandle[str])
    assert_type(await handle.result(), str)
    assert_type(await handle.result("5m"), str)
    assert_type(await handle.state(), JobState | None)
    assert_type(await handle.info(), JobRecord | None)
    assert_type(await (await totals.enqueue([1])).result(timeout=5), int)
    assert_type(await pay.enqueue(Order(number=1)), JobHandle[bool])
    assert_type(await tidy.enqueue(), JobHandle[None])
    await welcome.enqueue("one")  # E: arg-type
    await welcome.enqueue()  # E: call-arg
    await welcome.enqueue(1, delay="5m")  # E: call-arg
    await totals.enqueue(1)  # E: arg-type
    await take.enqueue({"txet": "x"})  # E: typeddict-item,typeddict-unknown-key
    await handle.result(timeout=[5])  # E: arg-type
    wrong_type: int = await handle.result()  # E: assignment


# with options
async def with_options() -> None:
    call = welcome.with_(delay="5m", priority=2)
    assert_type(await call.enqueue(1), JobHandle[str])
    assert_type(await totals.with_(run_at=datetime.now(), queue="slow").enqueue([1]), JobHandle[int])
    await call.enqueue("one")  # E: arg-type
    await welcome.with_(attempts=2).enqueue(user_id=1, lang=2)  # E: arg-type
    welcome.with_(dealy="5m")  # E: call-arg
    welcome.with_(attempts="2")  # E: arg-type
    welcome.with_(run_at="tomorrow")  # E: arg-type


# by a queue, and by the face
async def by_a_queue(infra: Infra, queue: Queue) -> None:
    assert_type(await infra.queue.enqueue(welcome, 1, lang="de"), JobHandle[str])
    assert_type(await queue.enqueue(totals, [1]), JobHandle[int])
    assert_type(await queue.enqueue(pay, Order(number=1)), JobHandle[bool])
    assert_type(await queue.enqueue(tidy), JobHandle[None])
    assert_type(await enqueue(welcome, user_id=1), JobHandle[str])
    assert_type(await enqueue(tidy), JobHandle[None])
    await infra.queue.enqueue(welcome, "one")  # E: call-overload
    await enqueue(welcome)  # E: call-overload
    await enqueue(tidy, 5)  # E: call-overload


# the data as one mapping, with options
async def as_a_mapping(queue: Queue) -> None:
    assert_type(await queue.enqueue(welcome, {"user_id": 1}, delay="5m"), JobHandle[str])
    assert_type(await enqueue(welcome, {"user_id": 1}, attempts=2), JobHandle[str])
    assert_type(await enqueue("email.welcome", {"user_id": 1}, delay="5m"), JobHandle[Any])
    assert_type(await enqueue("order.pay", Order(number=1), priority=1, queue="slow"), JobHandle[Any])
    assert_type(await queue.enqueue("tidy"), JobHandle[Any])
    await enqueue("email.welcome", {"user_id": 1}, dealy="5m")  # E: call-overload
    await enqueue("email.welcome", {"user_id": 1}, attempts="2")  # E: call-overload
    await queue.enqueue(5)  # E: call-overload


# looking and working
async def looking(queue: Queue) -> None:
    assert_type(await queue.counts(), Counts)
    assert_type(await queue.get_job("x"), JobRecord | None)
    assert_type(await queue.list_jobs(state="failed", limit=5), JobPage)
    assert_type((await queue.list_jobs(tag="vip", text="x", cursor=None)).jobs, tuple[JobRecord, ...])
    assert_type([record async for record in queue.iter_jobs(queue="slow")], list[JobRecord])
    assert_type(queue.worker(concurrency=2, grace="1s"), Worker)
    assert_type(await queue.worker([welcome]).drain(), int)
    assert_type(create_queue_worker(queues=["slow"]), Worker)
    assert_type(create_queue_worker([welcome], queues={"slow": 1, "fast": 5}, max_jobs=1000, max_rss="512MB"), Worker)
    assert_type(current_job().attempt, int)
    queue.worker(concurrency="2")  # E: arg-type
    queue.worker([5])  # E: list-item
    queue.worker(queues=5)  # E: arg-type
    await queue.list_jobs(sate="failed")  # E: call-arg
    await queue.list_jobs(limit="5")  # E: arg-type
    await queue.list_jobs(created_after=5)  # E: arg-type


# options: spelled right, of the right type, where they belong
async def options() -> None:
    await welcome.with_(
        lifo=True,
        deduplication=Deduplication.throttle("a", "5m"),
        keep_completed={"age": "1d", "count": 5},
        keep_failed="2w",
        tags=("a", "b"),
        on_failure=tidy,
        priority=Priority.LOW,
    ).enqueue(1)
    welcome.with_(dedupe_key="a", idempotency_ttl=timedelta(hours=1), on_failure="tidy", keep_completed=False)
    welcome.with_(tags=5)  # E: arg-type
    welcome.with_(lifo="yes")  # E: arg-type
    welcome.with_(on_failure=5)  # E: arg-type
    welcome.with_(keep_completed=[5])  # E: arg-type
    welcome.with_(deduplication=5)  # E: arg-type
    welcome.with_(run_in="process")  # E: call-arg


@job("heavy", run_in="process")
def heavy(number: int) -> int:
    return number


@job("heavier", run_in="fiber")  # E: arg-type
def heavier(number: int) -> int:
    return number


# steps, and what is made of them
async def steps(queue: Queue) -> None:
    assert_type(welcome.step(user_id=1), JobStep[str])
    assert_type(welcome.with_(delay="5m").step(1, lang="de"), JobStep[str])
    assert_type(await totals.step([1]).enqueue(), JobHandle[int])
    welcome.step(user_id="x")  # E: arg-type
    welcome.step()  # E: call-arg
    welcome.step(1, delay="5m")  # E: call-arg
    welcome.with_(priority=1).step(lang="de")  # E: call-arg
    pay.step({"number": 1})  # E: arg-type

    flow = Flow(totals.step([1]), [welcome.step(1), Flow(tidy.step(), [pay.step(Order(number=1))])])
    assert_type(flow, Flow[int])
    assert_type(await flow.enqueue(), FlowHandle[int])
    assert_type(await (await queue.enqueue_flow(flow)).result(), int)
    Flow(totals, [welcome.step(1)])  # E: arg-type
    Flow(totals.step([1]), [welcome])  # E: list-item
    Flow(totals.step([1]), [welcome.step(1)], on_child_failure="retry")  # E: arg-type

    assert_type(await chain(tidy.step(), welcome.step(1), totals.step([1])).enqueue(), FlowHandle[int])
    chain(tidy, totals.step([1]))  # E: call-overload

    done = batch([welcome.step(1), totals.step([1])], on_complete=pay.step(Order(number=1)))
    assert_type(await done.enqueue(), BatchHandle[bool])
    assert_type(await (await done.enqueue()).children(), list[Child])
    batch([welcome.step(1)])  # E: call-arg
    batch([welcome.step(1)], on_complete=tidy)  # E: arg-type

    assert_type(await (await group(totals.step([1]), totals.step([2])).enqueue()).results("5m"), list[int])
    assert_type(await group(totals.step([1]), welcome.step(1)).enqueue(), GroupHandle[Any])
    group(totals)  # E: call-overload


async def many(queue: Queue) -> None:
    assert_type(await queue.enqueue_many(welcome, [{"user_id": 1}], delay="5m"), list[JobHandle[str]])
    assert_type(await enqueue_many(totals, ({"numbers": [n]} for n in range(5))), list[JobHandle[int]])
    await queue.enqueue_many(welcome, [{"user_id": 1}], dealy="5m")  # E: call-arg
    await queue.enqueue_many(welcome, {"user_id": 1})  # E: dict-item


# handles, operations, dead letters
async def operating(queue: Queue, handle: JobHandle[int]) -> None:
    assert_type(await handle.cancel(), bool)
    assert_type(await handle.logs(), list[str])
    assert_type(await handle.children(), list[Child])
    assert_type(handle.is_new, bool)
    handle.id = "other"  # E: misc
    assert_type(await queue.retry_jobs(name="x", error_type="ValueError"), int)
    assert_type(await queue.cancel_jobs(tag="x"), int)
    await queue.cancel_jobs(tags="x")  # E: call-arg
    assert_type(await queue.limit("slow", max_active=None, rate=(100, "1m")), QueueSettings)
    await queue.limit("slow", max_active="4")  # E: arg-type
    await queue.limit("slow", rate=100)  # E: arg-type
    assert_type(await queue.clean("slow", "failed", older_than="1d"), list[str])
    assert_type(await queue.metrics("slow"), QueueMetrics)
    assert_type(await queue.dead_letters.reasons(), tuple[DeadLetterReason, ...])
    assert_type(await queue.dead_letters.retry(message="x"), int)
    async for event in queue.events(["slow"]):
        assert_type(event, JobEvent)
    assert_type(await create_job("slow", {"name": "tidy"}), JobHandle[Any])


# raised by handlers
async def raising() -> None:
    raise RetryLater("5m", "not there yet")


async def raising_wrongly() -> None:
    raise RetryLater()  # E: call-arg


create_queue("sqlite:///x.db", jobs=[welcome])
create_queue("sqlite:///x.db", [5])  # E: list-item
create_queue()  # E: call-arg
