"""Receivers of alerts: each gets every event, in order, however often it fails; none holds up another."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest

from tests.monitoring.tracking._metrics import Board, Receiver
from undercroft._core.clock import VirtualClock
from undercroft.monitoring import AlertEvent, AlertRule, Alerts, get_counter, get_gauge

pytestmark = pytest.mark.anyio
RULE = AlertRule("high", "level", "gt", 1, measure="last")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def board() -> Board:
    return Board()


def new_alerts(clock: VirtualClock, board: Board, *receivers: Any, **options: Any) -> Alerts:
    return Alerts([RULE], metrics=board, notify=receivers, clock=clock, random=lambda: 1.0, **options)


def flap(alerts: Alerts, board: Board, times: int) -> list[str]:
    """Let the alert begin or end so often; return the events' ids."""
    ids = []
    for number in range(times):
        board.set("level", 0 if number % 2 else 2)
        ids += [event.id for event in alerts.evaluate()]
    return ids


@asynccontextmanager
async def running(alerts: Alerts) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(alerts.run)
        yield
        group.cancel_scope.cancel()


async def test_receiver_gets_every_event_once_and_in_order(clock: VirtualClock, board: Board) -> None:
    receiver = Receiver(clock)
    alerts = new_alerts(clock, board, receiver)
    ids = flap(alerts, board, 4)
    await alerts.deliver()
    await alerts.deliver()
    assert [event.id for event in receiver.events] == ids
    assert alerts.undelivered_count == 0


async def test_function_that_is_not_async_is_a_receiver_too(clock: VirtualClock, board: Board) -> None:
    events: list[AlertEvent] = []
    alerts = new_alerts(clock, board, events.append)
    ids = flap(alerts, board, 1)
    await alerts.deliver()
    assert [event.id for event in events] == ids


