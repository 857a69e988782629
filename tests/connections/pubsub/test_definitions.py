"""Topics, subscriptions and what is checked before anything is sent."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

import msgspec
import pydantic
import pytest

from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    InvalidPayloadError,
    MessageHandle,
    PubSub,
    PubSubDefinitionError,
    Retry,
    Subscription,
    SubscriptionNotFoundError,
    Topic,
    TopicNotFoundError,
    create_pubsub,
    open_engine,
    subscription,
)
from undercroft.connections.pubsub.memory import MemoryPubSub

pytestmark = pytest.mark.anyio


@dataclass
class Created:
    user_id: int
    title: str
    urgent: bool = False


class Packed(msgspec.Struct):
    user_id: int
    title: str


class Typed(TypedDict):
    user_id: int
    title: str


class Model(pydantic.BaseModel):
    user_id: int
    title: str


CREATED = Topic("notifications-created", schema=Created)
ORDERED = Topic("events", ordering=True)
RAW = Topic("raw-bytes", schema=bytes)


@pytest.fixture
async def engine() -> MemoryPubSub:
    return MemoryPubSub()


@pytest.fixture
async def pubsub(engine: MemoryPubSub) -> AsyncIterator[PubSub]:
    async with PubSub(engine, [CREATED, ORDERED, RAW]) as pubsub:
        await engine.create_topic("inspect")
        for topic in (CREATED, ORDERED, RAW):
            spec = subscription(f"inspect-{topic.name}", topic)(print).spec()
            await engine.create_subscription(spec)
        yield pubsub


async def sent(engine: MemoryPubSub, topic: Topic[object]) -> tuple[bytes, dict[str, str]]:
    """Return data and attributes of the first message of a topic."""
    async with engine.open_stream(f"inspect-{topic.name}", ack_deadline_s=10, max_messages=1, max_bytes=1000) as stream:
        (delivery,) = await stream.receive()
        return delivery.data, dict(delivery.attributes)


async def test_subscription_is_a_value_and_its_call_runs_the_handler() -> None:
    @subscription("notifications-email", CREATED, retry=Retry("1s", "5s"), dead_letter="dead", ack_deadline="30s")
    async def email(created: Created) -> str:
        return created.title

    assert isinstance(email, Subscription)
    assert await email(Created(1, "hello")) == "hello"
    spec = email.spec()
    assert (spec.retry_min_s, spec.retry_max_s, spec.max_deliveries, spec.ack_deadline_s) == (1, 5, 5, 30)
    with pytest.raises(AttributeError):
        email.name = "other"  # type: ignore[misc]


async def test_plain_function_runs_in_a_thread() -> None:
    @subscription("notifications-email", CREATED)
    def email(created: Created) -> str:
        return threading.current_thread().name

    assert await email(Created(1, "x")) != threading.current_thread().name


@pytest.mark.parametrize("name", ["", "ab", "1abc", "a/b/c", "googly", "über", "projects/p/topics/t", "a" * 256])
def test_name_that_pubsub_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(PubSubDefinitionError, match="UC4401"):
        Topic(name)
    with pytest.raises(PubSubDefinitionError):
        subscription(name, CREATED)


@pytest.mark.parametrize(
    "options",
    [
        {"max_deliveries": 4},
        {"max_deliveries": 101},
        {"ack_deadline": "9s"},
        {"ack_deadline": "11m"},
        {"concurrency": 0},
        {"max_outstanding": 0},
        {"timeout": 0},
        {"dead_letter": "no spaces"},
    ],
    ids=str,
)
def test_option_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(PubSubDefinitionError):
        subscription("notifications-email", CREATED, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high"), [("10s", "5s"), ("0s", "601s")])
def test_retry_out_of_range_is_refused(low: str, high: str) -> None:
    with pytest.raises(PubSubDefinitionError):
        Retry(low, high)


def test_two_topics_of_one_name_are_refused() -> None:
    with pytest.raises(PubSubDefinitionError, match="two topics"):
        PubSub(MemoryPubSub(), [Topic("events"), Topic("events", ordering=True)])
    PubSub(MemoryPubSub(), [Topic("events"), Topic("events")])


def test_what_is_no_topic_is_refused() -> None:
    with pytest.raises(PubSubDefinitionError, match="is not a topic"):
        PubSub(MemoryPubSub(), ["events"])  # type: ignore[list-item]
    with pytest.raises(PubSubDefinitionError):
        subscription("notifications-email", "events")  # type: ignore[arg-type]


def test_schema_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(PubSubDefinitionError):
        PubSub(MemoryPubSub(), [Topic("events", schema=threading.Lock)])  # type: ignore[arg-type]


async def test_published_value_is_the_checked_one_with_its_defaults(pubsub: PubSub, engine: MemoryPubSub) -> None:
    handle = await pubsub.publish(CREATED, {"user_id": 1, "title": "hi", "extra": "is allowed"})

    data, _ = await sent(engine, CREATED)
    assert msgspec.json.decode(data) == {"user_id": 1, "title": "hi", "urgent": False}
    assert handle == MessageHandle(id=handle.id, topic="notifications-created")
    assert handle.id


async def test_topic_may_be_named(pubsub: PubSub) -> None:
    assert (await pubsub.publish("notifications-created", Created(1, "x"))).topic == "notifications-created"


async def test_unknown_topic_has_near_names(pubsub: PubSub) -> None:
    with pytest.raises(TopicNotFoundError) as caught:
        await pubsub.publish("notification-created", {})

    assert caught.value.near == ("notifications-created",)
    assert caught.value.topic == "notification-created"


async def test_topic_declared_otherwise_is_refused(pubsub: PubSub) -> None:
    with pytest.raises(PubSubDefinitionError, match="another schema"):
        await pubsub.publish(Topic("events"), {})


@pytest.mark.parametrize("schema", [Created, Packed, Typed, Model])
async def test_invalid_payload_lists_every_missing_field_and_sends_nothing(schema: type[object]) -> None:
    topic: Topic[object] = Topic("notifications-any", schema=schema)
    engine = MemoryPubSub()
    async with PubSub(engine, [topic]) as pubsub:
        await engine.create_subscription(subscription("inspect-it", topic)(print).spec())

        with pytest.raises(InvalidPayloadError) as caught:
            await pubsub.publish(topic, {"urgent": True})

    assert set(caught.value.fields) == {"user_id", "title"}
    assert caught.value.hint in ("required: user_id, title", "required: title, user_id")
    assert caught.value.http_status == 422
    assert engine._broker.backlogs["inspect-it"].waiting == 0


async def test_field_of_a_wrong_type_is_named_and_its_value_is_not(pubsub: PubSub) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        await pubsub.publish(CREATED, {"user_id": "hunter2", "title": "x"})

    assert caught.value.fields == ("user_id",)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("payload", [None, [], "text", {"a": datetime(2026, 1, 1)}, 5])
async def test_topic_without_a_schema_takes_any_json(pubsub: PubSub, payload: object) -> None:
    await pubsub.publish(ORDERED, payload)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"bytes", object(), {1j: 2}])
async def test_what_is_not_json_is_refused(pubsub: PubSub, payload: object) -> None:
    with pytest.raises(InvalidPayloadError):
        await pubsub.publish(ORDERED, payload)  # type: ignore[arg-type]


async def test_bytes_are_taken_as_they_are(pubsub: PubSub, engine: MemoryPubSub) -> None:
    await pubsub.publish(RAW, b"\x00\xff")

    assert (await sent(engine, RAW))[0] == b"\x00\xff"
    with pytest.raises(InvalidPayloadError):
        await pubsub.publish(RAW, "text")  # type: ignore[arg-type]


async def test_correlation_travels_as_attributes(pubsub: PubSub, engine: MemoryPubSub) -> None:
    trace = Trace.new()
    with correlate(Correlation(request_id="r-1", trace=trace)):
        await pubsub.publish(ORDERED, {}, attributes={"tenant": "a"})

    _, attributes = await sent(engine, ORDERED)
    assert attributes.pop("undercroft-id")
    assert attributes == {"tenant": "a", "x-request-id": "r-1", "traceparent": str(trace)}


@pytest.mark.parametrize(
    "attributes",
    [
        {"googclient": "x"},
        {"traceparent": "x"},
        {"": "x"},
        {"a": 5},
        {"a" * 257: "x"},
        {"a": "x" * 1025},
        {"a": "\ud800"},
        {str(number): "x" for number in range(98)},
    ],
    ids=lambda given: str(given)[:20],
)
async def test_attributes_that_pubsub_does_not_take_are_refused(pubsub: PubSub, attributes: dict[str, str]) -> None:
    with pytest.raises(InvalidPayloadError):
        await pubsub.publish(ORDERED, {}, attributes=attributes)


@pytest.mark.parametrize("key", ["", "x" * 1025])
async def test_ordering_key_out_of_range_is_refused(pubsub: PubSub, key: str) -> None:
    with pytest.raises(InvalidPayloadError):
        await pubsub.publish(ORDERED, {}, ordering_key=key)


async def test_ordering_key_on_a_topic_without_order_is_refused(pubsub: PubSub) -> None:
    with pytest.raises(InvalidPayloadError, match="does not keep an order"):
        await pubsub.publish(CREATED, Created(1, "x"), ordering_key="a")


async def test_message_that_is_too_large_is_refused(pubsub: PubSub) -> None:
    with pytest.raises(InvalidPayloadError, match="larger than Pub/Sub takes"):
        await pubsub.publish(RAW, b"x" * 10_000_001)


async def test_publishing_before_and_after_it_is_open_is_an_error() -> None:
    pubsub = create_pubsub("memory://", [CREATED])
    with pytest.raises(NotOpenError):
        await pubsub.publish(CREATED, Created(1, "x"))
    async with pubsub:
        await pubsub.ping()
    with pytest.raises(NotOpenError):
        await pubsub.publish(CREATED, Created(1, "x"))


def test_unknown_subscription_has_near_names() -> None:
    mail = subscription("notifications-email", CREATED)(print)
    with pytest.raises(SubscriptionNotFoundError) as caught:
        PubSub(MemoryPubSub(), subscriptions=[mail]).subscriber(["notification-email"])
    assert caught.value.near == ("notifications-email",)


@pytest.mark.parametrize(
    "url",
    [
        "memory://host",
        "memory://?a=1",
        "pubsub://",
        "pubsub://p/q",
        "pubsub://p?emulatr=x",
        "kafka://x",
        "pubsub://u:p@h",
    ],
)
def test_wrong_url_is_an_error_that_hides_its_secrets(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_engine(Url.parse(url), what="UNDERCROFT_PUBSUB")
    assert "u:p" not in str(caught.value)
