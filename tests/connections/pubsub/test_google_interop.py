"""Google's own synchronous client as the second party: it publishes and we handle, we publish and it handles."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import anyio
import anyio.to_thread
import pytest
from google.cloud import pubsub_v1

from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    EngineInfo,
    MemoryClaims,
    PubSub,
    Retry,
    Topic,
    create_pubsub,
    current_message,
    open_engine,
    subscription,
)
from undercroft.testing.pubsub_server import PubSubServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_loop")]

EVENTS: Topic[int] = Topic("events", schema=int, ordering=True)
DEAD: Topic[Any] = Topic("events-dead")
PATH = "projects/test/topics/events"


class Theirs:
    """Google's client, with what it received."""

    def __init__(self) -> None:
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        self.publisher = pubsub_v1.PublisherClient(publisher_options=options)
        self.subscriber = pubsub_v1.SubscriberClient()
        self.received: list[Any] = []
        self._lock = threading.Lock()
        self._pulls: list[Any] = []

    def listen(self, name: str, *, acknowledge: bool = True) -> None:
        def on_message(message: Any) -> None:
            with self._lock:
                self.received.append(message)
            if acknowledge:
                message.ack()
            else:
                message.nack()

        path = f"projects/test/subscriptions/{name}"
        self._pulls.append(self.subscriber.subscribe(path, on_message))

    async def publish(self, data: bytes, *, key: str = "", **attributes: str) -> str:
        future = self.publisher.publish(PATH, data, ordering_key=key, **attributes)
        return str(await anyio.to_thread.run_sync(future.result, 10))

    async def wait(self, count: int) -> list[Any]:
        with anyio.fail_after(10):
            while len(self.received) < count:
                await anyio.sleep(0.005)
        return self.received

    def close(self) -> None:
        for pull in self._pulls:
            pull.cancel()
            pull.result(10)
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    """A server in real time: Google's client extends its leases by the host's clock."""
    with PubSubServer() as server:
        yield server


@pytest.fixture
def theirs(server: PubSubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Theirs]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    theirs = Theirs()
    yield theirs
    theirs.close()


async def test_google_publishes_and_we_handle(theirs: Theirs) -> None:
    seen: dict[str, tuple[int, str]] = {}

    @subscription("events-sub", EVENTS)
    async def handle(number: int) -> None:
        message = current_message()
        seen[message.id] = (number, message.attributes["tenant"])

    # No emulator in the URL: ours reads the variable as Google's clients do.
    async with create_pubsub("pubsub://test", subscriptions=[handle], claims=MemoryClaims()) as pubsub:
        await pubsub.provision()
        async with pubsub.subscriber() as subscriber:
            ids = await asyncio.gather(*(theirs.publish(str(n).encode(), tenant=f"t{n}") for n in range(50)))
            with anyio.fail_after(10):
                while subscriber.stats.handled < 50:
                    await anyio.sleep(0.005)

    assert seen == {message_id: (number, f"t{number}") for number, message_id in enumerate(ids)}


async def test_we_publish_and_google_handles(theirs: Theirs) -> None:
    read = subscription("events-sub", EVENTS)(print)
    async with create_pubsub("pubsub://test", subscriptions=[read]) as pubsub:
        await pubsub.provision()
        theirs.listen("events-sub")
        handles = await asyncio.gather(
            *(pubsub.publish(EVENTS, number, attributes={"tenant": "a"}) for number in range(200))
        )
        found = await theirs.wait(200)

    assert {each.message_id: json.loads(each.data) for each in found} == {
        handle.id: number for number, handle in enumerate(handles)
    }
    assert all(each.attributes["tenant"] == "a" and each.attributes["undercroft-id"] for each in found)


