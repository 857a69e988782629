"""Provisioning: the server has what the code declares, however often and by however many it is done."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    Action,
    ProvisionReport,
    PubSub,
    PubSubAuthError,
    PubSubUnavailableError,
    Retry,
    Subscription,
    Topic,
    open_engine,
    subscription,
)
from undercroft.testing.pubsub_server import PubSubServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_loop")]

CREATED: Topic[Any] = Topic("notifications-created")
MAIL = subscription("notifications-email", CREATED, dead_letter="notifications-dead")(print)
NAMES = ["notifications-created", "notifications-dead", "notifications-email", "notifications-dead"]


async def provision(
    server: PubSubServer, *subscriptions: Subscription[Any, Any], dry_run: bool = False
) -> ProvisionReport:
    engine = open_engine(Url.parse(server.url()), what="pubsub")
    async with PubSub(engine, subscriptions=subscriptions) as pubsub:
        return await pubsub.provision(dry_run=dry_run)


async def test_everything_is_created_with_retry_and_dead_letters(server: PubSubServer) -> None:
    report = await provision(server, MAIL)

    assert report.named("created") == NAMES
    engine = open_engine(Url.parse(server.url()), what="pubsub")
    async with PubSub(engine):
        assert await engine.get_subscription("notifications-email") == MAIL.spec()
    spec = MAIL.spec()
    assert (spec.retry_min_s, spec.retry_max_s, spec.max_deliveries) == (10, 600, 5)


async def test_second_time_changes_nothing(server: PubSubServer) -> None:
    await provision(server, MAIL)
    report = await provision(server, MAIL)

    assert report.named(Action.UNCHANGED) == NAMES
    assert server.calls("UpdateSubscription") == 0


async def test_dry_run_says_what_it_would_do_and_does_nothing(server: PubSubServer) -> None:
    report = await provision(server, MAIL, dry_run=True)

    assert report.is_dry_run
    assert report.named("created") == NAMES
    assert server.topics() == []


async def test_what_may_be_changed_is_changed(server: PubSubServer) -> None:
    await provision(server, MAIL)
    changed = subscription("notifications-email", CREATED, retry=Retry("1s", "5s"), ack_deadline="30s")(print)

    dry = await provision(server, changed, dry_run=True)
    report = await provision(server, changed)

    assert dry.changes == report.changes
    assert report.named("updated") == ["notifications-email"]
    (change,) = [change for change in report.changes if change.action is Action.UPDATED]
    assert change.details == (
        "ack_deadline_s: 60.0 -> 30.0",
        "retry_min_s: 10.0 -> 1.0",
        "retry_max_s: 600.0 -> 5.0",
        "dead_letter: notifications-dead -> None",
        "max_deliveries: 5 -> 0",
    )
    assert (await provision(server, changed)).named("updated") == []


async def test_what_may_not_be_changed_is_reported_as_drift(server: PubSubServer) -> None:
    await provision(server, MAIL)
    moved = subscription("notifications-email", Topic("notifications-v2", ordering=True), ack_deadline="20s")(print)

    for _ in range(2):
        report = await provision(server, moved)
        assert report.has_drift
        assert report.named("drifted") == ["notifications-email"]

    (change,) = [change for change in report.changes if change.action is Action.DRIFTED]
    assert change.details == (
        "topic: notifications-created -> notifications-v2",
        "has_ordering: False -> True",
    )


async def test_dead_letter_topic_that_we_read_gets_no_second_subscription(server: PubSubServer) -> None:
    reader = subscription("dead-reader", Topic("notifications-dead"))(print)
    report = await provision(server, MAIL, reader)

    assert report.named("created") == [
        "notifications-created",
        "notifications-dead",
        "notifications-email",
        "dead-reader",
    ]


async def test_many_processes_may_provision_at_once(server: PubSubServer) -> None:
    reports: list[ProvisionReport] = []

    async def start() -> None:
        reports.append(await provision(server, MAIL))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(start)

    assert len(reports) == 20
    for name in set(NAMES):
        kinds = [change.action for report in reports for change in report.changes if change.name == name]
        assert kinds.count(Action.CREATED) == NAMES.count(name)
    assert not any(report.has_drift or report.named("updated") for report in reports)


async def test_server_that_is_away_or_says_no_is_an_error(server: PubSubServer) -> None:
    server.fail_next(1, method="CreateTopic", status="PERMISSION_DENIED")
    with pytest.raises(PubSubAuthError) as caught:
        await provision(server, MAIL)
    assert "Editor" in str(caught.value)

    server.fail_next(1, method="GetSubscription")
    with pytest.raises(PubSubUnavailableError):
        await provision(server, MAIL)
    assert (await provision(server, MAIL)).named("created") == ["notifications-email", "notifications-dead"]
