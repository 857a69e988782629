"""Definitions, options and what enqueue accepts and refuses."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import anyio
import msgspec
import pytest
from pydantic import BaseModel

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.errors import NotBoundError
from undercroft.queue import (
    Backoff,
    Job,
    JobArgumentsError,
    JobDefinitionError,
    JobNotRegisteredError,
    JobState,
    Queue,
    create_queue,
    define_job,
    enqueue,
    job,
)

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Order:
    number: int
    note: str = "none"


class OrderStruct(msgspec.Struct):
    number: int
    note: str = "none"


class OrderModel(BaseModel):
    number: int
    note: str = "none"


class OrderDict(TypedDict):
    number: int
    note: str


@job("shop.greet")
async def greet(user_id: int, lang: str = "en", *, when: datetime | None = None) -> str:
    return f"{lang} {user_id}"


@job("shop.plain")
def plain(number: int) -> int:
    return number * 2


@job("shop.nothing")
async def nothing() -> None: ...


@job("shop.order", schema=Order)
async def order(data: Order) -> int:
    return data.number


JOBS: list[Job[..., Any]] = [greet, plain, nothing, order]


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


async def stored(queue: Queue, job_id: str) -> object:
    record = await queue.get_job(job_id)
    assert record is not None
    return msgspec.json.decode(record.data)


# Calling


async def test_calling_a_job_runs_its_handler() -> None:
    assert await greet(7, lang="de") == "de 7"


async def test_calling_a_plain_function_job_runs_it() -> None:
    assert await plain(21) == 42


def test_defining_a_job_registers_nowhere() -> None:
    first = define_job(name="same", handler=greet.handler)
    second = define_job(name="same", handler=greet.handler)
    assert first is not second


# The forms of enqueue


async def test_own_arguments_are_stored_by_name_with_their_defaults(queue: Queue) -> None:
    handle = await greet.enqueue(7)
    assert await stored(queue, handle.id) == {"user_id": 7, "lang": "en", "when": None}


async def test_queue_takes_the_jobs_own_arguments(queue: Queue) -> None:
    handle = await queue.enqueue(greet, user_id=7, lang="de")
    assert await stored(queue, handle.id) == {"user_id": 7, "lang": "de", "when": None}


async def test_face_takes_a_job_and_its_data(queue: Queue) -> None:
    handle = await enqueue(greet, {"user_id": 7}, attempts=9)
    record = await queue.get_job(handle.id)
    assert record is not None
    assert record.attempts == 9


async def test_face_takes_a_name_and_data_and_options(queue: Queue, clock: VirtualClock) -> None:
    handle = await enqueue("shop.greet", {"user_id": 7}, delay="5m", priority=3, queue="mail")
    record = await queue.get_job(handle.id)
    assert record is not None
    assert (record.state, record.priority, record.queue) == (JobState.DELAYED, 3, "mail")
    assert record.due_at.timestamp() == clock.time() + 300


async def test_name_without_data_is_a_job_without_arguments(queue: Queue) -> None:
    handle = await enqueue("shop.nothing")
    assert await stored(queue, handle.id) == {}


async def test_options_of_one_enqueue_do_not_change_the_job(queue: Queue) -> None:
    await greet.with_(delay="1h").enqueue(1)
    assert await (await greet.enqueue(2)).state() is JobState.WAITING


async def test_run_at_is_an_instant(queue: Queue, clock: VirtualClock) -> None:
    at = datetime.fromtimestamp(clock.time(), tz=UTC) + timedelta(days=1)
    handle = await greet.with_(run_at=at).enqueue(1)
    record = await handle.info()
    assert record is not None
    assert record.due_at == at


@pytest.mark.parametrize("schema", [Order, OrderStruct, OrderModel])
async def test_schema_takes_mapping_or_instance_and_stores_what_was_parsed(schema: type[Any]) -> None:
    async def handler(data: Any) -> int:
        assert isinstance(data, schema)
        return int(data.number)

    definition = define_job(name="o", handler=handler, schema=schema)
    async with create_queue("memory://", jobs=[definition]) as queue:
        by_mapping = await queue.enqueue(definition, {"number": 7})
        by_instance = await queue.enqueue(definition, schema(number=7))
        assert await stored(queue, by_mapping.id) == {"number": 7, "note": "none"}
        assert await stored(queue, by_instance.id) == {"number": 7, "note": "none"}
        await queue.worker().drain()
        assert await by_mapping.result() == 7


async def test_typed_dict_is_a_schema() -> None:
    async def handler(data: OrderDict) -> int:
        return data["number"]

    definition = define_job(name="o", handler=handler, schema=OrderDict, options={"retries": 1})
    async with create_queue("memory://", jobs=[definition]) as queue:
        handle = await queue.enqueue(definition, {"number": 7, "note": "x"})
        await queue.worker().drain()
        assert await handle.result() == 7


async def test_request_and_trace_are_stored_with_the_job(queue: Queue) -> None:
    names = Correlation(request_id="req-1", trace=Trace.new())
    with correlate(names):
        handle = await greet.enqueue(1)
    record = await handle.info()
    assert record is not None
    assert (record.request_id, record.carrier) == ("req-1", str(names.trace))


# What is refused, before anything is stored


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"user_id": "7"}, "Expected `int`, got `str` - at `$.user_id`"),
        ({}, "missing required field `user_id`"),
        ({"user_id": 1, "lan": "de"}, "near: lang"),
        ({"user_id": True}, "Expected `int`, got `bool`"),
        ({"user_id": 1, "when": "yesterday"}, "$.when"),
        ([1], "Expected `object`"),
    ],
)
async def test_wrong_data_is_refused_and_nothing_is_stored(queue: Queue, data: Any, says: str) -> None:
    with pytest.raises(JobArgumentsError) as caught:
        await enqueue("shop.greet", data)
    assert says in str(caught.value)
    assert "shop.greet" in str(caught.value)
    assert (await queue.counts()).waiting == 0


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {"user": 1}, "near: user_id"),
        ((1, "de", "x"), {}, "too many positional arguments"),
        ((), {}, "missing a required argument: 'user_id'"),
        (("x",), {}, "Expected `int`, got `str`"),
    ],
)
async def test_wrong_arguments_are_refused_and_nothing_is_stored(
    queue: Queue, args: Any, kwargs: Any, says: str
) -> None:
    with pytest.raises(JobArgumentsError, match="job") as caught:
        await greet.enqueue(*args, **kwargs)
    assert says in str(caught.value)
    assert (await queue.counts()).waiting == 0


async def test_instance_with_a_wrong_field_is_refused(queue: Queue) -> None:
    with pytest.raises(JobArgumentsError, match="number"):
        await order.enqueue(Order(number="seven"))  # type: ignore[arg-type]  # that is the point


async def test_two_arguments_for_a_schema_are_refused(queue: Queue) -> None:
    with pytest.raises(JobArgumentsError, match="takes one argument"):
        await order.enqueue(Order(1), Order(2))  # type: ignore[call-arg]  # that is the point


async def test_unknown_name_is_refused_with_near_names(queue: Queue) -> None:
    with pytest.raises(JobNotRegisteredError) as caught:
        await enqueue("shop.great", {"user_id": 1})
    assert caught.value.code == "UC1203"
    assert "near: shop.greet" in str(caught.value)


async def test_job_that_is_not_registered_is_refused(queue: Queue) -> None:
    stranger = define_job(name="stranger", handler=greet.handler)
    with pytest.raises(JobNotRegisteredError, match="stranger"):
        await stranger.enqueue(1)


async def test_function_that_is_no_job_is_refused(queue: Queue) -> None:
    with pytest.raises(JobDefinitionError, match="is not a job"):
        await queue.enqueue(greet.handler, 1)  # type: ignore[call-overload]  # that is the point


async def test_unbound_enqueue_says_what_to_do() -> None:
    with pytest.raises(NotBoundError, match="InfraMiddleware"):
        await greet.enqueue(1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retrys": 3}, "near: retries"),
        ({"retries": 3, "attempts": 4}, "both 'attempts' and 'retries'"),
        ({"attempts": 0}, "from 1 to 1000"),
        ({"retries": -1}, "from 0 to 999"),
        ({"priority": -1}, "from 0 to"),
        ({"delay": "soon"}, "'soon' is not a duration"),
        ({"delay": 1, "run_at": datetime.now(UTC)}, "both 'delay' and 'run_at'"),
        ({"run_at": datetime(2026, 1, 1)}, "with a time zone"),
        ({"backoff": "exponentially"}, "near: exponential"),
        ({"backoff": {"type": "fixed", "dealy": 1}}, "near: delay"),
        ({"queue": "two words"}, "not valid"),
        ({"timeout": -1}, "not a duration"),
    ],
)
async def test_wrong_option_is_refused(queue: Queue, options: Any, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        await enqueue("shop.greet", {"user_id": 1}, **options)
    assert says in str(caught.value)
    assert (await queue.counts()).waiting == 0


@pytest.mark.parametrize("name", ["", "two words", "tab\t", "x" * 201, "new\nline"])
def test_wrong_job_name_is_refused(name: str) -> None:
    with pytest.raises(JobDefinitionError, match="job name"):
        define_job(name=name, handler=greet.handler)


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(JobDefinitionError, match="two jobs are called 'a'"):
        create_queue(
            "memory://",
            jobs=[define_job(name="a", handler=greet.handler), define_job(name="a", handler=plain.handler)],
        )


def test_parameters_that_are_no_json_object_are_refused() -> None:
    async def handler(*args: int) -> None: ...

    with pytest.raises(ValueError, match="cannot be a key of a JSON object"):
        define_job(name="a", handler=handler)


# Backoff


def test_exponential_backoff_doubles_up_to_its_limit() -> None:
    backoff = Backoff.exponential("1s", limit="10s", jitter=False)
    assert [backoff.delay_s(n) for n in (1, 2, 3, 4, 5, 5000)] == [1, 2, 4, 8, 10, 10]


def test_jitter_is_drawn_from_zero_to_the_delay() -> None:
    backoff = Backoff.exponential("1s")
    assert [backoff.delay_s(3, draw=lambda at=at: at) for at in (0.0, 0.5, 1.0)] == [0, 2, 4]


def test_linear_and_fixed_backoff() -> None:
    assert [Backoff.linear(2).delay_s(n) for n in (1, 2, 3)] == [2, 4, 6]
    assert [Backoff.fixed("3s").delay_s(n) for n in (1, 9)] == [3, 3]


async def test_seed_mapping_with_milliseconds_is_understood(queue: Queue) -> None:
    definition = define_job(
        name="m", handler=greet.handler, options={"backoff": {"type": "fixed", "delay_ms": 1500}, "attempts": 3}
    )
    assert definition.options.backoff == Backoff.fixed(1.5)


async def test_result_waits_for_the_worker() -> None:
    async with create_queue("memory://", jobs=JOBS) as queue:
        handle = await queue.enqueue(plain, 4)
        with anyio.fail_after(10):
            async with queue.worker():
                assert await handle.result() == 8
