"""One subscription's messages: waiting, leased, held back. The state machine behind `Broker`."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from undercroft._core.clock import Clock, utc
from undercroft.connections.pubsub._protocol import Delivery, NewMessage, SubscriptionSpec


@dataclass(frozen=True, slots=True)
class Message:
    """A published message. One object, shared by all subscriptions."""

    id: str
    content: NewMessage
    published_at: float

    def as_dead(self, spec: SubscriptionSpec, deliveries: int) -> NewMessage:
        """Return it as Pub/Sub forwards it to a dead-letter topic, with the attributes that say where it is from."""
        added = {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(deliveries),
            "CloudPubSubDeadLetterSourceSubscription": spec.name.rpartition("/")[2],
            "CloudPubSubDeadLetterSourceTopicPublishTime": utc(self.published_at).isoformat(),
        }
        return replace(self.content, attributes={**self.content.attributes, **added})


@dataclass(slots=True)
class _Entry:
    """A message in one subscription."""

    message: Message
    deliveries: int = 0


@dataclass(slots=True)
class _Lane:
    """Messages that keep an order: those of one ordering key."""

    waiting: deque[_Entry] = field(default_factory=deque)
    leased: dict[str, _Lease] = field(default_factory=dict)
    """In order of delivery."""
    due_at: float = 0.0
    consumer: object = None
    """Who has the leased ones."""


@dataclass(slots=True)
class _Lease:
    entry: _Entry
    ends_at: float
    lane: _Lane | None
    consumer: object


class Backlog:
    """One subscription's messages, by their state."""

    def __init__(self, spec: SubscriptionSpec, clock: Clock) -> None:
        self.spec = spec
        self._clock = clock
        self._numbers = itertools.count(1)
        self._ready: deque[_Entry] = deque()
        self._delayed: list[tuple[float, int, _Entry]] = []
        self._lanes: dict[str, _Lane] = {}
        self._leases: dict[str, _Lease] = {}
        self._ends: list[tuple[float, str]] = []
        """Ends of leases, and some that are out of date: a heap."""

    @property
    def leased(self) -> int:
        """How many messages are out."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """How many messages are here: due, or held back for a while."""
        return len(self._ready) + len(self._delayed) + sum(len(lane.waiting) for lane in self._lanes.values())

    def add(self, message: Message) -> None:
        """Put a published message at the end."""
        key = message.content.ordering_key if self.spec.has_ordering else ""
        if key:
            self._lanes.setdefault(key, _Lane()).waiting.append(_Entry(message))
        else:
            self._ready.append(_Entry(message))

    def take(self, *, consumer: object, max_messages: int, max_bytes: int, lease_s: float) -> list[Delivery]:
        """Lease messages that are due; see `Broker.take`."""
        now = self._clock.monotonic()
        taken: list[Delivery] = []
        out, out_bytes = self._out(consumer)
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])
        for queue, lane in self._due(consumer, now):
            while queue and out < max_messages:
                out, out_bytes = out + 1, out_bytes + queue[0].message.content.size_bytes
                if out > 1 and out_bytes > max_bytes:
                    return taken
                taken.append(self._lease(queue.popleft(), lane, consumer, now + lease_s))
        return taken

    def acknowledge(self, ack_id: str) -> None:
        """Forget a leased message."""
        self._pop(ack_id)

    def extend(self, ack_id: str, seconds: float) -> None:
        """Move the end of a lease."""
        lease = self._leases.get(ack_id)
        if lease is not None:
            lease.ends_at = self._clock.monotonic() + seconds
            heapq.heappush(self._ends, (lease.ends_at, ack_id))

    def expire(self) -> list[tuple[Message, int]]:
        """Give back what was not settled in time; return what is dead now, with its deliveries."""
        now = self._clock.monotonic()
        dead: list[tuple[Message, int]] = []
        while self._ends and self._ends[0][0] <= now:
            ends_at, ack_id = heapq.heappop(self._ends)
            lease = self._leases.get(ack_id)
            if lease is not None and lease.ends_at == ends_at:
                dead += self.give_back(ack_id)
        return dead

    def give_back(self, ack_id: str) -> list[tuple[Message, int]]:
        """Let a leased message come again, after its backoff; return it instead if it is dead now."""
        lane = self._leases[ack_id].lane if ack_id in self._leases else None
        later = _after(lane, ack_id) if lane else []
        lease = self._pop(ack_id)
        if lease is None:
            return []
        entry = lease.entry
        if self.spec.dead_letter is not None and entry.deliveries >= self.spec.max_deliveries:
            return [(entry.message, entry.deliveries)]
        due_at = self._clock.monotonic() + self._backoff_s(entry.deliveries)
        if lane is None:
            heapq.heappush(self._delayed, (due_at, next(self._numbers), entry))
        else:
            self._hold_back(lane, entry, later, due_at)
        return []

    def next_due_at(self) -> float | None:
        """Return when something changes by time alone, later than now, or `None`."""
        self._drop_stale_ends()
        now = self._clock.monotonic()
        times: list[float] = [self._ends[0][0]] if self._ends else []
        times += [self._delayed[0][0]] if self._delayed else []
        times += [lane.due_at for lane in self._lanes.values() if lane.waiting and not lane.leased]
        # What is due already waits for something else than time: for room.
        return min((time for time in times if time > now), default=None)

    def _drop_stale_ends(self) -> None:
        while self._ends:
            ends_at, ack_id = self._ends[0]
            lease = self._leases.get(ack_id)
            if lease is not None and lease.ends_at == ends_at:
                return
            heapq.heappop(self._ends)  # settled, or extended since

    def _out(self, consumer: object) -> tuple[int, int]:
        entries = [lease.entry for lease in self._leases.values() if lease.consumer is consumer]
        return len(entries), sum(entry.message.content.size_bytes for entry in entries)

    def _due(self, consumer: object, now: float) -> Iterator[tuple[deque[_Entry], _Lane | None]]:
        yield self._ready, None
        for key, lane in list(self._lanes.items()):
            if not lane.waiting and not lane.leased:
                del self._lanes[key]
            elif lane.due_at <= now and (not lane.leased or lane.consumer is consumer):
                yield lane.waiting, lane

    def _lease(self, entry: _Entry, lane: _Lane | None, consumer: object, ends_at: float) -> Delivery:
        entry.deliveries += 1
        ack_id = f"{entry.message.id}.{next(self._numbers)}"
        lease = self._leases[ack_id] = _Lease(entry, ends_at, lane, consumer)
        heapq.heappush(self._ends, (ends_at, ack_id))
        if lane is not None:
            lane.leased[ack_id] = lease
            lane.consumer = consumer
        content = entry.message.content
        return Delivery(
            ack_id=ack_id,
            id=entry.message.id,
            data=content.data,
            attributes=content.attributes,
            ordering_key=content.ordering_key,
            published_at=entry.message.published_at,
            attempt=entry.deliveries if self.spec.dead_letter is not None else None,
        )

    def _hold_back(self, lane: _Lane, entry: _Entry, later: list[str], due_at: float) -> None:
        """Put `entry` first in its lane again, and those that were delivered after it behind it, uncounted."""
        for ack_id in reversed(later):
            lease = self._pop(ack_id)
            assert lease is not None
            lease.entry.deliveries -= 1
            lane.waiting.appendleft(lease.entry)
        lane.waiting.appendleft(entry)
        lane.due_at = due_at

    def _pop(self, ack_id: str) -> _Lease | None:
        lease = self._leases.pop(ack_id, None)
        if lease is not None and lease.lane is not None:
            del lease.lane.leased[ack_id]
        return lease

    def _backoff_s(self, deliveries: int) -> float:
        if self.spec.retry_min_s is None or self.spec.retry_max_s is None:
            return 0.0
        return min(self.spec.retry_max_s, self.spec.retry_min_s * 2.0 ** min(deliveries - 1, 60))


def _after(lane: _Lane, ack_id: str) -> list[str]:
    ids = list(lane.leased)
    return ids[ids.index(ack_id) + 1 :]
