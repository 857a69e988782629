"""Google Pub/Sub: topics and subscriptions as values, publishing in batches, handlers that lose no message.

    from undercroft.connections.pubsub import MemoryClaims, Topic, create_pubsub, subscription

    orders = Topic("orders-paid", schema=OrderPaid)

    @subscription("orders-email", orders, dead_letter="orders-dead", max_deliveries=5)
    async def send_mail(order: OrderPaid) -> None:
        ...

    async with create_pubsub("pubsub://my-project", subscriptions=[send_mail], claims=MemoryClaims()) as pubsub:
        await pubsub.provision()                                    # topics, subscriptions, retry, dead letters
        await pubsub.publish(orders, OrderPaid(number=7))           # checked; stored when this returns
        async with pubsub.subscriber():                             # pulls, handles, acknowledges
            ...

`memory://` runs the same in this process. Delivery is at least once; with a claim store, a message that was handled is
acknowledged and not handled again. `PushEndpoint` takes the same messages over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from undercroft._core.clock import Clock
from undercroft._core.url import Url
from undercroft.connections.pubsub._claims import MemoryClaims
from undercroft.connections.pubsub._errors import (
    HandlerTimeoutError,
    InvalidPayloadError,
    NotInMessageError,
    PubSubAuthError,
    PubSubDefinitionError,
    PubSubError,
    PubSubRefusedError,
    PubSubUnavailableError,
    PushClosedError,
    PushEnvelopeError,
    PushUnauthorizedError,
    SubscriptionNotFoundError,
    TopicNotFoundError,
    UndecodableMessageError,
)
from undercroft.connections.pubsub._facade import MessageHandle, PubSub
from undercroft.connections.pubsub._oidc import Oidc
from undercroft.connections.pubsub._ports import ClaimAnswer, ClaimResult, ClaimStore
from undercroft.connections.pubsub._protocol import (
    Delivery,
    DeliveryStream,
    Engine,
    EngineInfo,
    NewMessage,
    SubscriptionSpec,
)
from undercroft.connections.pubsub._provision import Action, Change, ProvisionReport
from undercroft.connections.pubsub._publisher import Batching
from undercroft.connections.pubsub._push import PushEndpoint, PushResponse
from undercroft.connections.pubsub._running import MessageContext, current_message
from undercroft.connections.pubsub._schemes import SCHEMES, open_engine
from undercroft.connections.pubsub._subscriber import Subscriber, SubscriberStats
from undercroft.connections.pubsub._subscription import Retry, Subscription, SubscriptionOptions, subscription
from undercroft.connections.pubsub._topic import Topic

__all__ = [
    "SCHEMES",
    "Action",
    "Batching",
    "Change",
    "ClaimAnswer",
    "ClaimResult",
    "ClaimStore",
    "Delivery",
    "DeliveryStream",
    "Engine",
    "EngineInfo",
    "HandlerTimeoutError",
    "InvalidPayloadError",
    "MemoryClaims",
    "MessageContext",
    "MessageHandle",
    "NewMessage",
    "NotInMessageError",
    "Oidc",
    "ProvisionReport",
    "PubSub",
    "PubSubAuthError",
    "PubSubDefinitionError",
    "PubSubError",
    "PubSubRefusedError",
    "PubSubUnavailableError",
    "PushClosedError",
    "PushEndpoint",
    "PushEnvelopeError",
    "PushResponse",
    "PushUnauthorizedError",
    "Retry",
    "Subscriber",
    "SubscriberStats",
    "Subscription",
    "SubscriptionNotFoundError",
    "SubscriptionOptions",
    "SubscriptionSpec",
    "Topic",
    "TopicNotFoundError",
    "UndecodableMessageError",
    "create_pubsub",
    "current_message",
    "open_engine",
    "subscription",
]


def create_pubsub(
    url: str,
    topics: Iterable[Topic[Any]] = (),
    subscriptions: Iterable[Subscription[Any, Any]] = (),
    *,
    claims: ClaimStore | None = None,
    clock: Clock | None = None,
    bind: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> PubSub:
    """Make a `PubSub` without an `Infra`: `async with create_pubsub("memory://", topics=[…]) as pubsub:`."""
    engine = open_engine(Url.parse(url, what="pubsub"), what="pubsub", clock=clock)
    return PubSub(engine, topics, subscriptions, claims=claims, clock=clock, bind=bind)