async def test_receiver_that_fails_is_asked_again_later_each_time(
    clock: VirtualClock, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(clock, failures=11)
    began = clock.time()
    async with running(new_alerts(clock, board, receiver)):
        board.set("level", 2)
        await clock.advance("1h")
    waited = [later - sooner for sooner, later in pairwise(receiver.attempts)]
    assert receiver.attempts[0] == began
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert len(receiver.events) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 11
    assert "Receiver: did not take high: firing" in caplog.messages[0]
    assert "ConnectionError: no route to the pager" in caplog.messages[0]


async def test_waiting_is_shortened_at_random(clock: VirtualClock, board: Board) -> None:
    receiver = Receiver(clock, failures=2)
    alerts = Alerts([RULE], metrics=board, notify=[receiver], clock=clock, random=lambda: 0.0)
    board.set("level", 2)
    async with running(alerts):
        await clock.advance("10s")
    assert [at - receiver.attempts[0] for at in receiver.attempts] == [0, 0.5, 1.5]


async def test_events_stay_in_order_behind_one_that_is_not_taken(clock: VirtualClock, board: Board) -> None:
    receiver = Receiver(clock, failures=1)
    alerts = new_alerts(clock, board, receiver)
    ids = flap(alerts, board, 3)
    await alerts.deliver()
    assert (receiver.events, alerts.undelivered_count) == ([], 3)
    await clock.advance("1s")
    await alerts.deliver()
    assert [event.id for event in receiver.events] == ids


async def test_waits_begin_anew_after_a_success(clock: VirtualClock, board: Board) -> None:
    receiver = Receiver(clock, failures=3)
    alerts = new_alerts(clock, board, receiver)
    async with running(alerts):
        board.set("level", 2)
        await clock.advance("1m")
        receiver.failures, receiver.attempts = 1, []
        board.set("level", 0)
        await clock.advance("1m")
    assert receiver.attempts[1] - receiver.attempts[0] == 1


async def test_receiver_that_hangs_is_given_up_and_asked_again(
    clock: VirtualClock, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    receiver, other = Receiver(clock, hangs=True), Receiver(clock)
    async with running(new_alerts(clock, board, receiver, other, notify_timeout="3s")):
        board.set("level", 2)
        await clock.advance("5s")
        assert len(other.events) == 1
        receiver.hangs = False
        await clock.advance("5s")
    assert [at - receiver.attempts[0] for at in receiver.attempts] == [0, 4, 9]
    assert "no answer within 3s" in caplog.messages[0]
    assert len(receiver.events) == 1


async def test_failing_receiver_does_not_hold_up_another(clock: VirtualClock, board: Board) -> None:
    broken, sound = Receiver(clock, failures=10**6), Receiver(clock)
    alerts = new_alerts(clock, board, broken, sound)
    flap(alerts, board, 2)
    await alerts.deliver()
    assert (len(sound.events), alerts.undelivered_count) == (2, 2)


async def test_events_that_too_many_newer_ones_wait_behind_are_lost_counted_and_logged(
    clock: VirtualClock, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(clock)
    alerts = new_alerts(clock, board, receiver)
    ids = flap(alerts, board, 103)
    assert (alerts.undelivered_count, alerts.lost_count) == (100, 3)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    await alerts.deliver()
    assert [event.id for event in receiver.events] == ids[3:]


async def test_event_that_is_taken_while_newer_ones_push_it_out_takes_no_other_with_it(
    clock: VirtualClock, board: Board
) -> None:
    taken: list[str] = []
    ids: list[str] = []

    async def flapping(event: AlertEvent) -> None:
        taken.append(event.id)
        if len(taken) == 1:
            ids.extend(flap(alerts, board, 101)[-100:])

    alerts = new_alerts(clock, board, flapping)
    board.set("level", 2)
    [first] = alerts.evaluate()
    board.set("level", 0)
    alerts.evaluate()
    await alerts.deliver()
    assert taken == [first.id, *ids]
    assert alerts.undelivered_count == 0


async def test_attempts_and_losses_are_counted(clock: VirtualClock, board: Board) -> None:
    def counts() -> list[float]:
        outcomes = ("taken", "failed", "lost")
        return [get_counter("undercroft_alert_deliveries_total", {"outcome": outcome}) for outcome in outcomes]

    before = counts()
    alerts = new_alerts(clock, board, Receiver(clock), Receiver(clock, failures=1))
    flap(alerts, board, 102)
    await alerts.deliver()
    assert [after - was for was, after in zip(before, counts(), strict=True)] == [100, 1, 4]


async def test_alerts_that_are_firing_are_a_metric(clock: VirtualClock, board: Board) -> None:
    def firing() -> float:
        return get_gauge("undercroft_alerts_firing", {"severity": "warning"})

    before, alerts = firing(), new_alerts(clock, board)
    flap(alerts, board, 3)
    assert firing() - before == 1
    flap(alerts, board, 2)
    board.set("level", 0)
    alerts.evaluate()
    assert firing() == before


async def test_loop_evaluates_at_each_interval(clock: VirtualClock, board: Board) -> None:
    async with running(new_alerts(clock, board, interval="10s")):
        await clock.advance("60s")
    assert board.reads == 7


async def test_loop_survives_metrics_that_cannot_be_read(
    clock: VirtualClock, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(clock)
    board.problem = OSError("the metrics' directory is gone")
    async with running(new_alerts(clock, board, receiver, interval="10s")):
        await clock.advance("10s")
        board.problem = None
        board.set("level", 2)
        await clock.advance("10s")
    assert len(receiver.events) == 1
    assert [record.getMessage() for record in caplog.records] == ["alerts were not evaluated"] * 2


async def test_cancelling_the_loop_ends_it_while_a_receiver_hangs(clock: VirtualClock, board: Board) -> None:
    receiver = Receiver(clock, hangs=True)
    board.set("level", 2)
    with anyio.fail_after(5):
        async with running(new_alerts(clock, board, receiver)):
            await clock.advance("1s")
    assert len(receiver.attempts) == 1


async def test_slow_receiver_does_not_keep_the_rules_from_being_evaluated(clock: VirtualClock, board: Board) -> None:
    async def slow(event: AlertEvent) -> None:
        await clock.sleep(9)

    alerts = new_alerts(clock, board, slow, interval="10s")
    flap(alerts, board, 20)
    async with running(alerts):
        await clock.advance("60s")
    assert board.reads >= 20 + 4
