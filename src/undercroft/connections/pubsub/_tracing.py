"""The spans of messages: publishing, and handling below it.

Attributes are those of OpenTelemetry's messaging conventions, still in development there
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from undercroft._core.context import Correlation, Trace
from undercroft.connections.pubsub._protocol import Delivery
from undercroft.monitoring import NO_SPAN, Span, is_recording, library_span, semconv

SYSTEM = "gcp_pubsub"


def publish_span(topic: str) -> AbstractContextManager[Span | None]:
    """Return the span of publishing to `topic`, to be entered before the message is made."""
    if not is_recording():
        return NO_SPAN
    attributes: dict[str, object] = {
        semconv.MESSAGING_SYSTEM: SYSTEM,
        semconv.MESSAGING_OPERATION_NAME: "publish",
        semconv.MESSAGING_OPERATION_TYPE: "send",
        semconv.MESSAGING_DESTINATION_NAME: topic,
    }
    return library_span(f"publish {topic}", kind="producer", attributes=attributes)


def process_span(
    subscription: str, topic: str, delivery: Delivery, names: Correlation, parent: Trace | None
) -> AbstractContextManager[Span | None]:
    """Return the span of one delivery, to be entered under its names."""
    if not is_recording():
        return NO_SPAN
    attributes: dict[str, object] = {
        semconv.MESSAGING_SYSTEM: SYSTEM,
        semconv.MESSAGING_OPERATION_NAME: "process",
        semconv.MESSAGING_OPERATION_TYPE: "process",
        semconv.MESSAGING_DESTINATION_NAME: topic,
        semconv.MESSAGING_CONSUMER_GROUP_NAME: subscription,
        semconv.MESSAGING_MESSAGE_ID: delivery.id,
    }
    return library_span(
        f"process {subscription}", kind="consumer", attributes=attributes, at=names.trace, parent=parent
    )


def tell(span: Span | None, outcome: str, *, is_error: bool) -> None:
    """Tell a delivery's span what came of it."""
    if span is not None:
        span.set_attribute("undercroft.message.outcome", outcome)
        if is_error:
            span.set_status("error", outcome)
