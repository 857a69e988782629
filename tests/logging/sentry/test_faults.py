"""Sentry that is away, slow or full disturbs nobody."""

import logging
import socket
import time
from collections.abc import Callable

import anyio
import pytest
import sentry_sdk

from tests.email._http import CUT, STALL, answer
from tests.logging.sentry._receiver import ACCEPTED, receiving
from tests.logging.sentry.conftest import Reporting
from undercroft._core.clock import SystemClock
from undercroft.logging import Logger
from undercroft.logging.sentry import SentryBridge

pytestmark = pytest.mark.anyio
shop = Logger(module="shop.pay")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_refused_connection_is_not_felt() -> None:
    async with SentryBridge(f"http://key@127.0.0.1:{free_port()}/42", close_timeout="300ms") as bridge:
        for _ in range(20):
            shop.error("failed")

    assert bridge.counts.reported == 20
    assert bridge.counts.failed == 0


@pytest.mark.parametrize("reply", [answer(500, b"oops"), answer(413, b""), answer(200, b"\xff\xfe"), CUT])
async def test_bad_answer_is_not_felt(reporting: Reporting, reply: bytes) -> None:
    with anyio.fail_after(5):
        async with reporting(lambda request: reply, close_timeout="500ms") as (bridge, sentry):
            shop.error("failed")

    assert (bridge.counts.reported, bridge.counts.failed) == (1, 0)
    assert len(sentry.events) >= 1


async def test_closing_waits_for_a_silent_sentry_no_longer_than_it_may(reporting: Reporting) -> None:
    async with receiving(lambda request: STALL) as sentry:
        bridge = SentryBridge(sentry.dsn, close_timeout="300ms")
        await bridge.open()
        started = time.monotonic()
        shop.error("failed")
        logged = time.monotonic()
        await bridge.close()

    assert time.monotonic() - logged < 2.0
    assert logged - started < 1.0


async def test_silent_sentry_costs_a_bounded_number_of_events(reporting: Reporting) -> None:
    async with reporting(lambda request: STALL, close_timeout="100ms", clock=Leaping()) as (bridge, _):
        for _ in range(5_000):
            shop.error("failed")

    assert bridge.counts.reported <= 150
    assert bridge.counts.reported + bridge.counts.skipped == 5_000


async def test_event_loop_goes_on_while_the_bridge_closes() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.01)
            ticks += 1

    async with receiving(lambda request: STALL) as sentry, anyio.create_task_group() as group:
        async with SentryBridge(sentry.dsn, close_timeout="500ms"):
            shop.error("failed")
            group.start_soon(tick)
        group.cancel_scope.cancel()

    assert ticks > 5


class Leaping(SystemClock):
    """A clock by which there is always room for one more event."""

    def monotonic(self) -> float:
        return super().monotonic() * 1e6


async def test_pause_that_sentry_asks_for_is_kept(reporting: Reporting) -> None:
    replies = iter([answer(429, b"", "Retry-After: 60"), *[ACCEPTED] * 20])
    async with reporting(lambda request: next(replies), clock=Leaping()) as (bridge, sentry):
        shop.error("first")
        with anyio.fail_after(5):
            while bridge.counts.skipped == 0:  # from when the answer was read
                shop.error("later")
                await anyio.sleep(0.01)
        reported = bridge.counts.reported
        for _ in range(50):
            shop.error("later")

    assert bridge.counts.reported == reported
    assert sentry.events[0]["logentry"]["formatted"] == "first"


class Rule:
    """A redaction of one's own, which calls something for each text of an event."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def is_secret(self, key: str, value: object) -> bool:
        return False

    def redact_text(self, text: str) -> str:
        self._act()
        return text


def broken() -> None:
    raise RuntimeError("my rule does not work")


async def test_redaction_that_raises_keeps_the_event_back(reporting: Reporting) -> None:
    async with reporting(redaction=Rule(broken)) as (bridge, sentry):
        shop.error("failed", note="cannot be redacted")
        sentry_sdk.capture_message("cannot be redacted")

    assert sentry.events == []
    assert bridge.counts.failed == 2


async def test_line_that_a_hook_writes_is_not_reported_in_turn(reporting: Reporting) -> None:
    async with reporting(redaction=Rule(lambda: shop.error("a line about a line"))) as (_, sentry):
        shop.error("failed")

    assert [event["logentry"]["formatted"] for event in sentry.events] == ["failed"]


async def test_lines_of_the_sdk_itself_are_not_reported(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        logging.getLogger("sentry_sdk.errors").error("cannot send")
        logging.getLogger("urllib3.connectionpool").error("retrying")

    assert sentry.events == []


async def test_value_that_cannot_be_shown_does_not_raise(reporting: Reporting) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    async with reporting(local_variables=True) as (bridge, sentry):
        hostile = Hostile()
        try:
            raise ValueError(hostile)
        except ValueError as exc:
            shop.error("failed", exc, what=hostile)

    assert bridge.counts.failed == 0
    assert len(sentry.events) == 1
