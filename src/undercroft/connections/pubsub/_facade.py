"""What users hold: topics to publish to, subscriptions to handle, and the server's side of both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar, overload

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.connections.pubsub._counts import PublishCounts
from undercroft.connections.pubsub._errors import (
    PubSubDefinitionError,
    SubscriptionNotFoundError,
    TopicNotFoundError,
)
from undercroft.connections.pubsub._payload import Codec
from undercroft.connections.pubsub._ports import ClaimStore
from undercroft.connections.pubsub._protocol import Engine, EngineInfo
from undercroft.connections.pubsub._provision import Provisioner, ProvisionReport
from undercroft.connections.pubsub._publisher import Batching, Publisher
from undercroft.connections.pubsub._running import Processor
from undercroft.connections.pubsub._subscriber import Subscriber
from undercroft.connections.pubsub._subscription import Subscription
from undercroft.connections.pubsub._topic import Topic
from undercroft.connections.pubsub._tracing import publish_span
from undercroft.logging import Logger
from undercroft.monitoring import semconv

T = TypeVar("T")
D = TypeVar("D", Topic[Any], Subscription[Any, Any])
_log = Logger(module="undercroft.connections.pubsub")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHandle:
    """A message that the server has stored."""

    id: str
    """The server's id."""
    topic: str


