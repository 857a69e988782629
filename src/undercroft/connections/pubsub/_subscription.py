"""Subscriptions: values that say which handler gets a topic's messages, and what happens when it fails."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar, overload

import anyio

from undercroft._core.durations import Duration, to_seconds
from undercroft.connections.pubsub._checks import check_name, check_whole
from undercroft.connections.pubsub._errors import PubSubDefinitionError
from undercroft.connections.pubsub._protocol import SubscriptionSpec
from undercroft.connections.pubsub._topic import Topic

T = TypeVar("T")
R = TypeVar("R")
Handler = Callable[[T], Awaitable[R] | R]

# https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1, RetryPolicy, DeadLetterPolicy, Subscription
MAX_BACKOFF_S = 600.0
ACK_DEADLINE_S = (10.0, 600.0)
DELIVERIES = (5, 100)


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """How long a message that was given back waits: from `min` seconds, doubling up to `max`. At most 600 each.

    Raises:
        PubSubDefinitionError: Out of range, or the smallest is larger than the largest.
    """

    min_s: float
    max_s: float

    def __init__(self, min: Duration = "10s", max: Duration = "600s") -> None:  # noqa: A002 - the field's own words
        low, high = to_seconds(min, name="retry min"), to_seconds(max, name="retry max")
        if not low <= high <= MAX_BACKOFF_S:
            raise PubSubDefinitionError(
                f"retry from {low:g}s to {high:g}s is not valid", hint="0 <= min <= max <= 600 seconds"
            )
        object.__setattr__(self, "min_s", low)
        object.__setattr__(self, "max_s", high)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Everything about a subscription but its name, topic and handler. Checked when it is made."""

    retry: Retry | None = field(default_factory=Retry)
    max_deliveries: int = 5
    dead_letter: str | None = None
    ack_deadline_s: float = 60.0
    concurrency: int = 10
    max_outstanding: int = 100
    max_outstanding_bytes: int = 64 * 1024 * 1024
    timeout_s: float = 3600.0

    def __post_init__(self) -> None:
        check_whole("max_deliveries", self.max_deliveries, *DELIVERIES)
        check_whole("concurrency", self.concurrency, 1, 1000)
        check_whole("max_outstanding", self.max_outstanding, 1, 100_000)
        check_whole("max_outstanding_bytes", self.max_outstanding_bytes, 1, 2**40)
        low, high = ACK_DEADLINE_S
        if not low <= self.ack_deadline_s <= high:
            raise PubSubDefinitionError(f"ack_deadline of {self.ack_deadline_s:g}s is not from {low:g}s to {high:g}s")
        if self.timeout_s <= 0:
            raise PubSubDefinitionError(f"timeout of {self.timeout_s:g}s is not above 0")
        if self.dead_letter is not None:
            check_name(self.dead_letter, what="dead-letter topic")


@dataclass(frozen=True, slots=True)
class Subscription(Generic[T, R]):
    """A subscription's definition. Immutable, made by `subscription`; `await it(payload)` just runs the handler."""

    name: str
    topic: Topic[T]
    handler: Handler[T, R] = field(repr=False)
    options: SubscriptionOptions = field(repr=False, default_factory=SubscriptionOptions)

    async def __call__(self, payload: T) -> R:
        """Run the handler here and now, with no message around it. A plain function runs in a thread.

        Cancellation of a plain function: its thread cannot be stopped; it is left to end by itself.
        """
        call: Callable[[], Any] = partial(self.handler, payload)
        handler = self.handler
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
            result: R = await call()
            return result
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)

    def spec(self) -> SubscriptionSpec:
        """Return the subscription as the server shall have it."""
        options, retry = self.options, self.options.retry
        return SubscriptionSpec(
            name=self.name,
            topic=self.topic.name,
            ack_deadline_s=options.ack_deadline_s,
            retry_min_s=retry.min_s if retry else None,
            retry_max_s=retry.max_s if retry else None,
            dead_letter=options.dead_letter,
            max_deliveries=options.max_deliveries if options.dead_letter else 0,
            has_ordering=self.topic.ordering,
        )


class SubscriptionDecorator(Generic[T]):
    """What `subscription(name, topic, …)` returns: give it the handler."""

    def __init__(self, name: str, topic: Topic[T], options: SubscriptionOptions) -> None:
        self._name = name
        self._topic = topic
        self._options = options

    @overload
    def __call__(self, handler: Callable[[T], Coroutine[Any, Any, R]], /) -> Subscription[T, R]: ...

    @overload
    def __call__(self, handler: Callable[[T], R], /) -> Subscription[T, R]: ...

    def __call__(self, handler: Callable[[T], Any], /) -> Subscription[T, Any]:
        if not callable(handler):
            raise PubSubDefinitionError(f"subscription {self._name!r}: the handler {handler!r} is not a function")
        return Subscription(self._name, self._topic, handler, self._options)


def subscription(
    name: str,
    topic: Topic[T],
    *,
    retry: Retry | None = Retry(),
    max_deliveries: int = 5,
    dead_letter: str | Topic[Any] | None = None,
    ack_deadline: Duration = "60s",
    concurrency: int = 10,
    max_outstanding: int | None = None,
    max_outstanding_bytes: int = 64 * 1024 * 1024,
    timeout: Duration = "1h",
) -> SubscriptionDecorator[T]:
    """Make a handler a subscription: `@subscription("notifications-email", notifications, dead_letter="dead")`.

    The handler takes one argument, the payload, checked by the topic's schema. When it returns, the message is
    acknowledged; when it raises, the message is given back, and comes again.

    Args:
        name: As Pub/Sub calls it, without the project.
        retry: How long a message that was given back waits; `None` is not at all.
        max_deliveries: With a dead-letter topic: after so many deliveries, 5 to 100, the message goes there.
        dead_letter: The topic for messages that cannot be handled. Without one they come again for as long as Pub/Sub
            keeps them (7 days), so give one.
        ack_deadline: How long a message is ours before it comes again, 10 s to 10 min; extended while it is handled.
        concurrency: How many messages are handled at once, per `Subscriber`.
        max_outstanding: How many may be held here, waiting ones included. Default ten times the concurrency.
        max_outstanding_bytes: The same, by size.
        timeout: How long one run of the handler may take.

    Raises:
        PubSubDefinitionError: A value is not valid.
    """
    if not isinstance(topic, Topic):
        raise PubSubDefinitionError(f"subscription {name!r}: {topic!r} is not a topic", hint='give Topic("its-name")')
    options = SubscriptionOptions(
        retry=retry,
        max_deliveries=max_deliveries,
        dead_letter=dead_letter.name if isinstance(dead_letter, Topic) else dead_letter,
        ack_deadline_s=to_seconds(ack_deadline, name="ack_deadline"),
        concurrency=concurrency,
        max_outstanding=10 * concurrency if max_outstanding is None else max_outstanding,
        max_outstanding_bytes=max_outstanding_bytes,
        timeout_s=to_seconds(timeout, name="timeout"),
    )
    return SubscriptionDecorator(check_name(name, what="subscription"), topic, options)
