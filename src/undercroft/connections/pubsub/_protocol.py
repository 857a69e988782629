"""What a Pub/Sub engine promises: all that an engine's author must read.

An engine stores messages by topic and hands a copy to each of the topic's subscriptions. It knows nothing of Python
functions, schemas or claims: the subscriber decides, the engine delivers. Names are short (`orders`), without project.

Delivery is at least once. A delivered message is *leased*: its `ack_id` is good until the ack deadline, which
`modify_deadline` moves. A message that is neither acknowledged nor extended in time, or that is given back by a
deadline of 0, comes again: after a backoff from `Retry.min_s`, doubling up to `Retry.max_s`, when the subscription has
a retry policy, at once when it has none. With a dead-letter topic, a message that was delivered `max_deliveries` times
without being acknowledged is published there instead, and leaves the subscription. An `ack_id` that is not current (any
more) is ignored.

With `has_ordering`, messages of one ordering key come in the order of publishing; when one comes again, those after it
come again too. One stream may be given several messages of a key at once, in order; no other stream gets any of that
key meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to publish."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    """Empty: no order."""

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes on the wire."""
        return len(self.data) + sum(len(k) + len(v) for k, v in self.attributes.items()) + len(self.ordering_key) + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message that was handed to us, with its lease."""

    ack_id: str
    """Empty for one that was pushed: it is acknowledged by the answer."""
    id: str
    """The server's id of the message; the same at each delivery."""
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    published_at: float
    """Epoch seconds, by the server's clock."""
    attempt: int | None
    """Deliveries so far, this one included; `None` when the server does not count: without a dead-letter topic."""

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes on the wire."""
        return len(self.data) + sum(len(k) + len(v) for k, v in self.attributes.items()) + len(self.ordering_key) + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSpec:
    """A subscription as a server has it, or as it shall be."""

    name: str
    topic: str
    ack_deadline_s: float = 60.0
    retry_min_s: float | None = None
    """`None`, as `retry_max_s` then is: no retry policy, messages come again at once."""
    retry_max_s: float | None = None
    dead_letter: str | None = None
    """Name of a topic."""
    max_deliveries: int = 0
    """0 without a dead-letter topic."""
    has_ordering: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What answers behind an engine."""

    backend: str
    """`google` or `memory`."""
    address: str
    """Host and port; `this process` for the memory engine."""
    project: str | None = None
    is_emulator: bool = False
    client_version: str | None = None


class DeliveryStream(Protocol):
    """An open stream of one subscription's messages. Used by one task; `Engine` settles what it gives."""

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages and return one or more.

        Cancellation: what was received and not returned comes again when its deadline ends.

        Raises:
            PubSubUnavailableError: The stream broke; open another.
            SubscriptionNotFoundError: The subscription is not there (any more).
        """


class Engine(Protocol):
    """Moves messages. Opened by `async with`, without talking to the server yet; closed once.

    Every method that talks to the server has a deadline, and raises `PubSubUnavailableError` when no answer came,
    `PubSubRefusedError` when the answer was no. Engines do not retry.
    """

    @property
    def name(self) -> str:
        """Short name of the engine: `memory`, `google`."""

    @property
    def starts_empty(self) -> bool:
        """Whether it has no topics when it is opened: nobody else can have made them."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the server answers."""

    def info(self) -> EngineInfo:
        """Say what answers; talks to nobody."""

    async def publish(self, topic: str, messages: Sequence[NewMessage]) -> list[str]:
        """Store all of 1 to 1000 messages, or none, in order; return the server's id of each.

        Raises:
            TopicNotFoundError: The server has no such topic.
        """

    def open_stream(
        self, subscription: str, *, ack_deadline_s: float, max_messages: int, max_bytes: int
    ) -> AbstractAsyncContextManager[DeliveryStream]:
        """Stream a subscription's messages for the block, each leased for `ack_deadline_s`.

        The server holds back while `max_messages` or `max_bytes` are out on this stream and not settled; one message
        is let through however large it is. Leaving the block settles nothing: leases run on.
        """

    async def acknowledge(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages for good."""

    async def modify_deadline(self, subscription: str, ack_ids: Sequence[str], seconds: float) -> None:
        """Let the leases end `seconds` from now, 0 to 600; 0 gives the messages back."""

    async def has_topic(self, name: str) -> bool:
        """Tell whether the server has this topic."""

    async def list_topics(self, *, limit: int = 100) -> list[str]:
        """Return names of topics, sorted."""

    async def create_topic(self, name: str) -> bool:
        """Create a topic; `False` when it is there already, whoever made it."""

    async def get_subscription(self, name: str) -> SubscriptionSpec | None:
        """Return a subscription as the server has it, or `None`."""

    async def create_subscription(self, spec: SubscriptionSpec) -> bool:
        """Create a subscription that never expires; `False` when it is there already, whoever made it.

        Raises:
            TopicNotFoundError: The server has no such topic.
        """

    async def update_subscription(self, spec: SubscriptionSpec) -> None:
        """Change ack deadline, retry policy and dead-letter topic to those of `spec`; nothing else can be changed."""
