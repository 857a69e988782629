"""Pub/Sub in this process: the embedded default, and what tests use with a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio
import anyio.lowlevel
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url, UrlError
from undercroft.connections.pubsub._broker import Broker
from undercroft.connections.pubsub._errors import SubscriptionNotFoundError, TopicNotFoundError
from undercroft.connections.pubsub._protocol import Delivery, EngineInfo, NewMessage, SubscriptionSpec

_PROVISION = "await pubsub.provision()"


class _NoOptions(msgspec.Struct, frozen=True):
    """`memory://` has no options."""


class MemoryPubSub:
    """An `Engine` in this process, with a server's rules. What it holds ends with the process: it is not durable.

    Made for one event loop. Opening and closing it keeps what it holds, so that a test can look at it afterwards.
    """

    name = "memory"
    starts_empty = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._changed = anyio.Event()
        self._broker = Broker(self._clock, self._wake)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL", clock: Clock | None = None) -> Self:
        """Make the engine of `memory://`."""
        if url.host or url.path.strip("/"):
            raise UrlError(f"{what}: memory:// takes no host and no path", hint="write memory://")
        url.options_as(_NoOptions, what=what)
        return cls(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def ping(self) -> None:
        """Return at once."""
        await anyio.lowlevel.checkpoint()

    def info(self) -> EngineInfo:
        """Say that it is this process."""
        return EngineInfo(backend=self.name, address="this process")

    async def publish(self, topic: str, messages: Sequence[NewMessage]) -> list[str]:
        """Store messages; see `Engine.publish`."""
        self._require_topic(topic)
        ids = self._broker.publish(topic, messages)
        await anyio.lowlevel.checkpoint()
        return ids

    @asynccontextmanager
    async def open_stream(
        self, subscription: str, *, ack_deadline_s: float, max_messages: int, max_bytes: int
    ) -> AsyncIterator[_Stream]:
        """Stream messages; see `Engine.open_stream`."""
        yield _Stream(self, subscription, lease_s=ack_deadline_s, max_messages=max_messages, max_bytes=max_bytes)

    async def acknowledge(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages; see `Engine.acknowledge`."""
        self._require_subscription(subscription)
        self._broker.acknowledge(subscription, ack_ids)
        self._wake()
        await anyio.lowlevel.checkpoint()

    async def modify_deadline(self, subscription: str, ack_ids: Sequence[str], seconds: float) -> None:
        """Move leases; see `Engine.modify_deadline`."""
        self._require_subscription(subscription)
        self._broker.modify_deadline(subscription, ack_ids, seconds)
        self._wake()
        await anyio.lowlevel.checkpoint()

    async def has_topic(self, name: str) -> bool:
        """Tell whether there is this topic."""
        return name in self._broker.topics

    async def list_topics(self, *, limit: int = 100) -> list[str]:
        """Return names of topics, sorted."""
        return sorted(self._broker.topics)[:limit]

    async def create_topic(self, name: str) -> bool:
        """Create a topic; `False` when it is there."""
        return self._broker.create_topic(name)

    async def get_subscription(self, name: str) -> SubscriptionSpec | None:
        """Return a subscription, or `None`."""
        backlog = self._broker.backlogs.get(name)
        return backlog.spec if backlog else None

    async def create_subscription(self, spec: SubscriptionSpec) -> bool:
        """Create a subscription; `False` when it is there."""
        self._require_topic(spec.topic)
        is_new = self._broker.create_subscription(spec)
        self._wake()
        return is_new

    async def update_subscription(self, spec: SubscriptionSpec) -> None:
        """Change a subscription; see `Engine.update_subscription`."""
        self._require_subscription(spec.name)
        self._broker.update_subscription(spec)
        self._wake()

    async def take(self, stream: _Stream) -> list[Delivery]:
        """Wait for what is due to `stream`."""
        while True:
            self._require_subscription(stream.subscription)
            changed = self._changed  # before looking: a change in between must not be missed
            if found := self._broker.take(
                stream.subscription,
                consumer=stream,
                max_messages=stream.max_messages,
                max_bytes=stream.max_bytes,
                lease_s=stream.lease_s,
            ):
                return found
            due_at = self._broker.next_due_at()
            with self._clock.cancel_after(None if due_at is None else due_at - self._clock.monotonic()):
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _require_topic(self, name: str) -> None:
        if name not in self._broker.topics:
            raise TopicNotFoundError(f"there is no topic {name!r} here", topic=name, hint=_PROVISION)

    def _require_subscription(self, name: str) -> None:
        if name not in self._broker.backlogs:
            raise SubscriptionNotFoundError(
                f"there is no subscription {name!r} here", subscription=name, hint=_PROVISION
            )


class _Stream:
    """A stream of the memory engine."""

    def __init__(
        self, engine: MemoryPubSub, subscription: str, *, lease_s: float, max_messages: int, max_bytes: int
    ) -> None:
        self.subscription = subscription
        self.lease_s = lease_s
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self._engine = engine

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages; see `DeliveryStream.receive`."""
        await anyio.lowlevel.checkpoint()
        return await self._engine.take(self)
