"""What a Pub/Sub server keeps: topics, subscriptions, messages, leases. Plain state, no I/O and no waiting.

The memory engine runs it in the event loop, the test kit's server behind gRPC with a lock around it. Nothing here is
safe to call from several threads at once. Time is the clock's monotonic time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from undercroft._core.clock import Clock
from undercroft.connections.pubsub._backlog import Backlog, Message
from undercroft.connections.pubsub._protocol import Delivery, NewMessage, SubscriptionSpec

DELETED_TOPIC = "_deleted-topic_"


class Broker:
    """Topics and what their subscriptions have yet to deliver. Names are the caller's: short or whole paths."""

    def __init__(self, clock: Clock, on_publish: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._on_publish = on_publish
        self._ids = itertools.count(1)
        self.topics: dict[str, set[str]] = {}
        """Topic → its subscriptions."""
        self.backlogs: dict[str, Backlog] = {}

    def create_topic(self, name: str) -> bool:
        """Create a topic; `False` when it is there."""
        if name in self.topics:
            return False
        self.topics[name] = set()
        return True

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep what they have, and get no more."""
        for subscription in self.topics.pop(name, ()):
            backlog = self.backlogs[subscription]
            backlog.spec = replace(backlog.spec, topic=DELETED_TOPIC)

    def create_subscription(self, spec: SubscriptionSpec) -> bool:
        """Create a subscription of a topic that exists; `False` when it is there."""
        if spec.name in self.backlogs:
            return False
        self.topics[spec.topic].add(spec.name)
        self.backlogs[spec.name] = Backlog(spec, self._clock)
        return True

    def update_subscription(self, spec: SubscriptionSpec) -> None:
        """Change what may be changed; see `Engine.update_subscription`."""
        backlog = self.backlogs[spec.name]
        backlog.spec = replace(spec, topic=backlog.spec.topic, has_ordering=backlog.spec.has_ordering)

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription and its messages."""
        backlog = self.backlogs.pop(name, None)
        if backlog is not None:
            self.topics.get(backlog.spec.topic, set()).discard(name)

    def publish(self, topic: str, messages: Iterable[NewMessage]) -> list[str]:
        """Give each subscription of the topic a copy; return the ids."""
        now, ids = self._clock.time(), []
        for new in messages:
            message = Message(str(next(self._ids)), new, now)
            ids.append(message.id)
            for name in self.topics[topic]:
                self.backlogs[name].add(message)
        self._on_publish()
        return ids

    def take(
        self, subscription: str, *, consumer: object, max_messages: int, max_bytes: int, lease_s: float | None = None
    ) -> list[Delivery]:
        """Lease messages that are due to `consumer`.

        Args:
            max_messages: How many it may have at once, those it has already included.
            max_bytes: The same, by size; one message is let through however large it is.
            lease_s: For how long; `None` is the subscription's ack deadline.
        """
        self.expire()
        backlog = self.backlogs[subscription]
        lease = backlog.spec.ack_deadline_s if lease_s is None else lease_s
        return backlog.take(consumer=consumer, max_messages=max_messages, max_bytes=max_bytes, lease_s=lease)

    def acknowledge(self, subscription: str, ack_ids: Iterable[str]) -> None:
        """Settle messages; ids that are not current are ignored."""
        self.expire()
        for ack_id in ack_ids:
            self.backlogs[subscription].acknowledge(ack_id)

    def modify_deadline(self, subscription: str, ack_ids: Iterable[str], seconds: float) -> None:
        """Move leases; 0 gives the messages back."""
        self.expire()
        backlog = self.backlogs[subscription]
        if seconds > 0:
            for ack_id in ack_ids:
                backlog.extend(ack_id, seconds)
        else:
            self._bury(backlog, [dead for ack_id in ack_ids for dead in backlog.give_back(ack_id)])

    def expire(self) -> None:
        """Give back what was not settled in time, in every subscription: one may be another's dead-letter topic."""
        for backlog in list(self.backlogs.values()):
            self._bury(backlog, backlog.expire())

    def next_due_at(self) -> float | None:
        """Return when something changes by time alone, monotonic and later than now, or `None`."""
        times = [backlog.next_due_at() for backlog in self.backlogs.values()]
        return min((time for time in times if time is not None), default=None)

    def _bury(self, backlog: Backlog, dead: Sequence[tuple[Message, int]]) -> None:
        topic = backlog.spec.dead_letter
        if topic is not None and topic in self.topics:
            self.publish(topic, [message.as_dead(backlog.spec, deliveries) for message, deliveries in dead])
            return
        for message, _ in dead:  # there is no such topic (any more): nothing is dropped for that
            backlog.add(message)