async def test_order_is_kept_from_us_to_google_and_back(theirs: Theirs) -> None:
    seen: list[int] = []
    ours = subscription("ours-sub", EVENTS)(seen.append)
    other = subscription("theirs-sub", EVENTS)(print)
    async with create_pubsub("pubsub://test", subscriptions=[ours, other]) as pubsub:
        await pubsub.provision()
        theirs.listen("theirs-sub")
        await asyncio.gather(*(pubsub.publish(EVENTS, number, ordering_key="k") for number in range(50)))
        await theirs.wait(50)
        futures = [theirs.publisher.publish(PATH, str(n).encode(), ordering_key="k") for n in range(50, 100)]
        for future in futures:
            await anyio.to_thread.run_sync(future.result, 10)
        await theirs.wait(100)
        async with pubsub.subscriber([ours]):
            with anyio.fail_after(10):
                while len(seen) < 100:
                    await anyio.sleep(0.005)

    assert [int(each.data) for each in theirs.received] == list(range(100))
    assert seen == list(range(100))


async def test_what_google_gives_back_too_often_comes_to_our_dead_letter_handler(theirs: Theirs) -> None:
    dead: list[tuple[Any, str]] = []
    broken = subscription("theirs-sub", EVENTS, retry=Retry(0, 0), dead_letter=DEAD)(print)

    @subscription("dead-sub", DEAD)
    async def bury(payload: Any) -> None:
        dead.append((payload, current_message().attributes["CloudPubSubDeadLetterSourceDeliveryCount"]))

    async with create_pubsub("pubsub://test", subscriptions=[broken, bury]) as pubsub:
        await pubsub.provision()
        theirs.listen("theirs-sub", acknowledge=False)
        async with pubsub.subscriber([bury]):
            await pubsub.publish(EVENTS, 7)
            with anyio.fail_after(10):
                while not dead:
                    await anyio.sleep(0.005)

    assert dead == [(7, "5")]
    assert sorted(each.delivery_attempt for each in theirs.received) == [1, 2, 3, 4, 5]


async def test_what_we_give_back_too_often_comes_to_googles_dead_letter_reader(theirs: Theirs) -> None:
    @subscription("events-sub", EVENTS, retry=Retry(0, 0), dead_letter=DEAD)
    async def broken(number: int) -> None:
        raise ValueError("never")

    async with create_pubsub("pubsub://test", subscriptions=[broken]) as pubsub:
        await pubsub.provision()
        theirs.listen("events-dead")  # the subscription that keeps them
        async with pubsub.subscriber():
            await theirs.publish(b"7", tenant="a")
            await theirs.publish(b"garbage", tenant="b")
            found = await theirs.wait(2)

    assert {each.data: each.attributes["tenant"] for each in found} == {b"7": "a", b"garbage": "b"}


async def test_google_reads_what_we_provisioned(theirs: Theirs) -> None:
    ours = subscription("events-sub", EVENTS, dead_letter=DEAD, max_deliveries=7, ack_deadline="45s")(print)
    async with create_pubsub("pubsub://test", subscriptions=[ours]) as pubsub:
        await pubsub.provision()

    found = theirs.subscriber.get_subscription(subscription="projects/test/subscriptions/events-sub")

    assert (found.topic, found.ack_deadline_seconds, found.enable_message_ordering) == (PATH, 45, True)
    assert found.retry_policy.minimum_backoff.total_seconds() == 10
    assert found.retry_policy.maximum_backoff.total_seconds() == 600
    assert found.dead_letter_policy.dead_letter_topic == "projects/test/topics/events-dead"
    assert found.dead_letter_policy.max_delivery_attempts == 7
    assert "expiration_policy" in found
    assert found.expiration_policy.ttl.total_seconds() == 0


async def test_info_says_who_answers(server: PubSubServer) -> None:
    engine = open_engine(Url.parse(server.url("shop")), what="pubsub")
    async with PubSub(engine) as pubsub:
        await pubsub.ping()
        info = pubsub.info()

    assert info == EngineInfo(
        backend="google", address=server.host, project="shop", is_emulator=True, client_version=info.client_version
    )
    assert info.client_version == version("google-cloud-pubsub")
