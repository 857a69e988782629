"""Google Pub/Sub, and its emulator, through Google's asyncio clients."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import anyio
import msgspec

from undercroft._core.clock import Clock
from undercroft._core.errors import NotOpenError
from undercroft._core.url import Url, UrlError
from undercroft.connections.pubsub import _google_values as values
from undercroft.connections.pubsub._errors import PubSubRefusedError, SubscriptionNotFoundError, TopicNotFoundError
from undercroft.connections.pubsub._google_channel import ENDPOINT, Options, open_channel, require
from undercroft.connections.pubsub._google_errors import translated
from undercroft.connections.pubsub._google_stream import GoogleStream
from undercroft.connections.pubsub._protocol import EngineInfo, NewMessage, SubscriptionSpec

_EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"


class GooglePubSub:
    """An `Engine` on Google Pub/Sub. One connection, made on first use; lives inside one event loop.

    Credentials are Google's application default ones. With an emulator there are none, and no TLS.

    Raises:
        MissingExtraError: Google's client is not installed.
    """

    name = "google"
    starts_empty = False

    def __init__(self, project: str, options: Options | None = None) -> None:
        require("grpc")
        require("google.pubsub_v1")
        self._project = project
        self._options = options or Options()
        self._publisher: Any = None
        self._subscriber: Any = None
        self._open = AsyncExitStack()

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL", clock: Clock | None = None) -> Self:  # noqa: ARG003 - the server's
        """Make the engine of `pubsub://project?emulator=host:port`.

        Without the option, `PUBSUB_EMULATOR_HOST` names the emulator, as for all of Google's clients: where it is set,
        nobody expects to write to the real project.
        """
        if not url.host or url.path.strip("/") or url.user or url.port:
            raise UrlError(f"{what}: pubsub:// needs a project and nothing else", hint="write pubsub://my-project")
        options = url.options_as(Options, what=what)
        emulator = options.emulator or os.environ.get(_EMULATOR_VARIABLE) or None
        return cls(url.host, msgspec.structs.replace(options, emulator=emulator))

    async def __aenter__(self) -> Self:
        v1 = require("google.pubsub_v1")
        publisher = require("google.pubsub_v1.services.publisher.transports").PublisherGrpcAsyncIOTransport
        subscriber = require("google.pubsub_v1.services.subscriber.transports").SubscriberGrpcAsyncIOTransport
        with translated("connect"):
            channel = await open_channel(self._options)
        self._open.push_async_callback(channel.close)
        self._publisher = v1.PublisherAsyncClient(transport=publisher(channel=channel))
        self._subscriber = v1.SubscriberAsyncClient(transport=subscriber(channel=channel))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._publisher = self._subscriber = None
        await self._open.aclose()

    async def ping(self) -> None:
        """List one topic: the least that shows project and credentials to be right."""
        await self.list_topics(limit=1)

    def info(self) -> EngineInfo:
        """Say which server and client these are."""
        return EngineInfo(
            backend=self.name,
            address=self._options.emulator or ENDPOINT,
            project=self._project,
            is_emulator=self._options.emulator is not None,
            client_version=values.client_version(),
        )

    async def publish(self, topic: str, messages: Sequence[NewMessage]) -> list[str]:
        """Store messages; see `Engine.publish`."""
        request = values.publish_request(self._topic(topic), messages)
        with translated(f"publish to {topic!r}", topic=topic):
            answer = await self._publishing.publish(request, **self._once)
        return list(answer.message_ids)

    @asynccontextmanager
    async def open_stream(
        self, subscription: str, *, ack_deadline_s: float, max_messages: int, max_bytes: int
    ) -> AsyncIterator[GoogleStream]:
        """Stream messages; see `Engine.open_stream`."""
        first = values.stream_request(
            self._subscription(subscription),
            ack_deadline_s=ack_deadline_s,
            max_messages=max_messages,
            max_bytes=max_bytes,
            client_id=str(uuid.uuid4()),
        )
        # The transport's own method: the client's waits for the server's first words, which come with a message.
        with translated(f"stream {subscription!r}"):
            call = self._subscribing.transport.streaming_pull(
                metadata=(("x-goog-request-params", f"subscription={first.subscription}"),)
            )
        stream = GoogleStream(call, subscription, first)
        problem: Exception | None = None
        try:
            async with anyio.create_task_group() as care:
                care.start_soon(stream.keep_alive, name=f"pubsub stream {subscription}")
                try:
                    yield stream
                except Exception as exc:
                    problem = exc
                care.cancel_scope.cancel()
        finally:
            call.cancel()
        if problem is not None:
            raise problem

    async def acknowledge(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages; see `Engine.acknowledge`."""
        request = {"subscription": self._subscription(subscription), "ack_ids": ack_ids}
        with translated(f"acknowledge in {subscription!r}", subscription=subscription):
            await self._subscribing.acknowledge(request, **self._once)

    async def modify_deadline(self, subscription: str, ack_ids: Sequence[str], seconds: float) -> None:
        """Move leases, by whole seconds; see `Engine.modify_deadline`."""
        request = {
            "subscription": self._subscription(subscription),
            "ack_ids": ack_ids,
            "ack_deadline_seconds": math.ceil(seconds),
        }
        with translated(f"move deadlines in {subscription!r}", subscription=subscription):
            await self._subscribing.modify_ack_deadline(request, **self._once)

    async def has_topic(self, name: str) -> bool:
        """Tell whether the server has this topic."""
        try:
            with translated(f"look for topic {name!r}", topic=name):
                await self._publishing.get_topic({"topic": self._topic(name)}, **self._once)
        except TopicNotFoundError:
            return False
        return True

    async def list_topics(self, *, limit: int = 100) -> list[str]:
        """Return names of topics, sorted."""
        request = {"project": f"projects/{self._project}", "page_size": min(limit, 1000)}
        names: list[str] = []
        with translated("list topics"):
            async for topic in await self._publishing.list_topics(request, **self._once):
                names.append(topic.name.rpartition("/")[2])
                if len(names) >= limit:
                    break
        return sorted(names)

    async def create_topic(self, name: str) -> bool:
        """Create a topic; `False` when it is there."""
        try:
            with translated(f"create topic {name!r}"):
                await self._publishing.create_topic({"name": self._topic(name)}, **self._once)
        except PubSubRefusedError as exc:
            return _is_there(exc)
        return True

    async def get_subscription(self, name: str) -> SubscriptionSpec | None:
        """Return a subscription as the server has it, or `None`."""
        try:
            with translated(f"look for subscription {name!r}", subscription=name):
                request = {"subscription": self._subscription(name)}
                return values.spec_of(await self._subscribing.get_subscription(request, **self._once))
        except SubscriptionNotFoundError:
            return None

    async def create_subscription(self, spec: SubscriptionSpec) -> bool:
        """Create a subscription that never expires; `False` when it is there."""
        request = values.subscription_of(spec, self._project)
        try:
            with translated(f"create subscription {spec.name!r}", topic=spec.topic):
                await self._subscribing.create_subscription(request, **self._once)
        except PubSubRefusedError as exc:
            return _is_there(exc)
        return True

    async def update_subscription(self, spec: SubscriptionSpec) -> None:
        """Change a subscription; see `Engine.update_subscription`."""
        request = {
            "subscription": values.subscription_of(spec, self._project),
            "update_mask": {"paths": ["ack_deadline_seconds", "retry_policy", "dead_letter_policy"]},
        }
        with translated(f"update subscription {spec.name!r}", subscription=spec.name):
            await self._subscribing.update_subscription(request, **self._once)

    @property
    def _publishing(self) -> Any:
        return self._opened(self._publisher)

    @property
    def _subscribing(self) -> Any:
        return self._opened(self._subscriber)

    @property
    def _once(self) -> dict[str, Any]:
        # Without this, Google's client repeats some calls by itself, for up to ten minutes.
        return {"retry": None, "timeout": self._options.call_timeout_s}

    def _opened(self, client: Any) -> Any:
        if client is None:
            raise NotOpenError("this Pub/Sub engine is not open", hint="async with PubSub(engine, …) as pubsub: …")
        return client

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/{name}"

    def _subscription(self, name: str) -> str:
        return f"projects/{self._project}/subscriptions/{name}"


def _is_there(exc: PubSubRefusedError) -> bool:
    """Return `False`, for "it was not created", when it was there already; raise anything else."""
    if exc.status == "ALREADY_EXISTS":
        return False
    raise exc
