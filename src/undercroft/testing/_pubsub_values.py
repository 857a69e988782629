"""Google's Pub/Sub values in the words of `Broker`, for the test kit's server. Names are whole paths here."""

from __future__ import annotations

from typing import Any

from undercroft.connections.pubsub._protocol import Delivery, SubscriptionSpec


def spec_of(raw: Any) -> SubscriptionSpec:
    """Return a protobuf `Subscription` as a spec."""
    has_retry, has_dead_letter = raw.HasField("retry_policy"), raw.HasField("dead_letter_policy")
    retry, dead = raw.retry_policy, raw.dead_letter_policy
    return SubscriptionSpec(
        name=raw.name,
        topic=raw.topic,
        ack_deadline_s=float(raw.ack_deadline_seconds),
        retry_min_s=_seconds(retry.minimum_backoff, retry.HasField("minimum_backoff"), 10.0) if has_retry else None,
        retry_max_s=_seconds(retry.maximum_backoff, retry.HasField("maximum_backoff"), 600.0) if has_retry else None,
        dead_letter=dead.dead_letter_topic if has_dead_letter else None,
        max_deliveries=(dead.max_delivery_attempts or 5) if has_dead_letter else 0,
        has_ordering=raw.enable_message_ordering,
    )


def problem_of(spec: SubscriptionSpec) -> str | None:
    """Return why Google's server would refuse a subscription, or `None`."""
    if not 10 <= spec.ack_deadline_s <= 600:
        return "ack_deadline_seconds is not 10 to 600"
    if spec.dead_letter is not None and not 5 <= spec.max_deliveries <= 100:
        return "max_delivery_attempts is not 5 to 100"
    low, high = spec.retry_min_s or 0.0, spec.retry_max_s or 0.0
    if not 0 <= low <= high <= 600:
        return "retry_policy is not 0 <= minimum <= maximum <= 600 seconds"
    return None


def to_received(types: Any, delivery: Delivery) -> Any:
    """Return a delivery as a protobuf `ReceivedMessage`."""
    message = types.PubsubMessage.pb()(
        data=delivery.data,
        attributes=delivery.attributes,
        message_id=delivery.id,
        ordering_key=delivery.ordering_key,
    )
    message.publish_time.FromNanoseconds(int(delivery.published_at * 1e9))
    return types.ReceivedMessage.pb()(ack_id=delivery.ack_id, message=message, delivery_attempt=delivery.attempt or 0)


def names_of(found: list[str], page_size: int, page_token: str) -> tuple[list[str], str]:
    """Return one page, and the token of the next, which is empty at the end."""
    start = int(page_token or 0)
    end = start + (page_size or 100)
    return found[start:end], str(end) if end < len(found) else ""


def _seconds(duration: Any, is_given: bool, default: float) -> float:
    return float(duration.seconds + duration.nanos / 1e9) if is_given else default