class PubSub:
    """Pub/Sub over an engine, with the topics and subscriptions it knows. Opened by `async with`, closed once.

    Opening talks to no server. Closing sends what is still to be sent, within `flush_timeout`.

    Args:
        engine: Moves the messages; opened and closed by this object.
        topics: What may be published to, besides the topics of `subscriptions`. Names are unique.
        subscriptions: What may be handled here.
        claims: Remembers which messages were handled, so that a duplicate is acknowledged and not run. Without one,
            handlers must themselves be idempotent: Pub/Sub delivers at least once.
        bind: Entered around every handler; an `Infra` binds itself this way.
        publish_timeout: How long a publish is tried before it fails.
    """

    def __init__(
        self,
        engine: Engine,
        topics: Iterable[Topic[Any]] = (),
        subscriptions: Iterable[Subscription[Any, Any]] = (),
        *,
        claims: ClaimStore | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        bind: Callable[[], AbstractContextManager[object]] = nullcontext,
        batching: Batching | None = None,
        publish_timeout: Duration = "30s",
        flush_timeout: Duration = "10s",
    ) -> None:
        self._engine = engine
        self._subscriptions = _by_name(subscriptions, Subscription, "subscription")
        owned = [each.topic for each in self._subscriptions.values()]
        self._topics = _by_name([*topics, *owned], Topic, "topic")
        self._codecs = {name: Codec(topic) for name, topic in self._topics.items()}
        self._claims = claims
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._own_ids = map(f"{self._ids()}-{{}}".format, itertools.count(1))
        self._bind = bind
        self._counts = PublishCounts()
        self._publisher = Publisher(
            engine,
            clock=self._clock,
            batching=batching or Batching(),
            timeout_s=to_seconds(publish_timeout, name="publish_timeout"),
            flush_s=to_seconds(flush_timeout, name="flush_timeout"),
        )
        self._parts = AsyncExitStack()

    @property
    def backend(self) -> str:
        """Short name of the engine: `"memory"`, `"google"`."""
        return self._engine.name

    @property
    def topics(self) -> Mapping[str, Topic[Any]]:
        """The topics this object knows, by name."""
        return dict(self._topics)

    @property
    def subscriptions(self) -> Mapping[str, Subscription[Any, Any]]:
        """The subscriptions this object knows, by name."""
        return dict(self._subscriptions)

    @property
    def clock(self) -> Clock:
        """The clock that everything here goes by."""
        return self._clock

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as parts:
            await parts.enter_async_context(self._engine)
            await parts.enter_async_context(self._publisher)
            if self._engine.starts_empty:  # nobody else can have made them, and there is nothing to overwrite
                await self.provision()
            self._parts = parts.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._parts.aclose()

    async def ping(self) -> None:
        """Return when the server answers.

        Raises:
            PubSubUnavailableError: It does not.
            PubSubRefusedError: It does not let us in.
        """
        await self._engine.ping()

    def info(self) -> EngineInfo:
        """Say which server this talks to, and by which client. Pub/Sub itself has no version to ask for."""
        return self._engine.info()

    @overload
    async def publish(
        self,
        topic: Topic[T],
        payload: T | Mapping[str, Any],
        /,
        *,
        ordering_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> MessageHandle: ...

    @overload
    async def publish(
        self,
        topic: str,
        payload: object,
        /,
        *,
        ordering_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> MessageHandle: ...

    async def publish(
        self,
        topic: Topic[Any] | str,
        payload: object,
        /,
        *,
        ordering_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> MessageHandle:
        """Store a message; the server has it when this returns. Publishes at the same time share a request.

        The payload is checked first. The request id and the trace of the work going on travel as attributes. A request
        without an answer is sent again until `publish_timeout`, under one id of ours, by which a claim store knows it.

        Raises:
            TopicNotFoundError: Not declared here, in which case nothing was sent, or not on the server.
            InvalidPayloadError: Payload, key or attributes do not fit; nothing was sent.
            PubSubUnavailableError: No answer in time; the message may be stored all the same.
            PubSubRefusedError: The server said no; nothing is stored.
        """
        codec, own_id = self._codec(topic), next(self._own_ids)
        with publish_span(codec.topic.name) as span:
            message = codec.encode(payload, own_id=own_id, ordering_key=ordering_key, attributes=attributes)
            message_id = await self._publisher.send(codec.topic.name, message)
            if span is not None:
                span.set_attribute(semconv.MESSAGING_MESSAGE_ID, message_id)
        self._counts.published(codec.topic.name)
        _log.info("message published", topic=codec.topic.name, message_id=message_id)
        return MessageHandle(id=message_id, topic=codec.topic.name)

    async def flush(self) -> None:
        """Return when everything that is being published has its answer."""
        await self._publisher.flush()

    def subscriber(
        self,
        subscriptions: Iterable[Subscription[Any, Any] | str] | None = None,
        *,
        grace: Duration = "10s",
        id: str | None = None,  # noqa: A002 - as a worker's
    ) -> Subscriber:
        """Make a subscriber of these subscriptions (default: all this object knows). See `Subscriber`.

        Raises:
            SubscriptionNotFoundError: One is not declared here.
        """
        wanted = self._subscriptions if subscriptions is None else subscriptions
        return Subscriber(
            [self._known(each) for each in wanted],
            engine=self._engine,
            claims=self._claims,
            id=id or self._ids(),
            grace=grace,
            clock=self._clock,
            bind=self._bind,
        )

    def processor(self, name: str) -> Processor:
        """Return what handles the messages of one subscription however they arrive. For push endpoints.

        Raises:
            SubscriptionNotFoundError: It is not declared here.
        """
        return Processor(
            self._known(name),
            engine=self._engine,
            claims=self._claims,
            owner=self._ids(),
            clock=self._clock,
            bind=self._bind,
        )

    async def provision(self, *, dry_run: bool = False) -> ProvisionReport:
        """Give the server the topics and subscriptions declared here, dead-letter topics included.

        Creates what is missing, changes what may be changed, deletes nothing; done twice, the second changes nothing.
        Any number of processes may do it at once. A dead-letter topic that none of our subscriptions reads gets one of
        its own name, so that what goes there is kept.

        Raises:
            PubSubUnavailableError: No answer; what was done stays, and the next call goes on.
            PubSubRefusedError: We may not.
        """
        provisioner = Provisioner(self._engine, is_dry_run=dry_run)
        return await provisioner.run(self._topics, list(self._subscriptions.values()))

    def _codec(self, topic: Topic[Any] | str) -> Codec:
        name = topic.name if isinstance(topic, Topic) else topic
        codec = self._codecs.get(name)
        if codec is None:
            raise TopicNotFoundError(
                f"topic {name!r} is not declared here",
                topic=name,
                near=near_names(name, self._codecs),
                hint=f"add it to topics=[…], or correct the name; known here: {', '.join(self._codecs) or 'none'}",
            )
        if isinstance(topic, Topic) and topic != codec.topic:
            raise PubSubDefinitionError(f"topic {name!r} is declared here with another schema or ordering")
        return codec

    def _known(self, wanted: Subscription[Any, Any] | str) -> Subscription[Any, Any]:
        name = wanted if isinstance(wanted, str) else wanted.name
        if name not in self._subscriptions:
            raise SubscriptionNotFoundError(
                f"subscription {name!r} is not declared here",
                subscription=name,
                near=near_names(name, self._subscriptions),
                hint="add it to subscriptions=[…], or correct the name",
            )
        return self._subscriptions[name]


def _by_name(values: Iterable[D], type_: type[D], what: str) -> dict[str, D]:
    named: dict[str, D] = {}
    for value in values:
        if not isinstance(value, type_):
            raise PubSubDefinitionError(f"{value!r} is not a {what}", hint=f"give what {what} definitions return")
        if named.setdefault(value.name, value) != value:
            raise PubSubDefinitionError(
                f"two {what}s are called {value.name!r}", hint="names are unique; rename one of them"
            )
    return named
