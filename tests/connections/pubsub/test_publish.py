"""Publishing through a server: batches, order, repeats, and what a caller is told when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    Batching,
    Delivery,
    PubSub,
    PubSubAuthError,
    PubSubRefusedError,
    PubSubUnavailableError,
    Topic,
    TopicNotFoundError,
    open_engine,
    subscription,
)
from undercroft.testing.pubsub_server import PubSubServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_loop")]

EVENTS = Topic("events", ordering=True)
INSPECT = subscription("inspect", EVENTS, max_outstanding=1000)(print)


@asynccontextmanager
async def opened(server: PubSubServer, **options: Any) -> AsyncIterator[PubSub]:
    engine = open_engine(Url.parse(server.url()), what="pubsub")
    async with PubSub(engine, subscriptions=[INSPECT], **options) as pubsub:
        await pubsub.provision()
        yield pubsub


async def stored(server: PubSubServer, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with (
        open_engine(Url.parse(server.url()), what="pubsub") as engine,  # type: ignore[attr-defined]
        engine.open_stream("inspect", ack_deadline_s=600, max_messages=10**6, max_bytes=10**9) as stream,
    ):
        with anyio.fail_after(10):
            while len(found) < count:
                found += await stream.receive()
    return found


async def publish_all(pubsub: PubSub, numbers: Sequence[int], key: str | None = None) -> list[str]:
    handles = await asyncio.gather(*(pubsub.publish(EVENTS, number, ordering_key=key) for number in numbers))
    return [handle.id for handle in handles]


async def test_what_is_published_together_shares_requests_and_each_gets_its_own_id(server: PubSubServer) -> None:
    async with opened(server) as pubsub:
        ids = await publish_all(pubsub, range(2500))

    assert server.calls("Publish") == 3
    assert {delivery.id: int(delivery.data) for delivery in await stored(server, 2500)} == dict(
        zip(ids, range(2500), strict=True)
    )


async def test_batches_end_at_their_count(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(max_messages=10)) as pubsub:
        await publish_all(pubsub, range(95))
    assert server.calls("Publish") == 10


async def test_batches_end_at_their_size_and_a_larger_message_goes_alone(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(max_bytes=10_000)) as pubsub:
        await asyncio.gather(*(pubsub.publish(EVENTS, "x" * size) for size in (4000, 4000, 4000, 30_000, 100)))
    assert server.calls("Publish") == 4


async def test_latency_gathers_what_comes_a_little_later(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(latency="200ms")) as pubsub, anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(pubsub.publish, EVENTS, number)
            await anyio.sleep(0.01)
    assert server.calls("Publish") == 1


async def test_full_batch_does_not_wait_for_the_latency(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(latency="1h", max_messages=3)) as pubsub:
        with anyio.fail_after(5):
            await publish_all(pubsub, range(3))


async def test_one_key_keeps_the_order_of_publishing(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(max_messages=7)) as pubsub:
        server.fail_next(3)
        await asyncio.gather(*(publish_all(pubsub, range(100), key) for key in "abc"))

    found = await stored(server, 300)
    for key in "abc":
        assert [int(each.data) for each in found if each.ordering_key == key] == list(range(100))


async def test_request_without_an_answer_is_sent_again_under_the_same_ids(server: PubSubServer) -> None:
    async with opened(server) as pubsub:
        server.fail_next(2, after=True)  # stored, and the answer is lost
        (message_id,) = await publish_all(pubsub, [1])

    copies = await stored(server, 3)
    assert len({copy.id for copy in copies}) == 3
    assert len({copy.attributes["undercroft-id"] for copy in copies}) == 1
    assert message_id in {copy.id for copy in copies}


async def test_publish_that_gets_no_answer_in_time_fails_at_its_caller(server: PubSubServer) -> None:
    async with opened(server, publish_timeout="300ms") as pubsub:
        server.fail_next(1000)
        with pytest.raises(PubSubUnavailableError) as caught:
            await pubsub.publish(EVENTS, 1)
    assert caught.value.http_status == 503
    assert "127.0.0.1" not in str(caught.value)


async def test_server_that_is_down_fails_at_the_caller_and_the_next_publish_works(server: PubSubServer) -> None:
    async with opened(server, publish_timeout="500ms") as pubsub:
        server.stop()
        with pytest.raises(PubSubUnavailableError):
            await pubsub.publish(EVENTS, 1)
        server.start()
        with anyio.fail_after(5):
            while True:
                try:
                    await pubsub.publish(EVENTS, 2)
                    break
                except PubSubUnavailableError:
                    continue


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("PERMISSION_DENIED", PubSubAuthError),
        ("UNAUTHENTICATED", PubSubAuthError),
        ("INVALID_ARGUMENT", PubSubRefusedError),
        ("FAILED_PRECONDITION", PubSubRefusedError),
        ("NOT_FOUND", TopicNotFoundError),
    ],
)
async def test_refusal_is_not_repeated_and_reaches_every_caller(
    server: PubSubServer, status: str, error: type[Exception]
) -> None:
    async with opened(server) as pubsub:
        server.fail_next(1, status=status)
        results = await asyncio.gather(*(pubsub.publish(EVENTS, n) for n in range(5)), return_exceptions=True)

    assert [type(result) for result in results] == [error] * 5
    assert len({id(result) for result in results}) == 5
    assert server.calls("Publish") == 1


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
async def test_unavailable_is_repeated(server: PubSubServer, status: str) -> None:
    async with opened(server) as pubsub:
        server.fail_next(1, status=status)
        await pubsub.publish(EVENTS, 1)
    assert server.calls("Publish") == 2


async def test_after_a_refusal_what_waits_behind_it_in_its_key_fails_too(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(max_messages=1)) as pubsub:
        server.fail_next(1, status="INVALID_ARGUMENT")
        results = await asyncio.gather(
            *(pubsub.publish(EVENTS, n, ordering_key="a") for n in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [PubSubRefusedError] * 3
        await pubsub.publish(EVENTS, 9, ordering_key="a")

    assert [int(each.data) for each in await stored(server, 1)] == [9]


async def test_closing_sends_what_waits(server: PubSubServer) -> None:
    results: list[object] = []

    async def publish(pubsub: PubSub, number: int) -> None:
        results.append(await pubsub.publish(EVENTS, number))

    async with anyio.create_task_group() as tasks, opened(server, batching=Batching(latency="1h")) as pubsub:
        for number in range(50):
            tasks.start_soon(publish, pubsub, number)
        await anyio.wait_all_tasks_blocked()
        assert server.calls("Publish") == 0

    assert len(results) == 50
    assert len(await stored(server, 50)) == 50


async def test_closing_while_the_server_is_away_ends_in_time_and_tells_every_caller(server: PubSubServer) -> None:
    errors: list[Exception] = []

    async def publish(pubsub: PubSub) -> None:
        try:
            await pubsub.publish(EVENTS, 1)
        except PubSubUnavailableError as exc:
            errors.append(exc)

    with anyio.fail_after(3):
        async with anyio.create_task_group() as tasks, opened(server, flush_timeout="200ms") as pubsub:
            server.stop()
            for _ in range(10):
                tasks.start_soon(publish, pubsub)
            await anyio.wait_all_tasks_blocked()

    assert len(errors) == 10


async def test_publish_that_is_cancelled_before_it_is_sent_is_not_sent(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(latency="200ms")) as pubsub:
        with anyio.move_on_after(0.02):
            await pubsub.publish(EVENTS, 1)
        await pubsub.publish(EVENTS, 2)

    assert [int(each.data) for each in await stored(server, 1)] == [2]
    assert server.calls("Publish") == 1


async def test_publish_waits_while_too_many_are_pending(server: PubSubServer) -> None:
    async with opened(server, batching=Batching(max_pending=10, max_messages=5)) as pubsub:
        assert len(set(await publish_all(pubsub, range(100)))) == 100
