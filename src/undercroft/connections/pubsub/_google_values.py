"""Our values as Google's, and back. Imported by `google.py` only."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from undercroft.connections.pubsub._google_channel import require
from undercroft.connections.pubsub._protocol import Delivery, NewMessage, SubscriptionSpec


def client_version() -> str:
    """Return the version of Google's client."""
    return version("google-cloud-pubsub")


def publish_request(path: str, messages: Sequence[NewMessage]) -> Any:
    """Return the request. Made of plain protobuf inside: Google's friendlier types cost several times that."""
    types: Any = require("google.pubsub_v1.types")
    raw, message = types.PublishRequest.pb(), types.PubsubMessage.pb()
    made = [message(data=new.data, attributes=new.attributes, ordering_key=new.ordering_key) for new in messages]
    return types.PublishRequest.wrap(raw(topic=path, messages=made))


def stream_request(path: str, *, ack_deadline_s: float, max_messages: int, max_bytes: int, client_id: str) -> Any:
    """Return the first request of a stream."""
    types: Any = require("google.pubsub_v1.types")
    return types.StreamingPullRequest(
        subscription=path,
        stream_ack_deadline_seconds=round(ack_deadline_s),
        max_outstanding_messages=max_messages,
        max_outstanding_bytes=max_bytes,
        client_id=client_id,
    )


def deliveries_of(answer: Any) -> list[Delivery]:
    """Return the messages of a streaming pull's answer."""
    return [_delivery_of(received) for received in type(answer).pb(answer).received_messages]


def subscription_of(spec: SubscriptionSpec, project: str) -> dict[str, Any]:
    """Return a subscription for the server. It never expires: a quiet month must not delete it."""
    wanted: dict[str, Any] = {
        "name": f"projects/{project}/subscriptions/{spec.name}",
        "topic": f"projects/{project}/topics/{spec.topic}",
        "ack_deadline_seconds": round(spec.ack_deadline_s),
        "enable_message_ordering": spec.has_ordering,
        "expiration_policy": {},
    }
    if spec.retry_min_s is not None:
        wanted["retry_policy"] = {
            "minimum_backoff": _duration(spec.retry_min_s),
            "maximum_backoff": _duration(spec.retry_max_s or spec.retry_min_s),
        }
    if spec.dead_letter is not None:
        wanted["dead_letter_policy"] = {
            "dead_letter_topic": f"projects/{project}/topics/{spec.dead_letter}",
            "max_delivery_attempts": spec.max_deliveries,
        }
    return wanted


def spec_of(subscription: Any) -> SubscriptionSpec:
    """Return a subscription of the server in our words."""
    raw = type(subscription).pb(subscription)
    has_retry, has_dead_letter = raw.HasField("retry_policy"), raw.HasField("dead_letter_policy")
    return SubscriptionSpec(
        name=_short(raw.name),
        topic=_short(raw.topic),
        ack_deadline_s=float(raw.ack_deadline_seconds),
        retry_min_s=_seconds(raw.retry_policy.minimum_backoff) if has_retry else None,
        retry_max_s=_seconds(raw.retry_policy.maximum_backoff) if has_retry else None,
        dead_letter=_short(raw.dead_letter_policy.dead_letter_topic) if has_dead_letter else None,
        max_deliveries=raw.dead_letter_policy.max_delivery_attempts if has_dead_letter else 0,
        has_ordering=raw.enable_message_ordering,
    )


def _delivery_of(received: Any) -> Delivery:
    message = received.message
    return Delivery(
        ack_id=received.ack_id,
        id=message.message_id,
        data=message.data,
        attributes=dict(message.attributes),
        ordering_key=message.ordering_key,
        published_at=_seconds(message.publish_time),
        attempt=received.delivery_attempt or None,
    )


def _duration(seconds: float) -> dict[str, int]:
    whole = int(seconds)
    return {"seconds": whole, "nanos": round((seconds - whole) * 1e9)}


def _seconds(value: Any) -> float:
    return float(value.seconds + value.nanos / 1e9)


def _short(path: str) -> str:
    return path.rpartition("/")[2]
