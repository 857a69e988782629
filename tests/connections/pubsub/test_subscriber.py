"""What a subscriber does with messages: handle, give back, extend, keep in order, bury, stop. On both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest

from undercroft._core.bound import bind, bound_source
from undercroft._core.context import Correlation, Trace, correlate, correlation
from undercroft._core.errors import NotOpenError
from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    NewMessage,
    NotInMessageError,
    PubSub,
    Retry,
    Subscription,
    SubscriptionSpec,
    Topic,
    current_message,
    open_engine,
    subscription,
)
from undercroft.testing.pubsub_server import PubSubServer, ScaledClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_loop")]

EVENTS: Topic[int] = Topic("events", schema=int, ordering=True)
AT_ONCE = Retry(0, 0)
Open = Callable[..., AbstractAsyncContextManager[PubSub]]


@pytest.fixture(params=["memory", "google"])
def opened(request: pytest.FixtureRequest, fast: ScaledClock) -> Open:
    """Opens a `PubSub` on one of the engines, provisioned, its time as fast as the server's."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("server").url()

    @asynccontextmanager
    async def open_it(*subscriptions: Subscription[Any, Any], **options: Any) -> AsyncIterator[PubSub]:
        engine = open_engine(Url.parse(url), what="pubsub", clock=fast)
        async with PubSub(engine, subscriptions=subscriptions, clock=fast, **options) as pubsub:
            await pubsub.provision()
            yield pubsub

    return open_it


