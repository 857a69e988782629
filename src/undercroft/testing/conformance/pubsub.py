"""What every Pub/Sub engine promises, as tests. Subclass it in your own suite and give it one fixture:

    class TestMyEngine(PubSubEngineConformance):
        @pytest.fixture
        async def rig(self):
            async with MyEngine() as engine:
                yield Rig(engine, advance=…, patience_s=0.3)

The engine is open and has no topics. `advance` lets seconds pass on the clock that its leases and backoffs go by: move
a virtual one, or sleep. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio
import pytest

from undercroft.connections.pubsub import (
    Delivery,
    DeliveryStream,
    Engine,
    NewMessage,
    SubscriptionNotFoundError,
    SubscriptionSpec,
    TopicNotFoundError,
)

LEASE_S = 10.0
_WAIT_S = 20.0
_PLAIN = SubscriptionSpec(name="orders-sub", topic="orders", ack_deadline_s=LEASE_S)
_DEAD = replace(_PLAIN, dead_letter="orders-dead", max_deliveries=5)
_SLOW = replace(_DEAD, retry_min_s=10.0, retry_max_s=30.0)
_ORDERED = replace(_PLAIN, has_ordering=True)


@dataclass(frozen=True, slots=True)
class Rig:
    """An engine under test, and its time."""

    engine: Engine
    advance: Callable[[float], Awaitable[None]]
    patience_s: float
    """How long, in real seconds, to wait before one says that nothing comes."""

    async def subscribe(self, *specs: SubscriptionSpec) -> None:
        """Create subscriptions, and the topics they need."""
        for spec in specs:
            for topic in (spec.topic, spec.dead_letter):
                if topic:
                    await self.engine.create_topic(topic)
            assert await self.engine.create_subscription(spec)

    async def publish(self, *texts: str, key: str = "", topic: str = "orders") -> list[str]:
        """Publish texts in one request."""
        return await self.engine.publish(topic, [NewMessage(data=text.encode(), ordering_key=key) for text in texts])

    @asynccontextmanager
    async def stream(
        self, name: str = "orders-sub", *, max_messages: int = 100, max_bytes: int = 10**9
    ) -> AsyncIterator[DeliveryStream]:
        """Open a stream with the usual lease."""
        async with self.engine.open_stream(
            name, ack_deadline_s=LEASE_S, max_messages=max_messages, max_bytes=max_bytes
        ) as stream:
            yield stream

    async def take(self, count: int, name: str = "orders-sub") -> list[Delivery]:
        """Take messages by a stream of their own."""
        async with self.stream(name) as stream:
            return await receive(stream, count)

    async def is_silent(self, name: str = "orders-sub") -> bool:
        """Tell whether nothing comes now."""
        with anyio.move_on_after(self.patience_s):
            async with self.stream(name) as stream:
                await stream.receive()
                return False
        return True

    async def ack(self, *deliveries: Delivery) -> None:
        """Acknowledge."""
        await self.engine.acknowledge("orders-sub", [delivery.ack_id for delivery in deliveries])

    async def give_back(self, *deliveries: Delivery) -> None:
        """Give back."""
        await self.engine.modify_deadline("orders-sub", [delivery.ack_id for delivery in deliveries], 0)


class PubSubEngineConformance:
    """The promises of `undercroft.connections.pubsub.Engine`, one test each."""

    pytestmark = pytest.mark.anyio

    async def test_published_message_arrives_whole(self, rig: Rig) -> None:
        await rig.subscribe(_ORDERED)
        data, attributes = b"\x00\xff" + "grüße 𝄞".encode(), {"a": "1", "ключ": "значение"}
        (message_id,) = await rig.engine.publish(
            "orders", [NewMessage(data=data, attributes=attributes, ordering_key="k")]
        )

        (delivery,) = await rig.take(1)

        assert (delivery.id, delivery.data, delivery.ordering_key) == (message_id, data, "k")
        assert dict(delivery.attributes) == attributes
        assert delivery.published_at > 1_000_000_000

    async def test_every_subscription_gets_a_copy(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN, replace(_PLAIN, name="orders-audit"))
        await rig.publish("a")

        assert texts(await rig.take(1)) == ["a"]
        assert texts(await rig.take(1, "orders-audit")) == ["a"]

    async def test_thousand_messages_in_one_request_have_ids_in_order(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        ids = await rig.publish(*[str(number) for number in range(1000)])

        async with rig.stream(max_messages=2000) as stream:
            found = await receive(stream, 1000)

        assert len(set(ids)) == 1000
        assert {delivery.id: delivery.data for delivery in found} == {
            message_id: str(number).encode() for number, message_id in enumerate(ids)
        }

    async def test_acknowledged_message_does_not_come_again(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a")
        await rig.ack(*await rig.take(1))

        await rig.advance(LEASE_S * 2)

        assert await rig.is_silent()

    async def test_message_comes_again_when_its_lease_ends(self, rig: Rig) -> None:
        await rig.subscribe(_DEAD)
        await rig.publish("a")
        (first,) = await rig.take(1)
        assert await rig.is_silent()

        await rig.advance(LEASE_S + 1)

        (again,) = await rig.take(1)
        assert (again.id, first.attempt, again.attempt) == (first.id, 1, 2)
        assert again.ack_id != first.ack_id

    async def test_extended_lease_holds(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a")
        (delivery,) = await rig.take(1)

        await rig.engine.modify_deadline("orders-sub", [delivery.ack_id], 60)
        await rig.advance(LEASE_S * 2)
        assert await rig.is_silent()
        await rig.advance(60)

        assert texts(await rig.take(1)) == ["a"]

    async def test_without_a_retry_policy_what_is_given_back_comes_at_once(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a")

        await rig.give_back(*await rig.take(1))

        assert texts(await rig.take(1)) == ["a"]

    async def test_backoff_doubles_up_to_its_limit(self, rig: Rig) -> None:
        await rig.subscribe(_SLOW)
        await rig.publish("a")
        for wait_s in (10, 20, 30):
            await rig.give_back(*await rig.take(1))
            await rig.advance(wait_s - 6)
            assert await rig.is_silent()
            await rig.advance(7)

        (last,) = await rig.take(1)
        assert last.attempt == 4

    async def test_message_goes_to_the_dead_letter_topic_after_its_deliveries(self, rig: Rig) -> None:
        await rig.subscribe(_DEAD, SubscriptionSpec(name="dead-sub", topic="orders-dead"))
        await rig.engine.publish("orders", [NewMessage(data=b"poison", attributes={"a": "1"})])
        for attempt in range(1, 6):
            (delivery,) = await rig.take(1)
            assert delivery.attempt == attempt
            await rig.give_back(delivery)

        (dead,) = await rig.take(1, "dead-sub")

        assert (dead.data, dead.attributes["a"]) == (b"poison", "1")
        assert dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert dead.attributes["CloudPubSubDeadLetterSourceSubscription"] == "orders-sub"
        assert await rig.is_silent()

    async def test_leases_that_end_count_as_deliveries(self, rig: Rig) -> None:
        await rig.subscribe(_DEAD, SubscriptionSpec(name="dead-sub", topic="orders-dead"))
        await rig.publish("poison")
        for _ in range(5):
            await rig.take(1)
            await rig.advance(LEASE_S + 1)

        assert texts(await rig.take(1, "dead-sub")) == ["poison"]

    async def test_without_a_dead_letter_topic_deliveries_are_not_counted(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a")

        (delivery,) = await rig.take(1)

        assert delivery.attempt is None

    async def test_messages_of_one_key_come_in_order(self, rig: Rig) -> None:
        await rig.subscribe(_ORDERED)
        for number in range(20):
            await rig.publish(f"a{number}", key="a")
            await rig.publish(f"b{number}", key="b")

        found = texts(await rig.take(40))

        assert [text for text in found if text[0] == "a"] == [f"a{number}" for number in range(20)]
        assert [text for text in found if text[0] == "b"] == [f"b{number}" for number in range(20)]

    async def test_key_is_held_back_by_a_message_that_was_given_back(self, rig: Rig) -> None:
        await rig.subscribe(replace(_ORDERED, retry_min_s=10.0, retry_max_s=10.0))
        await rig.publish("a1", "a2", "a3", key="a")
        first, *_ = await rig.take(3)

        await rig.give_back(first)
        await rig.publish("b1", key="b")

        assert texts(await rig.take(1)) == ["b1"]
        assert await rig.is_silent()
        await rig.advance(12)
        assert texts(await rig.take(3)) == ["a1", "a2", "a3"]

    async def test_key_goes_to_one_stream_at_a_time(self, rig: Rig) -> None:
        await rig.subscribe(_ORDERED)
        await rig.publish("a1", key="a")
        (first,) = await rig.take(1)
        await rig.publish("a2", key="a")

        assert await rig.is_silent()
        await rig.ack(first)

        assert texts(await rig.take(1)) == ["a2"]

    async def test_no_more_messages_are_out_than_asked_for(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a", "b", "c", "d", "e")
        async with rig.stream(max_messages=2) as stream:
            first = await receive(stream, 2)
            await rig.ack(first[0])
            second = await receive(stream, 1)
            await rig.ack(first[1], *second)
            rest = await receive(stream, 2)

        assert sorted(texts([*first, *second, *rest])) == ["a", "b", "c", "d", "e"]
        assert len(first) == 2
        assert len(second) == 1

    async def test_no_more_bytes_are_out_than_asked_for_but_one_message(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("x" * 5000, "y" * 5000)
        async with rig.stream(max_bytes=1000) as stream:
            first = await receive(stream, 1)
            assert len(first) == 1
            await rig.ack(*first)
            assert len(await receive(stream, 1)) == 1

    async def test_message_goes_to_one_of_many_streams(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        got: list[str] = []
        is_all = anyio.Event()

        async def consume() -> None:
            async with rig.stream(max_messages=5) as stream:
                while True:
                    found = await stream.receive()
                    got.extend(texts(found))
                    await rig.ack(*found)
                    if len(got) >= 200:
                        is_all.set()

        with anyio.fail_after(_WAIT_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(consume)
                await rig.publish(*[str(number) for number in range(200)])
                await is_all.wait()
                tasks.cancel_scope.cancel()

        assert sorted(got, key=int) == [str(number) for number in range(200)]

    async def test_ack_id_that_is_not_current_changes_nothing(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        await rig.publish("a")
        (old,) = await rig.take(1)
        await rig.give_back(old)
        (current,) = await rig.take(1)

        await rig.ack(old)
        await rig.give_back(old)
        await rig.give_back(current)

        assert texts(await rig.take(1)) == ["a"]

    async def test_waiting_stream_gets_what_is_published(self, rig: Rig) -> None:
        await rig.subscribe(_PLAIN)
        found: list[str] = []

        async def consume() -> None:
            found.extend(texts(await rig.take(1)))

        with anyio.fail_after(_WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume)
                await anyio.wait_all_tasks_blocked()
                await rig.publish("a")

        assert found == ["a"]

    async def test_unknown_topic_is_an_error(self, rig: Rig) -> None:
        with pytest.raises(TopicNotFoundError) as caught:
            await rig.publish("a", topic="nothing")

        assert caught.value.topic == "nothing"
        assert not await rig.engine.has_topic("nothing")
        with pytest.raises(TopicNotFoundError):
            await rig.engine.create_subscription(replace(_PLAIN, topic="nothing"))

    async def test_unknown_subscription_is_an_error(self, rig: Rig) -> None:
        with pytest.raises(SubscriptionNotFoundError) as caught, anyio.fail_after(_WAIT_S):
            await rig.take(1, "nothing")

        assert caught.value.subscription == "nothing"
        assert await rig.engine.get_subscription("nothing") is None
        with pytest.raises(SubscriptionNotFoundError):
            await rig.engine.acknowledge("nothing", ["1"])

    async def test_creating_twice_is_no_error(self, rig: Rig) -> None:
        assert await rig.engine.create_topic("orders")
        assert not await rig.engine.create_topic("orders")
        assert await rig.engine.create_subscription(_PLAIN)
        assert not await rig.engine.create_subscription(_PLAIN)

    async def test_subscription_is_as_it_was_made(self, rig: Rig) -> None:
        ordered = replace(_SLOW, name="orders-ordered", has_ordering=True)
        await rig.subscribe(_SLOW, ordered)

        assert await rig.engine.get_subscription("orders-sub") == _SLOW
        assert await rig.engine.get_subscription("orders-ordered") == ordered

    async def test_subscription_is_changed(self, rig: Rig) -> None:
        await rig.subscribe(_SLOW)
        wanted = replace(_PLAIN, ack_deadline_s=20.0, retry_min_s=1.5, retry_max_s=2.25)

        await rig.engine.update_subscription(wanted)

        assert await rig.engine.get_subscription("orders-sub") == wanted

    async def test_topics_are_listed_sorted_and_bounded(self, rig: Rig) -> None:
        for name in ("topic-c", "topic-a", "topic-b"):
            await rig.engine.create_topic(name)

        assert await rig.engine.list_topics() == ["topic-a", "topic-b", "topic-c"]
        assert len(await rig.engine.list_topics(limit=2)) == 2

    async def test_ping_answers(self, rig: Rig) -> None:
        await rig.engine.ping()

        assert rig.engine.info().backend == rig.engine.name


async def receive(stream: DeliveryStream, count: int) -> list[Delivery]:
    """Receive until there are `count` messages, or more."""
    found: list[Delivery] = []
    with anyio.fail_after(_WAIT_S):
        while len(found) < count:
            found.extend(await stream.receive())
    return found


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the data as text, in order."""
    return [delivery.data.decode() for delivery in deliveries]
