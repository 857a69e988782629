"""Pub/Sub's public types, as a type checker sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from undercroft.connections.pubsub import (
    ClaimStore,
    MemoryClaims,
    MessageHandle,
    Oidc,
    ProvisionReport,
    PubSub,
    PushEndpoint,
    PushResponse,
    Retry,
    Subscriber,
    Subscription,
    Topic,
    create_pubsub,
    current_message,
    subscription,
)
from undercroft.connections.sql import SqlClaims


@dataclass
class Created:
    user_id: int


CREATED = Topic("notifications-created", schema=Created)
ANYTHING = Topic("events")
RAW = Topic("raw", schema=bytes, ordering=True)

assert_type(CREATED, Topic[Created])
assert_type(ANYTHING, Topic[Any])
assert_type(RAW, Topic[bytes])


@subscription("notifications-email", CREATED, retry=Retry("10s", "600s"), dead_letter=ANYTHING)
async def email(created: Created) -> str:
    return str(created.user_id)


@subscription("raw-copy", RAW)
def copy(data: bytes) -> int:
    return len(data)


assert_type(email, Subscription[Created, str])
assert_type(copy, Subscription[bytes, int])


@subscription("notifications-sms", CREATED)  # E: arg-type
async def wrong(created: int) -> None: ...


async def publishing(pubsub: PubSub) -> None:
    assert_type(await pubsub.publish(CREATED, Created(1)), MessageHandle)
    assert_type(await pubsub.publish(CREATED, {"user_id": 1}, attributes={"a": "b"}), MessageHandle)
    assert_type(await pubsub.publish("by-name", {"user_id": 1}, ordering_key="k"), MessageHandle)
    await pubsub.publish(ANYTHING, 5)
    await pubsub.publish(RAW, "text")  # E: misc
    await pubsub.publish(CREATED, 5)  # E: misc
    await pubsub.publish(CREATED, Created(1), orderingkey="k")  # E: call-overload


async def consuming(pubsub: PubSub) -> None:
    assert_type(await email(Created(1)), str)
    assert_type(await copy(b""), int)
    await email(5)  # E: arg-type
    assert_type(pubsub.subscriber([email, "raw-copy"]), Subscriber)
    async with pubsub.subscriber() as subscriber:
        assert_type(subscriber, Subscriber)
        assert_type(subscriber.stats.handled, int)
    assert_type(current_message().attempt, int | None)
    assert_type(await pubsub.provision(dry_run=True), ProvisionReport)
    await pubsub.provision(True)  # E: call-arg


async def pushing(pubsub: PubSub) -> None:
    endpoint = PushEndpoint(pubsub, token="t", oidc=Oidc(audience="a", service_account="b"))
    assert_type(await endpoint.handle(b"", {}), PushResponse)
    Oidc(audience="a")  # E: call-arg


async def stores(claims: SqlClaims) -> None:
    memory: ClaimStore = MemoryClaims()
    sql: ClaimStore = claims
    async with create_pubsub("memory://", [CREATED], [email], claims=sql) as pubsub:
        assert_type(pubsub, PubSub)
    create_pubsub("memory://", claims=dict())  # E: arg-type