class Seen:
    """Collects what handlers saw; waits for it."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> None:
        self.values.append(value)

    async def wait(self, count: int, *, within_s: float = 10) -> list[Any]:
        with anyio.fail_after(within_s):
            while len(self.values) < count:
                await anyio.sleep(0.002)
        return self.values


async def until(is_so: Callable[[], bool], *, within_s: float = 10) -> None:
    with anyio.fail_after(within_s):
        while not is_so():
            await anyio.sleep(0.002)


async def test_handled_message_is_acknowledged_and_does_not_come_again(opened: Open, fast: ScaledClock) -> None:
    seen = Seen()
    sub = subscription("sub", EVENTS, ack_deadline="10s")(seen.add)
    async with opened(sub) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await seen.wait(1)
        await until(lambda: subscriber.held == 0)
        await fast.sleep(12)

    assert seen.values == [1]
    assert subscriber.stats.handled == 1


async def test_failed_message_comes_again_until_it_succeeds(opened: Open) -> None:
    seen = Seen()

    @subscription("sub", EVENTS, retry=AT_ONCE, dead_letter="dead", max_deliveries=10)
    async def flaky(number: int) -> None:
        seen.add(current_message().attempt)
        if len(seen.values) < 4:
            raise ConnectionError("no route")

    async with opened(flaky) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await seen.wait(4)
        await until(lambda: subscriber.stats.handled == 1)

    assert seen.values == [1, 2, 3, 4]
    assert subscriber.stats.failed == 3


async def test_failed_message_waits_for_its_backoff(opened: Open, fast: ScaledClock) -> None:
    at = Seen()

    @subscription("sub", EVENTS, retry=Retry("10s", "20s"))
    async def broken(number: int) -> None:
        at.add(fast.monotonic())
        if len(at.values) < 3:
            raise ValueError("no")

    async with opened(broken) as pubsub, pubsub.subscriber():
        await pubsub.publish(EVENTS, 1)
        first, second, third = await at.wait(3)

    # Without a dead-letter topic the server counts for itself all the same: the backoff doubles.
    assert 10 <= second - first < 18
    assert 20 <= third - second < 28


async def test_message_that_always_fails_is_dead_lettered_after_its_deliveries(opened: Open) -> None:
    seen, dead = Seen(), Seen()

    @subscription("sub", EVENTS, retry=AT_ONCE, dead_letter="events-dead", max_deliveries=5)
    async def broken(number: int) -> None:
        seen.add(number)
        raise ValueError("never")

    read = subscription("dead-reader", Topic("events-dead", schema=int))(dead.add)
    async with opened(broken, read) as pubsub, pubsub.subscriber():
        await pubsub.publish(EVENTS, 7)
        await dead.wait(1)

    assert (seen.values, dead.values) == ([7] * 5, [7])


async def test_handler_sees_its_message_and_the_work_it_belongs_to(opened: Open) -> None:
    seen = Seen()

    @subscription("sub", EVENTS, dead_letter="dead")
    async def look(number: int) -> None:
        message, names = current_message(), correlation()
        assert names.trace is not None
        seen.add((message, names.request_id, names.trace.trace_id, names.trace.span_id))

    trace = Trace.new()
    async with opened(look) as pubsub, pubsub.subscriber():
        with correlate(Correlation(request_id="r-7", trace=trace)):
            handle = await pubsub.publish(EVENTS, 1, ordering_key="k", attributes={"tenant": "a"})
        ((message, request_id, trace_id, span_id),) = await seen.wait(1)

    assert (message.id, message.topic, message.subscription) == (handle.id, "events", "sub")
    assert (message.attempt, message.ordering_key, message.attributes["tenant"]) == (1, "k", "a")
    assert message.published_at.tzinfo is not None
    assert (request_id, trace_id) == ("r-7", trace.trace_id)
    assert span_id != trace.span_id


def test_current_message_outside_of_a_handler_is_an_error() -> None:
    with pytest.raises(NotInMessageError):
        current_message()


async def test_plain_handler_has_the_context_too(opened: Open) -> None:
    seen = Seen()
    sub = subscription("sub", EVENTS)(lambda number: seen.add((number, current_message().subscription)))
    async with opened(sub) as pubsub, pubsub.subscriber():
        await pubsub.publish(EVENTS, 3)
        assert await seen.wait(1) == [(3, "sub")]


async def test_bind_is_entered_around_every_handler(opened: Open) -> None:
    class Source:
        def get_part(self, name: str) -> object:
            return self

    source, seen = Source(), Seen()
    sub = subscription("sub", EVENTS)(lambda _: seen.add(bound_source()))
    async with opened(sub, bind=lambda: bind(source)) as pubsub, pubsub.subscriber():
        await pubsub.publish(EVENTS, 1)
        assert await seen.wait(1) == [source]


async def test_lease_is_extended_while_the_handler_runs_past_the_ack_deadline(opened: Open, fast: ScaledClock) -> None:
    seen = Seen()

    @subscription("sub", EVENTS, ack_deadline="20s", dead_letter="dead", concurrency=1)
    async def slow(number: int) -> None:
        seen.add((number, current_message().attempt))
        await fast.sleep(45)

    async with opened(slow) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await pubsub.publish(EVENTS, 2)  # waits here for its turn, longer than its deadline
        await until(lambda: subscriber.stats.handled == 2)
        await fast.sleep(22)

    assert seen.values == [(1, 1), (2, 1)]


async def test_handler_that_takes_longer_than_its_timeout_is_cancelled_and_its_message_comes_again(
    opened: Open,
) -> None:
    seen = Seen()

    @subscription("sub", EVENTS, timeout="5s", retry=AT_ONCE)
    async def hangs_once(number: int) -> None:
        seen.add(number)
        if len(seen.values) == 1:
            await anyio.sleep_forever()

    async with opened(hangs_once) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await until(lambda: subscriber.stats.handled == 1)

    assert (seen.values, subscriber.stats.failed) == ([1, 1], 1)


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
async def test_stray_cancellation_or_exit_of_a_handler_is_a_failure(opened: Open, error: type[BaseException]) -> None:
    seen = Seen()

    @subscription("sub", EVENTS, retry=AT_ONCE)
    async def strange(number: int) -> None:
        seen.add(number)
        if len(seen.values) == 1:
            raise error

    async with opened(strange) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await until(lambda: subscriber.stats.handled == 1)


async def test_no_more_handlers_run_than_the_concurrency(opened: Open) -> None:
    running, most = 0, 0

    @subscription("sub", EVENTS, concurrency=3)
    async def count(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.005)
        running -= 1

    async with opened(count) as pubsub, pubsub.subscriber() as subscriber:
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in range(50)))
        await until(lambda: subscriber.stats.handled == 50)

    assert most == 3


async def test_no_more_messages_are_held_than_asked_for(opened: Open) -> None:
    most, gate = 0, anyio.Event()
    sub = subscription("sub", EVENTS, concurrency=2, max_outstanding=5)

    @sub
    async def wait(number: int) -> None:
        await gate.wait()

    async with opened(wait) as pubsub, pubsub.subscriber() as subscriber:
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in range(30)))
        await until(lambda: subscriber.held == 5)
        await anyio.sleep(0.1)
        most = subscriber.held
        gate.set()
        await until(lambda: subscriber.stats.handled == 30)

    assert most == 5


async def test_one_key_is_handled_in_order_one_at_a_time_even_when_some_fail(opened: Open) -> None:
    done: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    failed: set[int] = set()

    @subscription("sub", EVENTS, retry=AT_ONCE, concurrency=10)
    async def ordered(number: int) -> None:
        key = current_message().ordering_key
        assert key is not None
        await anyio.sleep(0.001)
        if number % 7 == 3 and number not in failed:
            failed.add(number)
            raise ValueError("once")
        done[key].append(number)

    async with opened(ordered) as pubsub, pubsub.subscriber() as subscriber:
        await asyncio.gather(
            *(pubsub.publish(EVENTS, number, ordering_key=key) for number in range(30) for key in "abc")
        )
        await until(lambda: sum(map(len, done.values())) >= 90)
        await until(lambda: subscriber.held == 0)

    assert done == {key: list(range(30)) for key in "abc"}


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00", b"not json", b'"text"', b"[" * 10_000, b"{}"])
async def test_garbage_goes_to_the_dead_letter_topic_whole_and_is_not_handled(opened: Open, garbage: bytes) -> None:
    dead, seen = Seen(), Seen()

    @subscription("dead-reader", Topic("events-dead", schema=bytes))
    async def read(data: bytes) -> None:
        dead.add((data, current_message().attributes))

    sub = subscription("sub", EVENTS, dead_letter="events-dead")(seen.add)
    async with opened(sub, read) as pubsub, pubsub.subscriber() as subscriber:
        await pubsub._engine.publish("events", [NewMessage(data=garbage, attributes={"a": "1"})])
        await pubsub.publish(EVENTS, 5)
        ((data, attributes),) = await dead.wait(1)
        assert await seen.wait(1) == [5]
        await until(lambda: subscriber.held == 0)

    assert (data, attributes["a"], attributes["undercroft-dead-subscription"]) == (garbage, "1", "sub")
    assert attributes["undercroft-dead-message-id"]
    assert subscriber.stats.dead_lettered == 1


async def test_garbage_without_a_dead_letter_topic_stays(opened: Open) -> None:
    sub = subscription("sub", EVENTS, retry=Retry("40s", "40s"))(print)
    async with opened(sub) as pubsub:
        async with pubsub.subscriber() as subscriber:
            await pubsub._engine.publish("events", [NewMessage(data=b"garbage")])
            await until(lambda: subscriber.stats.undecodable == 1)
        # Given back, not acknowledged: another subscription of it, as bytes, still gets it.
        assert subscriber.stats.handled == 0
        await pubsub._engine.update_subscription(SubscriptionSpec(name="sub", topic="events", ack_deadline_s=60))
        async with pubsub.subscriber() as again:
            await until(lambda: again.stats.undecodable >= 1, within_s=20)


async def test_stopping_lets_running_handlers_finish_and_gives_back_the_rest(opened: Open) -> None:
    started, done = Seen(), Seen()
    gate = anyio.Event()

    @subscription("sub", EVENTS, concurrency=2)
    async def wait(number: int) -> None:
        started.add(number)
        await gate.wait()
        done.add(number)

    async with opened(wait) as pubsub:
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in range(10)))
        async with anyio.create_task_group() as tasks:
            subscriber = pubsub.subscriber()
            tasks.start_soon(subscriber.run)
            await started.wait(2)
            tasks.start_soon(subscriber.stop)
            await anyio.sleep(0.05)
            gate.set()
        assert (len(started.values), len(done.values), subscriber.held) == (2, 2, 0)
        async with pubsub.subscriber():  # the rest is there at once: it was given back
            await done.wait(10)

    assert sorted(done.values) == list(range(10))


async def test_handler_that_outlasts_the_grace_is_cancelled_and_its_message_given_back(opened: Open) -> None:
    started = Seen()

    @subscription("sub", EVENTS, retry=AT_ONCE)
    async def hang(number: int) -> None:
        started.add(number)
        if len(started.values) == 1:
            await anyio.sleep_forever()

    async with opened(hang) as pubsub:
        async with pubsub.subscriber(grace="5s"):
            await pubsub.publish(EVENTS, 1)
            await started.wait(1)
        async with pubsub.subscriber():
            await started.wait(2)


async def test_cancelling_the_run_gives_everything_back(opened: Open) -> None:
    started = Seen()

    @subscription("sub", EVENTS, retry=AT_ONCE, concurrency=2)
    async def hang_first(number: int) -> None:
        started.add(number)
        if len(started.values) <= 2:
            await anyio.sleep_forever()

    async with opened(hang_first) as pubsub:
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in range(5)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pubsub.subscriber().run)
            await started.wait(2)
            tasks.cancel_scope.cancel()
        async with pubsub.subscriber():
            await started.wait(7)

    assert sorted(started.values[2:]) == list(range(5))


async def test_subscriber_has_one_life(opened: Open) -> None:
    async with opened(subscription("sub", EVENTS)(print)) as pubsub:
        async with pubsub.subscriber() as subscriber:
            await until(lambda: subscriber.is_running)
        assert not subscriber.is_running
        with pytest.raises(NotOpenError):
            await subscriber.run()


async def test_stop_before_the_start_is_kept(opened: Open) -> None:
    async with opened(subscription("sub", EVENTS)(print)) as pubsub:
        subscriber = pubsub.subscriber()
        await subscriber.stop()
        with anyio.fail_after(2):
            await subscriber.run()


async def test_handler_publishes_into_the_same_trace(opened: Open) -> None:
    second: Topic[int] = Topic("second", schema=int)
    seen = Seen()

    async with anyio.create_task_group():
        holder: list[PubSub] = []

        @subscription("first", EVENTS)
        async def forward(number: int) -> None:
            await holder[0].publish(second, number + 1)

        @subscription("last", second)
        async def last(number: int) -> None:
            seen.add((number, correlation().request_id))

        async with opened(forward, last) as pubsub, pubsub.subscriber():
            holder.append(pubsub)
            with correlate(Correlation(request_id="r-1")):
                await pubsub.publish(EVENTS, 1)
            assert await seen.wait(1) == [(2, "r-1")]


async def test_streams_that_the_server_ends_are_opened_again(server: PubSubServer) -> None:
    seen = Seen()
    engine = open_engine(Url.parse(server.url()), what="pubsub")
    async with PubSub(engine, subscriptions=[subscription("sub", EVENTS)(seen.add)]) as pubsub:
        await pubsub.provision()
        async with pubsub.subscriber():
            for number in range(5):
                await pubsub.publish(EVENTS, number)
                await seen.wait(number + 1)
                server.end_streams()

    assert seen.values == list(range(5))


async def test_acknowledgement_that_fails_is_sent_again(server: PubSubServer, fast: ScaledClock) -> None:
    seen = Seen()
    engine = open_engine(Url.parse(server.url()), what="pubsub")
    sub = subscription("sub", EVENTS, ack_deadline="60s")(seen.add)
    async with PubSub(engine, subscriptions=[sub], clock=fast) as pubsub:
        await pubsub.provision()
        server.fail_next(3, method="Acknowledge")
        async with pubsub.subscriber() as subscriber:
            await pubsub.publish(EVENTS, 1)
            await until(lambda: server.calls("Acknowledge") == 4)
            await until(lambda: subscriber.held == 0)
        assert (server.leased("sub"), server.waiting("sub")) == (0, 0)

    assert seen.values == [1]
