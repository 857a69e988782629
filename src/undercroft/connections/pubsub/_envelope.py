"""The JSON that Pub/Sub posts: https://cloud.google.com/pubsub/docs/push#receive_push."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

import msgspec

from undercroft.connections.pubsub._errors import PushEnvelopeError
from undercroft.connections.pubsub._protocol import Delivery


class _Message(msgspec.Struct, rename="camel"):
    message_id: str
    data: str = ""
    attributes: dict[str, str] | None = None
    publish_time: datetime | None = None
    ordering_key: str = ""


class _Envelope(msgspec.Struct, rename="camel"):
    message: _Message
    subscription: str
    delivery_attempt: int | None = None


_DECODER = msgspec.json.Decoder(_Envelope)


def read_envelope(body: bytes, *, now: float) -> tuple[str, Delivery]:
    """Return the subscription's short name and the message.

    Raises:
        PushEnvelopeError: With `reason` `INVALID_JSON`, `INVALID_STRUCTURE` or `INVALID_BASE64`.
    """
    try:
        envelope = _DECODER.decode(body)
    except msgspec.ValidationError as exc:
        raise PushEnvelopeError(f"not a push request: {exc}", reason="INVALID_STRUCTURE") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PushEnvelopeError("the body is not JSON", reason="INVALID_JSON") from None
    message = envelope.message
    try:
        data = base64.b64decode(message.data, validate=True)
    except (binascii.Error, ValueError):
        raise PushEnvelopeError("message.data is not base64", reason="INVALID_BASE64") from None
    if not message.message_id or not envelope.subscription:
        raise PushEnvelopeError("messageId and subscription must not be empty", reason="INVALID_STRUCTURE")
    return envelope.subscription.rpartition("/")[2], Delivery(
        ack_id="",
        id=message.message_id,
        data=data,
        attributes=message.attributes or {},
        ordering_key=message.ordering_key,
        published_at=message.publish_time.timestamp() if message.publish_time else now,
        attempt=envelope.delivery_attempt,
    )
