"""What the Pub/Sub server of the test kit answers: Google's requests over `Broker`'s state. Threads, one lock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from undercroft.connections.pubsub._broker import Broker
from undercroft.connections.pubsub._protocol import Delivery, NewMessage, SubscriptionSpec
from undercroft.testing._pubsub_values import names_of, problem_of, spec_of, to_received
from undercroft.testing._scaled_clock import ScaledClock

_LONG_POLL_S = 2.0
_LOOK_S = 0.25
_UNBOUNDED = 2**62


class Service:
    """The calls of `google.pubsub.v1.Publisher` and `Subscriber`, one method each. State outlives the sockets."""

    def __init__(self, clock: ScaledClock) -> None:
        self.calls: Counter[str] = Counter()
        """How often each method was called, refused calls included."""
        self._codes: Any = import_module("grpc").StatusCode
        self._types: Any = import_module("google.pubsub_v1.types")
        self._empty: Any = import_module("google.protobuf.empty_pb2").Empty
        self._clock = clock
        self.changed = threading.Condition()
        self.broker = Broker(clock, self._wake)
        self._subscriptions: dict[str, Any] = {}
        self._faults: list[tuple[str, str, bool]] = []
        self._stream_age = 0
        self.is_stopping = False

    def add_faults(self, method: str, count: int, status: str, *, after: bool) -> None:
        """Let the next `count` calls of a method fail; `after` it was done, as if the answer were lost."""
        with self.changed:
            self._faults += [(method, status, after)] * count

    def end_streams(self) -> None:
        """End every stream that is open, as a server does from time to time."""
        with self.changed:
            self._stream_age += 1
            self.changed.notify_all()

    def guarded(self, method: str, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the call of a unary method: counted, with faults, under the lock."""

        def call(request: Any, context: Any) -> Any:
            with self.changed:
                self.calls[method] += 1
                fault = next((each for each in self._faults if each[0] == method), None)
                if fault is not None:
                    self._faults.remove(fault)
                    if fault[2]:
                        answer(request, context)
                    context.abort(self._codes[fault[1]], "a fault that the test asked for")
                return answer(request, context)

        return call

    # Publisher

    def create_topic(self, request: Any, context: Any) -> Any:
        self._check_path(context, request.name, "topics")
        if not self.broker.create_topic(request.name):
            context.abort(self._codes.ALREADY_EXISTS, f"Topic already exists: {request.name}")
        return request

    def get_topic(self, request: Any, context: Any) -> Any:
        self._require_topic(context, request.topic)
        return self._types.Topic.pb()(name=request.topic)

    def list_topics(self, request: Any, _: Any) -> Any:
        found = sorted(name for name in self.broker.topics if name.startswith(f"{request.project}/"))
        names, token = names_of(found, request.page_size, request.page_token)
        made = [self._types.Topic.pb()(name=name) for name in names]
        return self._types.ListTopicsResponse.pb()(topics=made, next_page_token=token)

    def delete_topic(self, request: Any, context: Any) -> Any:
        self._require_topic(context, request.topic)
        self.broker.delete_topic(request.topic)
        return self._empty()

    def publish(self, request: Any, context: Any) -> Any:
        self._require_topic(context, request.topic)
        if not 1 <= len(request.messages) <= 1000:
            context.abort(self._codes.INVALID_ARGUMENT, f"{len(request.messages)} messages are not 1 to 1000")
        if not all(message.data or message.attributes for message in request.messages):
            context.abort(self._codes.INVALID_ARGUMENT, "Some messages in the batch are empty")
        new = [
            NewMessage(data=m.data, attributes=dict(m.attributes), ordering_key=m.ordering_key)
            for m in request.messages
        ]
        return self._types.PublishResponse.pb()(message_ids=self.broker.publish(request.topic, new))

    # Subscriber

    def create_subscription(self, request: Any, context: Any) -> Any:
        self._check_path(context, request.name, "subscriptions")
        self._require_topic(context, request.topic)
        request.ack_deadline_seconds = request.ack_deadline_seconds or 10
        spec = self._checked_spec(request, context)
        if not self.broker.create_subscription(spec):
            context.abort(self._codes.ALREADY_EXISTS, f"Subscription already exists: {request.name}")
        self._subscriptions[request.name] = request
        return request

    def get_subscription(self, request: Any, context: Any) -> Any:
        self._require_subscription(context, request.subscription)
        return self._subscriptions[request.subscription]

    def update_subscription(self, request: Any, context: Any) -> Any:
        wanted = request.subscription
        self._require_subscription(context, wanted.name)
        fresh = type(wanted)()
        fresh.CopyFrom(self._subscriptions[wanted.name])
        for path in request.update_mask.paths:
            if path not in (
                "ack_deadline_seconds",
                "retry_policy",
                "dead_letter_policy",
                "labels",
                "expiration_policy",
            ):
                context.abort(self._codes.INVALID_ARGUMENT, f"Cannot change {path}")
            fresh.ClearField(path)
            if path == "ack_deadline_seconds":
                fresh.ack_deadline_seconds = wanted.ack_deadline_seconds
            elif wanted.HasField(path):
                getattr(fresh, path).CopyFrom(getattr(wanted, path))
        self.broker.update_subscription(self._checked_spec(fresh, context))
        self._subscriptions[wanted.name] = fresh
        self.changed.notify_all()
        return fresh

    def delete_subscription(self, request: Any, context: Any) -> Any:
        self._require_subscription(context, request.subscription)
        self.broker.delete_subscription(request.subscription)
        del self._subscriptions[request.subscription]
        return self._empty()

    def acknowledge(self, request: Any, context: Any) -> Any:
        self._require_subscription(context, request.subscription)
        self.broker.acknowledge(request.subscription, request.ack_ids)
        self.changed.notify_all()
        return self._empty()

    def modify_ack_deadline(self, request: Any, context: Any) -> Any:
        self._require_subscription(context, request.subscription)
        if not 0 <= request.ack_deadline_seconds <= 600:
            context.abort(self._codes.INVALID_ARGUMENT, "ack_deadline_seconds is not 0 to 600")
        self.broker.modify_deadline(request.subscription, request.ack_ids, request.ack_deadline_seconds)
        self.changed.notify_all()
        return self._empty()

    def pull(self, request: Any, context: Any) -> Any:
        self._require_subscription(context, request.subscription)
        wait_s = 0.0 if request.return_immediately else min(_LONG_POLL_S, (context.time_remaining() or 60.0) - 0.2)
        until = self._clock.monotonic() + wait_s * self._clock.speed
        consumer = object()
        while True:
            found = self._take(request.subscription, consumer, request.max_messages or 1, _UNBOUNDED, None)
            if found or self._clock.monotonic() >= until or not self._is_wanted(context):
                return self._types.PullResponse.pb()(received_messages=self._received(found))
            self._wait()

    def streaming_pull(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """Serve one stream. Acknowledgements that come on it are read in a thread of their own."""
        try:
            first = next(requests)
        except Exception:  # the client went away before it said anything
            return
        with self.changed:
            self.calls["StreamingPull"] += 1
            self._require_subscription(context, first.subscription)
            age = self._stream_age
        context.add_callback(self.notify)
        reader = threading.Thread(
            target=self._read, args=(requests, first.subscription), name="pubsub-server reads", daemon=True
        )
        reader.start()
        consumer = object()
        while self._is_wanted(context):
            with self.changed:
                if self._stream_age != age:
                    context.abort(self._codes.UNAVAILABLE, "The service was unable to fulfill your request")
                self._require_subscription(context, first.subscription)
                found = self._take_for_stream(first, consumer)
                if not found:
                    self._wait()
            if found:
                yield self._types.StreamingPullResponse.pb()(received_messages=self._received(found))

    def notify(self) -> None:
        """Let every waiting call look again."""
        with self.changed:
            self.changed.notify_all()

    def _take_for_stream(self, first: Any, consumer: object) -> list[Delivery]:
        return self._take(
            first.subscription,
            consumer,
            first.max_outstanding_messages or _UNBOUNDED,
            first.max_outstanding_bytes or _UNBOUNDED,
            float(first.stream_ack_deadline_seconds) or None,
        )

    def _take(
        self, name: str, consumer: object, max_messages: int, max_bytes: int, lease_s: float | None
    ) -> list[Delivery]:
        return self.broker.take(
            name, consumer=consumer, max_messages=max_messages, max_bytes=max_bytes, lease_s=lease_s
        )

    def _read(self, requests: Iterator[Any], subscription: str) -> None:
        try:
            for request in requests:
                with self.changed:
                    self.broker.acknowledge(subscription, request.ack_ids)
                    changes = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
                    for ack_id, seconds in changes:
                        self.broker.modify_deadline(subscription, [ack_id], seconds)
                    self.changed.notify_all()
        except Exception:  # the stream is over: grpc says so in several ways
            self.notify()

    def _wait(self) -> None:
        """Wait for a change, or until something is due; the lock is held."""
        due_at = self.broker.next_due_at()
        until_s = _LOOK_S if due_at is None else (due_at - self._clock.monotonic()) / self._clock.speed
        self.changed.wait(max(0.001, min(_LOOK_S, until_s)))

    def _wake(self) -> None:
        self.changed.notify_all()  # whoever publishes holds the lock

    def _is_wanted(self, context: Any) -> bool:
        return not self.is_stopping and bool(context.is_active())

    def _received(self, found: Sequence[Delivery]) -> list[Any]:
        return [to_received(self._types, delivery) for delivery in found]

    def _checked_spec(self, subscription: Any, context: Any) -> SubscriptionSpec:
        spec = spec_of(subscription)
        if problem := problem_of(spec):
            context.abort(self._codes.INVALID_ARGUMENT, problem)
        return spec

    def _check_path(self, context: Any, path: str, kind: str) -> None:
        parts = path.split("/")
        if len(parts) != 4 or parts[0] != "projects" or parts[2] != kind or not all(parts):
            context.abort(self._codes.INVALID_ARGUMENT, f"Invalid resource name: {path}")

    def _require_topic(self, context: Any, path: str) -> None:
        if path not in self.broker.topics:
            context.abort(self._codes.NOT_FOUND, f"Resource not found (resource={path.rpartition('/')[2]}).")

    def _require_subscription(self, context: Any, path: str) -> None:
        if path not in self.broker.backlogs:
            context.abort(self._codes.NOT_FOUND, f"Resource not found (resource={path.rpartition('/')[2]}).")
