"""Idempotent consumption: claim, then handle, then done. A failed handler's message is never taken for a duplicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.connections.pubsub import (
    ClaimAnswer,
    ClaimResult,
    ClaimStore,
    MemoryClaims,
    NewMessage,
    PubSub,
    PubSubDefinitionError,
    Retry,
    Topic,
    subscription,
)
from undercroft.connections.pubsub._payload import claim_key
from undercroft.connections.pubsub._protocol import Delivery
from undercroft.connections.pubsub.memory import MemoryPubSub

pytestmark = pytest.mark.anyio

EVENTS: Topic[int] = Topic("events", schema=int)
COPY = {"undercroft-id": "one"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def claims(clock: VirtualClock) -> MemoryClaims:
    return MemoryClaims(clock=clock)


async def settle(clock: VirtualClock, is_so: Callable[[], bool], *, step_s: float = 0.0, steps: int = 200) -> None:
    """Let tasks run, and time pass in steps, until something holds."""
    for _ in range(steps):
        if is_so():
            return
        await clock.advance(step_s)
    raise AssertionError("it never came to hold")


async def test_claim_is_exclusive_until_its_lease_ends(claims: MemoryClaims, clock: VirtualClock) -> None:
    first = await claims.claim("k", owner="a", lease_s=10)
    busy = await claims.claim("k", owner="b", lease_s=10)
    assert (first.state, busy.state, busy.token, busy.lease_until) == ("claimed", "busy", 0, clock.time() + 10)

    await clock.advance(10)
    second = await claims.claim("k", owner="b", lease_s=10)

    assert second.state == "claimed"
    assert second.token > first.token
    assert not await claims.done("k", first.token)
    assert not await claims.release("k", first.token)
    assert await claims.done("k", second.token)


async def test_done_key_stays_done_until_it_is_forgotten(clock: VirtualClock) -> None:
    claims = MemoryClaims(clock=clock, keep="1h")
    claim = await claims.claim("k", owner="a", lease_s=10)
    assert await claims.done("k", claim.token)
    await clock.advance("59m")
    assert (await claims.claim("k", owner="b", lease_s=10)).state == "done"
    await clock.advance("2m")
    assert (await claims.claim("k", owner="b", lease_s=10)).state == "claimed"


async def test_released_key_can_be_claimed_at_once(claims: MemoryClaims) -> None:
    claim = await claims.claim("k", owner="a", lease_s=10)
    assert await claims.release("k", claim.token)
    assert (await claims.claim("k", owner="b", lease_s=10)).state == "claimed"


async def test_owner_renews_its_claim(claims: MemoryClaims, clock: VirtualClock) -> None:
    await claims.claim("k", owner="a", lease_s=10)
    await clock.advance(8)
    renewed = await claims.claim("k", owner="a", lease_s=10)
    await clock.advance(8)
    assert (await claims.claim("k", owner="b", lease_s=10)).state == "busy"
    assert await claims.done("k", renewed.token)


async def test_size_is_bounded_and_held_claims_are_kept(clock: VirtualClock) -> None:
    claims = MemoryClaims(clock=clock, max_keys=10)
    held = await claims.claim("held", owner="a", lease_s=1000)
    for number in range(100):
        claim = await claims.claim(str(number), owner="a", lease_s=10)
        await claims.done(str(number), claim.token)

    assert len(claims) == 10
    assert (await claims.claim("99", owner="b", lease_s=10)).state == "done"
    assert (await claims.claim("held", owner="b", lease_s=10)).state == "busy"
    assert await claims.done("held", held.token)
    with pytest.raises(PubSubDefinitionError):
        MemoryClaims(max_keys=0)


async def test_hundred_contenders_one_claims(claims: MemoryClaims) -> None:
    states: list[str] = []

    async def contend(number: int) -> None:
        states.append((await claims.claim("k", owner=str(number), lease_s=10)).state)

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(contend, number)
    assert sorted(states) == ["busy"] * 99 + ["claimed"]


async def test_b1_message_whose_handler_failed_is_run_again_and_not_taken_for_a_duplicate(
    claims: MemoryClaims, clock: VirtualClock
) -> None:
    ran: list[int] = []

    @subscription("sub", EVENTS, retry=Retry("10s", "600s"), dead_letter="dead")
    async def fails_twice(number: int) -> None:
        ran.append(number)
        if len(ran) < 3:
            raise ConnectionError("mail server is down")

    pubsub = PubSub(MemoryPubSub(clock=clock), subscriptions=[fails_twice], claims=claims, clock=clock)
    async with pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await settle(clock, lambda: subscriber.stats.handled == 1, step_s=1)
        assert (subscriber.stats.failed, subscriber.stats.duplicate) == (2, 0)

    assert ran == [1, 1, 1]


async def test_duplicate_of_a_done_message_is_acknowledged_and_not_run(
    claims: MemoryClaims, clock: VirtualClock
) -> None:
    ran: list[int] = []
    sub = subscription("sub", EVENTS)(ran.append)
    engine = MemoryPubSub(clock=clock)
    async with PubSub(engine, subscriptions=[sub], claims=claims, clock=clock) as pubsub:
        async with pubsub.subscriber() as subscriber:
            await engine.publish("events", [NewMessage(data=b"1", attributes=COPY)])
            await _until(lambda: subscriber.stats.handled == 1)
            await engine.publish("events", [NewMessage(data=b"1", attributes=COPY)] * 3)
            await _until(lambda: subscriber.stats.duplicate == 3)
            await _until(lambda: subscriber.held == 0)
        assert engine._broker.backlogs["sub"].waiting == 0

    assert ran == [1]


async def test_two_subscriptions_of_one_topic_each_handle_a_message(claims: MemoryClaims) -> None:
    ran: list[str] = []
    subs = [subscription(name, EVENTS)(lambda _, name=name: ran.append(name)) for name in ("sub-a", "sub-b")]  # type: ignore[misc]
    async with PubSub(MemoryPubSub(), subscriptions=subs, claims=claims) as pubsub, pubsub.subscriber():
        await pubsub.publish(EVENTS, 1)
        await _until(lambda: len(ran) == 2)
    assert sorted(ran) == ["sub-a", "sub-b"]


async def test_message_that_is_handled_elsewhere_waits_and_is_then_acknowledged(
    claims: MemoryClaims, clock: VirtualClock
) -> None:
    ran: list[int] = []

    @subscription("sub", EVENTS, ack_deadline="10s", concurrency=2)
    async def slow(number: int) -> None:
        ran.append(number)
        await clock.sleep(25)  # longer than a lease: both are renewed

    engine = MemoryPubSub(clock=clock)
    pubsub = PubSub(engine, subscriptions=[slow], claims=claims, clock=clock)
    async with pubsub, pubsub.subscriber() as subscriber:
        await engine.publish("events", [NewMessage(data=b"1", attributes=COPY)] * 2)
        await settle(clock, lambda: subscriber.stats.duplicate == 1, step_s=1)

    assert ran == [1]
    assert subscriber.stats.handled == 1


async def test_claim_of_a_dead_process_ends_with_its_lease(claims: MemoryClaims, clock: VirtualClock) -> None:
    ran: list[int] = []
    sub = subscription("sub", EVENTS, ack_deadline="10s")(ran.append)
    engine = MemoryPubSub(clock=clock)
    await claims.claim("pubsub:sub:one", owner="died", lease_s=10)
    async with PubSub(engine, subscriptions=[sub], claims=claims, clock=clock) as pubsub, pubsub.subscriber():
        await engine.publish("events", [NewMessage(data=b"1", attributes=COPY)])
        await clock.advance(9)
        assert ran == []
        await clock.advance(2)
        await _until(lambda: ran == [1])


async def test_stopped_handler_gives_its_claim_back(claims: MemoryClaims) -> None:
    started = anyio.Event()

    @subscription("sub", EVENTS)
    async def hang(number: int) -> None:
        started.set()
        await anyio.sleep_forever()

    async with PubSub(MemoryPubSub(), subscriptions=[hang], claims=claims) as pubsub:
        async with pubsub.subscriber(grace=0):
            await pubsub.publish(EVENTS, 1)
            await started.wait()
        assert len(claims) == 0


class BrokenClaims:
    """A store that does not answer some calls."""

    def __init__(self, inner: ClaimStore, *broken: str) -> None:
        self.inner = inner
        self.broken = set(broken)

    def _check(self, name: str) -> None:
        if name in self.broken:
            raise ConnectionError("the database is away")

    async def claim(self, key: str, *, owner: str, lease_s: float) -> ClaimAnswer:
        self._check("claim")
        return await self.inner.claim(key, owner=owner, lease_s=lease_s)

    async def done(self, key: str, token: int) -> bool:
        self._check("done")
        return await self.inner.done(key, token)

    async def release(self, key: str, token: int) -> bool:
        self._check("release")
        return await self.inner.release(key, token)


async def test_without_an_answer_of_the_store_nothing_is_run_and_nothing_is_lost(
    claims: MemoryClaims, clock: VirtualClock
) -> None:
    ran: list[int] = []
    store = BrokenClaims(claims, "claim")
    sub = subscription("sub", EVENTS)(ran.append)
    pubsub = PubSub(MemoryPubSub(clock=clock), subscriptions=[sub], claims=store, clock=clock)
    async with pubsub, pubsub.subscriber() as subscriber:
        await pubsub.publish(EVENTS, 1)
        await settle(clock, lambda: subscriber.stats.unclaimed == 2, step_s=1)
        assert ran == []
        store.broken.clear()
        await clock.advance(60)
        await _until(lambda: ran == [1])


async def test_handled_message_is_acknowledged_even_when_done_cannot_be_written(
    claims: MemoryClaims, clock: VirtualClock
) -> None:
    ran: list[int] = []
    sub = subscription("sub", EVENTS)(ran.append)
    engine = MemoryPubSub(clock=clock)
    store = BrokenClaims(claims, "done")
    async with PubSub(engine, subscriptions=[sub], claims=store, clock=clock) as pubsub:
        async with pubsub.subscriber() as subscriber:
            await pubsub.publish(EVENTS, 1)
            for _ in range(200):
                await anyio.sleep(0.005)
                await clock.advance(0.1)
                if subscriber.stats.handled:
                    break
            await _until(lambda: subscriber.held == 0)
        assert engine._broker.backlogs["sub"].leased == 0
    assert ran == [1]


def test_claim_key_fits_a_store_whatever_a_message_carries() -> None:
    def key(**attributes: str) -> str:
        return claim_key(
            "sub",
            Delivery(
                ack_id="", id="9", data=b"", attributes=attributes, ordering_key="", published_at=0.0, attempt=None
            ),
        )

    assert key() == "pubsub:sub:9"
    assert key(**{"undercroft-id": " "}) == "pubsub:sub:9"
    assert key(**{"undercroft-id": "one"}) == "pubsub:sub:one"
    assert len(key(**{"undercroft-id": "x" * 1000})) <= 255
    assert key(**{"undercroft-id": "x" * 1000}) != key(**{"undercroft-id": "x" * 1001})


def test_result_of_any_class_will_do() -> None:
    answer: ClaimAnswer = ClaimResult(state="done", token=0, lease_until=0.0)
    assert answer.state == "done"


async def _until(is_so: Callable[[], Any]) -> None:
    with anyio.fail_after(5):
        while not is_so():
            await anyio.sleep(0.001)


async def test_copies_that_come_together_do_not_wait_for_a_whole_lease(claims: MemoryClaims) -> None:
    ran: list[int] = []

    @subscription("sub", EVENTS, ack_deadline="600s")
    async def quick(number: int) -> None:
        await anyio.sleep(0.01)
        ran.append(number)

    engine = MemoryPubSub()
    async with PubSub(engine, subscriptions=[quick], claims=claims) as pubsub, pubsub.subscriber() as subscriber:
        await engine.publish("events", [NewMessage(data=b"1", attributes=COPY)] * 3)
        await _until(lambda: subscriber.stats.duplicate == 2)
    assert ran == [1]
