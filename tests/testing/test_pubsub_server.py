"""The test kit's Pub/Sub server, asked by Google's own synchronous client."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from undercroft._core.errors import NotOpenError
from undercroft.testing.pubsub_server import PubSubServer, ScaledClock

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core writes about resets to stderr, past every Python filter

TOPIC, SUB = "projects/test/topics/events", "projects/test/subscriptions/events-sub"
DEAD, DEAD_SUB = "projects/test/topics/dead", "projects/test/subscriptions/dead-sub"
SPEED = 20.0
ONCE = {"retry": None, "timeout": 5.0}


class Clients:
    """Google's clients on one server."""

    def __init__(self) -> None:
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        self.publisher = pubsub_v1.PublisherClient(publisher_options=options)
        self.subscriber = pubsub_v1.SubscriberClient()

    def make(self, **options: Any) -> None:
        self.publisher.create_topic(name=TOPIC)
        self.subscriber.create_subscription(request={"name": SUB, "topic": TOPIC, **options})

    def publish(self, *texts: str, key: str = "") -> list[str]:
        futures = [self.publisher.publish(TOPIC, text.encode(), ordering_key=key) for text in texts]
        return [future.result(10) for future in futures]

    def pull(self, subscription: str = SUB, limit: int = 10) -> list[Any]:
        answer = self.subscriber.pull(subscription=subscription, max_messages=limit, **ONCE)
        return list(answer.received_messages)

    def close(self) -> None:
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PubSubServer]:
    """A server in real time, as Google's client extends leases by the host's clock; or as fast as a test asks for."""
    with PubSubServer(speed=getattr(request, "param", 1.0)) as server:
        yield server


