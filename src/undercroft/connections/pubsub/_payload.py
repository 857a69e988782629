"""Payloads: what goes into a message's data and attributes, and what comes out. Pull and push share this decoder."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from undercroft._core.carrier import BAGGAGE, TRACEPARENT, TRACESTATE, extract, inject
from undercroft._core.codec import Schema, SchemaError, to_json
from undercroft._core.context import Correlation, Trace, correlation, is_request_id
from undercroft._core.errors import InvalidDataError
from undercroft.connections.pubsub._errors import (
    InvalidPayloadError,
    PubSubDefinitionError,
    UndecodableMessageError,
)
from undercroft.connections.pubsub._protocol import Delivery, NewMessage
from undercroft.connections.pubsub._topic import Topic
from undercroft.monitoring import continue_trace

ID = "undercroft-id"
"""Attribute: our own id of a publish. A repeated send of one publish gets another message id, and keeps this one."""
REQUEST_ID = "x-request-id"
RESERVED = (ID, REQUEST_ID, TRACEPARENT, TRACESTATE, BAGGAGE)

# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_DATA_BYTES = 10_000_000
MAX_ATTRIBUTES = 100
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 1024
MAX_CLAIM_KEY = 255
_FIELD = re.compile(r"at `\$\.([^`\[\].]+)")


class Codec:
    """One topic's payloads, in and out. Immutable; made once per topic.

    Raises:
        PubSubDefinitionError: The topic's schema cannot be one.
    """

    def __init__(self, topic: Topic[Any]) -> None:
        self.topic = topic
        self._schema: Schema[Any] | None = None
        if topic.schema is not None and topic.schema is not bytes:
            try:
                self._schema = Schema(topic.schema, what=f"topic {topic.name!r}")
            except SchemaError as exc:
                raise PubSubDefinitionError(exc.message, hint=exc.hint) from exc

    def encode(
        self,
        payload: object,
        *,
        own_id: str,
        ordering_key: str | None,
        attributes: Mapping[str, str] | None,
    ) -> NewMessage:
        """Return the message to publish, with the correlation of the work going on.

        Raises:
            InvalidPayloadError: Something does not fit the topic or Pub/Sub's limits.
        """
        message = NewMessage(
            data=self._data(payload),
            attributes={**_checked_attributes(attributes, self.topic), ID: own_id, **_correlation_attributes()},
            ordering_key=self._checked_key(ordering_key),
        )
        if message.size_bytes > MAX_DATA_BYTES:
            raise InvalidPayloadError(
                f"topic {self.topic.name!r}: a message of {message.size_bytes} bytes is larger than Pub/Sub takes",
                hint=f"keep it below {MAX_DATA_BYTES} bytes: store the content elsewhere and publish where it is",
            )
        return message

    def decode(self, delivery: Delivery) -> Any:
        """Return the payload of a message.

        Raises:
            UndecodableMessageError: It is not JSON, or does not fit the schema. Never quotes the payload.
        """
        if self.topic.schema is bytes:
            return delivery.data
        try:
            return self._schema.decode(delivery.data) if self._schema else msgspec.json.decode(delivery.data)
        except (InvalidDataError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            text = exc.message if isinstance(exc, InvalidDataError) else f"topic {self.topic.name!r}: not JSON"
            raise UndecodableMessageError(text) from None

    def _data(self, payload: object) -> bytes:
        if self.topic.schema is bytes:
            if not isinstance(payload, bytes):
                raise InvalidPayloadError(
                    f"topic {self.topic.name!r} takes bytes; it got a value of type {type(payload).__name__}"
                )
            return payload
        try:
            return self._schema.encode(self._schema.parse(payload)) if self._schema else _any_json(payload)
        except (InvalidDataError, TypeError) as exc:
            raise self._invalid(exc, payload) from exc

    def _invalid(self, exc: Exception, payload: object) -> InvalidPayloadError:
        required = _required_fields(self.topic.schema)
        missing = [name for name in required if isinstance(payload, Mapping) and name not in payload]
        problem = exc.message if isinstance(exc, InvalidDataError) else f"topic {self.topic.name!r}: {exc}"
        fields = list(dict.fromkeys([*missing, *_FIELD.findall(problem)]))
        return InvalidPayloadError(
            problem if len(missing) < 2 else f"{problem}; missing: {', '.join(missing)}",
            fields=fields,
            near=exc.near if isinstance(exc, InvalidDataError) else (),
            hint=f"required: {', '.join(required)}" if required else None,
        )

    def _checked_key(self, ordering_key: str | None) -> str:
        if ordering_key is None:
            return ""
        if not self.topic.ordering:
            raise InvalidPayloadError(
                f"topic {self.topic.name!r} does not keep an order, and an ordering key was given",
                hint="declare it with Topic(…, ordering=True)",
            )
        if not 0 < _utf8_bytes(ordering_key) <= MAX_VALUE_BYTES:
            raise InvalidPayloadError("an ordering key is UTF-8 text of 1 to 1024 bytes")
        return ordering_key


def names_of(attributes: Mapping[str, str]) -> tuple[Correlation, Trace | None]:
    """Return what the handling of a message is called, and the position of whoever published it.

    The request is the one it carries, and so is the trace; it is a new one if it carries none.
    """
    request_id = attributes.get(REQUEST_ID)
    carried = extract(attributes)
    names = Correlation(
        request_id=request_id if request_id and is_request_id(request_id) else None,
        trace=continue_trace(carried.trace),
        baggage=carried.baggage,
    )
    return names, carried.trace


def claim_key(subscription: str, delivery: Delivery) -> str:
    """Return what names this message's handling: by our own id, which survives a repeated send, or by the server's."""
    key = f"pubsub:{subscription}:{delivery.attributes.get(ID, '').strip() or delivery.id}"
    # Stores take keys of up to 255 characters; the id may be anything, as anybody may publish.
    return key if len(key) <= MAX_CLAIM_KEY else f"pubsub:{hashlib.sha256(key.encode()).hexdigest()}"


def _correlation_attributes() -> dict[str, str]:
    names = correlation()
    headers = {**inject(names), **({REQUEST_ID: names.request_id} if names.request_id else {})}
    # A state or baggage that Pub/Sub does not take stays behind: the message matters more. They are ASCII.
    return {key: value for key, value in headers.items() if len(value) <= MAX_VALUE_BYTES}


def _checked_attributes(attributes: Mapping[str, str] | None, topic: Topic[Any]) -> dict[str, str]:
    given = dict(attributes or {})
    for key, value in given.items():
        problem = _attribute_problem(key, value)
        if problem:
            raise InvalidPayloadError(f"topic {topic.name!r}: attribute {str(key)[:80]!r} {problem}")
    if len(given) > MAX_ATTRIBUTES - len(RESERVED):
        raise InvalidPayloadError(
            f"topic {topic.name!r}: {len(given)} attributes are more than {MAX_ATTRIBUTES - len(RESERVED)}"
        )
    return given


def _attribute_problem(key: object, value: object) -> str | None:
    if not isinstance(key, str) or not isinstance(value, str):
        return "is not text for text"
    if key in RESERVED:
        return "is set by undercroft, from the work going on"
    if not key or key.lower().startswith("goog"):
        return "has a name that Pub/Sub keeps for itself"
    if _utf8_bytes(key) > MAX_KEY_BYTES or _utf8_bytes(value) > MAX_VALUE_BYTES:
        return f"is not UTF-8 of at most {MAX_KEY_BYTES} bytes for the name and {MAX_VALUE_BYTES} for the value"
    return None


def _utf8_bytes(text: str) -> float:
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return math.inf


def _any_json(payload: object) -> bytes:
    if isinstance(payload, bytes | bytearray | memoryview):
        raise TypeError("bytes are not JSON; declare it with Topic(…, schema=bytes)")
    return to_json(payload)


def _required_fields(schema: type[Any] | None) -> list[str]:
    """Return the names of the fields that must be given, as they are written in JSON; empty when it has no fields."""
    models = getattr(schema, "model_fields", None)
    if isinstance(models, Mapping):
        return [field.alias or name for name, field in models.items() if field.is_required()]
    if schema is None or schema is bytes:
        return []
    info: Any = msgspec.inspect.type_info(schema)
    return [field.encode_name for field in getattr(info, "fields", ()) if field.required]