@pytest.fixture
def google(server: PubSubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
    clients = Clients()
    yield clients
    clients.close()


def until(is_so: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_topics_are_made_found_listed_by_pages_and_deleted(google: Clients) -> None:
    names = [f"projects/test/topics/topic-{number:03}" for number in range(25)]
    for name in names:
        google.publisher.create_topic(name=name)
    google.publisher.create_topic(name="projects/other/topics/topic")

    listed = google.publisher.list_topics(request={"project": "projects/test", "page_size": 10})

    assert [topic.name for topic in listed] == names
    assert google.publisher.get_topic(topic=names[0]).name == names[0]
    google.publisher.delete_topic(topic=names[0])
    with pytest.raises(exceptions.NotFound):
        google.publisher.get_topic(topic=names[0])


def test_mistakes_have_the_status_that_the_real_server_gives(google: Clients) -> None:
    google.make()
    with pytest.raises(exceptions.AlreadyExists):
        google.publisher.create_topic(name=TOPIC)
    with pytest.raises(exceptions.AlreadyExists):
        google.subscriber.create_subscription(name=SUB, topic=TOPIC)
    with pytest.raises(exceptions.NotFound):
        google.subscriber.create_subscription(name="projects/test/subscriptions/other", topic="projects/test/topics/no")
    with pytest.raises(exceptions.NotFound):
        google.subscriber.pull(subscription="projects/test/subscriptions/other", max_messages=1, **ONCE)
    with pytest.raises(exceptions.NotFound):
        google.publisher.publish("projects/test/topics/no", b"x").result(10)
    with pytest.raises(exceptions.InvalidArgument):
        google.publisher.create_topic(name="events")
    with pytest.raises(exceptions.InvalidArgument):
        google.publisher.publish(TOPIC, b"").result(10)


@pytest.mark.parametrize(
    "options",
    [
        {"ack_deadline_seconds": 5},
        {"ack_deadline_seconds": 601},
        {"retry_policy": {"maximum_backoff": {"seconds": 601}}},
        {"dead_letter_policy": {"dead_letter_topic": DEAD, "max_delivery_attempts": 4}},
    ],
    ids=str,
)
def test_limits_are_those_of_the_real_server(google: Clients, options: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        google.make(**options)


def test_message_is_pulled_acknowledged_and_gone(google: Clients, server: PubSubServer) -> None:
    google.make()
    ids = google.publish("a", "b")

    found = google.pull()

    assert [(each.message.message_id, each.message.data) for each in found] == [(ids[0], b"a"), (ids[1], b"b")]
    assert abs(found[0].message.publish_time.timestamp() - time.time()) < 3600
    assert server.leased("events-sub") == 2
    google.subscriber.acknowledge(subscription=SUB, ack_ids=[each.ack_id for each in found])
    assert (server.leased("events-sub"), server.waiting("events-sub")) == (0, 0)


def test_pull_that_finds_nothing_returns_empty(google: Clients) -> None:
    google.make()
    assert google.pull() == []


@pytest.mark.parametrize("server", [SPEED], indirect=True)
def test_default_ack_deadline_is_ten_seconds_and_it_ends(google: Clients) -> None:
    google.make()
    assert google.subscriber.get_subscription(subscription=SUB).ack_deadline_seconds == 10
    google.publish("a")
    google.pull()
    time.sleep(11 / SPEED)
    assert [each.message.data for each in google.pull()] == [b"a"]


def test_dead_letter_policy_counts_deliveries(google: Clients) -> None:
    google.publisher.create_topic(name=DEAD)
    google.make(dead_letter_policy={"dead_letter_topic": DEAD, "max_delivery_attempts": 5})
    google.subscriber.create_subscription(name=DEAD_SUB, topic=DEAD)
    google.publish("poison")
    for attempt in range(1, 6):
        (found,) = google.pull()
        assert found.delivery_attempt == attempt
        google.subscriber.modify_ack_deadline(subscription=SUB, ack_ids=[found.ack_id], ack_deadline_seconds=0)

    (dead,) = google.pull(DEAD_SUB)
    assert dead.message.data == b"poison"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert dead.delivery_attempt == 0


def test_streaming_pull_gives_back_what_google_does_not_acknowledge(google: Clients) -> None:
    google.make()
    seen: list[bytes] = []
    lock = threading.Lock()

    def on_message(message: Any) -> None:
        with lock:
            seen.append(message.data)
            if len(seen) < 3:
                message.nack()
            else:
                message.ack()

    pull = google.subscriber.subscribe(SUB, on_message)
    google.publish("a")
    until(lambda: len(seen) == 3)
    time.sleep(0.1)
    pull.cancel()
    pull.result(10)

    assert seen == [b"a"] * 3


def test_ordering_key_keeps_its_order_through_googles_client(google: Clients) -> None:
    google.make(enable_message_ordering=True)
    seen: list[bytes] = []

    def on_message(message: Any) -> None:
        seen.append(message.data)
        message.ack()

    pull = google.subscriber.subscribe(SUB, on_message)
    google.publish(*[str(number) for number in range(100)], key="k")
    until(lambda: len(seen) == 100)
    pull.cancel()
    pull.result(10)

    assert seen == [str(number).encode() for number in range(100)]


def test_restart_keeps_port_topics_messages_and_leases(google: Clients, server: PubSubServer) -> None:
    google.make(ack_deadline_seconds=600)
    google.publish("a", "b")
    (found,) = google.pull(limit=1)
    port = server.port

    server.stop()
    with pytest.raises(exceptions.ServiceUnavailable):
        google.publisher.get_topic(topic=TOPIC, **ONCE)
    server.start()

    assert server.port == port
    google.subscriber.acknowledge(subscription=SUB, ack_ids=[found.ack_id])
    assert (server.leased("events-sub"), server.waiting("events-sub")) == (0, 1)


def test_starting_and_stopping_twice_is_no_error() -> None:
    server = PubSubServer()
    with pytest.raises(NotOpenError):
        _ = server.host
    server.stop()
    assert server.start() is server.start()
    server.stop()
    server.stop()


def test_faults_are_counted_and_end(google: Clients, server: PubSubServer) -> None:
    google.make()
    server.fail_next(2, method="GetTopic", status="PERMISSION_DENIED")
    for _ in range(2):
        with pytest.raises(exceptions.PermissionDenied):
            google.publisher.get_topic(topic=TOPIC, **ONCE)
    google.publisher.get_topic(topic=TOPIC, **ONCE)
    assert server.calls("GetTopic") == 3


def test_lost_answer_stores_and_fails(google: Clients, server: PubSubServer) -> None:
    google.make()
    server.fail_next(1, after=True)  # google's client repeats a publish by itself: two copies, two ids
    google.publish("a")
    assert [each.message.data for each in google.pull()] == [b"a", b"a"]


def test_deleted_topic_leaves_its_subscription(google: Clients) -> None:
    google.make()
    google.publish("a")
    google.publisher.delete_topic(topic=TOPIC)
    assert [each.message.data for each in google.pull()] == [b"a"]
    google.subscriber.delete_subscription(subscription=SUB)
    with pytest.raises(exceptions.NotFound):
        google.pull()


def test_scaled_clock_runs_faster_and_must_run() -> None:
    clock = ScaledClock(1000.0)
    start = clock.monotonic()
    time.sleep(0.01)
    assert clock.monotonic() - start >= 10
    with pytest.raises(ValueError, match="not above 0"):
        ScaledClock(0)
