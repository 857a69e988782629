"""What of our lines comes to Sentry, and with which names."""

import asyncio
import logging

import pytest
import sentry_sdk

from tests.logging.sentry.conftest import Reporting
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import Logger, setup_logging
from undercroft.logging.sentry import SentryBridge

pytestmark = pytest.mark.anyio
shop = Logger(module="shop.pay")
TRACE = Trace(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
NAMES = Correlation(request_id="req-1", trace=TRACE, job_id="job-9")


@pytest.fixture(autouse=True)
def every_line(lines):  # the root logger's level decides what any handler sees
    with setup_logging(level="debug", format="json", stream=lines):
        yield


def fail(price: str) -> None:
    raise KeyError(price)


async def test_error_line_with_an_exception_becomes_an_event_with_its_stack(reporting: Reporting) -> None:
    async with reporting(release="shop@1.4.2") as (_, sentry):
        try:
            fail("price")
        except KeyError as exc:
            shop.error("payment failed", exc, order_id=7)

    event = sentry.event
    assert (event["level"], event["logger"]) == ("error", "shop.pay")
    assert event["logentry"] == {"message": "payment failed", "formatted": "payment failed"}
    assert event["extra"] == {"order_id": 7}
    assert (event["environment"], event["release"]) == ("test", "shop@1.4.2")
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("KeyError", "'price'")
    assert error["mechanism"] == {"type": "undercroft", "handled": True}
    assert [frame["function"] for frame in error["stacktrace"]["frames"]][-1] == "fail"


async def test_frames_have_no_variables_unless_they_are_asked_for(reporting: Reporting) -> None:
    for is_asked in (False, True):
        async with reporting(local_variables=is_asked) as (_, sentry):
            try:
                fail("price")
            except KeyError as exc:
                shop.error("payment failed", exc)

        frames = sentry.event["exception"]["values"][0]["stacktrace"]["frames"]
        assert [frame.get("vars") for frame in frames][-1] == ({"price": "'price'"} if is_asked else None)


async def test_error_line_without_an_exception_becomes_an_event_too(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        shop.critical("out of stock", sku="x1")

    assert sentry.event["level"] == "fatal"
    assert "exception" not in sentry.event
    assert "release" not in sentry.event


async def test_lines_of_other_libraries_are_grouped_by_their_template(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        logging.getLogger("some.library").error("cannot reach %s", "cache-1", extra={"attempt": 3})

    assert sentry.event["logger"] == "some.library"
    assert sentry.event["logentry"] == {"message": "cannot reach %s", "formatted": "cannot reach cache-1"}
    assert sentry.event["extra"] == {"attempt": 3}


async def test_event_has_the_names_of_the_work_that_it_came_from(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        with correlate(NAMES):
            shop.error("payment failed")

    assert sentry.event["tags"] == {"request_id": "req-1", "trace_id": TRACE.trace_id, "job_id": "job-9"}
    trace = sentry.event["contexts"]["trace"]
    assert (trace["trace_id"], trace["span_id"]) == (TRACE.trace_id, TRACE.span_id)


async def test_what_the_application_captures_itself_has_the_names_too(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        with correlate(NAMES):
            sentry_sdk.capture_exception(ValueError("bad"))
            sentry_sdk.capture_message("look at this")

    assert [event["tags"]["request_id"] for event in sentry.events] == ["req-1", "req-1"]


async def test_what_the_application_puts_on_the_scope_is_on_the_event(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        with correlate(NAMES), sentry_sdk.new_scope() as scope:
            scope.set_tag("plan", "gold")
            scope.set_context("basket", {"items": 3})
            scope.set_user({"id": "42"})
            shop.error("payment failed")

    assert sentry.event["tags"] == {
        "plan": "gold",
        "request_id": "req-1",
        "trace_id": TRACE.trace_id,
        "job_id": "job-9",
    }
    assert sentry.event["contexts"]["basket"] == {"items": 3}
    assert sentry.event["user"] == {"id": "42"}


async def test_user_is_asked_for_where_the_event_is_captured(reporting: Reporting) -> None:
    from contextvars import ContextVar

    who: ContextVar[str | None] = ContextVar("who", default=None)

    def user() -> dict[str, object] | None:
        return {"id": who.get()} if who.get() else None

    async def serve(name: str) -> None:
        who.set(name)
        await asyncio.sleep(0)
        shop.error("payment failed", by=name)

    async with reporting(user=user) as (_, sentry):
        shop.error("nobody's")
        await asyncio.gather(serve("ada"), serve("bob"))

    assert [event.get("user") for event in sentry.events] == [None, {"id": "ada"}, {"id": "bob"}]
    assert [event["extra"].get("by") for event in sentry.events] == [None, "ada", "bob"]


async def test_lines_before_the_error_are_its_breadcrumbs(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        shop.debug("too fine")
        shop.info("charging", order_id=7)
        logging.getLogger("lib").warning("slow: %d ms", 900)
        shop.error("payment failed")

    crumbs = sentry.event["breadcrumbs"]["values"]
    assert [(crumb["category"], crumb["level"], crumb["message"]) for crumb in crumbs] == [
        ("shop.pay", "info", "charging"),
        ("lib", "warning", "slow: 900 ms"),
    ]
    assert crumbs[0]["data"] == {"order_id": 7}


async def test_concurrent_requests_do_not_get_each_others_breadcrumbs(reporting: Reporting) -> None:
    async def serve(number: int) -> None:
        with correlate(Correlation(request_id=f"req-{number}")):
            for step in ("one", "two"):
                shop.info(f"{step} of {number}")
                await asyncio.sleep(0)
            shop.error("failed", number=number)

    async with reporting() as (_, sentry):
        await asyncio.gather(*(serve(number) for number in range(5)))

    for event in sentry.events:
        number = event["extra"]["number"]
        messages = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
        assert messages == [f"one of {number}", f"two of {number}"]
    assert len(sentry.events) == 5


async def test_breadcrumbs_of_the_application_come_between_ours(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        shop.info("first")
        sentry_sdk.add_breadcrumb(category="ui", message="second")
        shop.info("third")
        shop.error("failed")

    assert [crumb["message"] for crumb in sentry.event["breadcrumbs"]["values"]] == ["first", "second", "third"]


async def test_breadcrumbs_are_bounded(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        for number in range(10_000):
            with correlate(Correlation(request_id=f"req-{number % 1_000}")):
                shop.info("line", number=number)
        with correlate(Correlation(request_id="req-999")):
            for number in range(200):
                shop.info("line", number=number)
            shop.error("failed")
        with correlate(Correlation(request_id="req-5")):
            shop.error("forgotten")

    first, second = sentry.events
    assert [crumb["data"]["number"] for crumb in first["breadcrumbs"]["values"]] == list(range(150, 200))
    assert second["breadcrumbs"]["values"] == []


async def test_levels_can_be_chosen(reporting: Reporting) -> None:
    async with reporting(breadcrumbs="debug", events="warning") as (_, sentry):
        shop.debug("fine")
        shop.warning("careful")

    assert sentry.event["level"] == "warning"
    assert [crumb["message"] for crumb in sentry.event["breadcrumbs"]["values"]] == ["fine"]


async def test_one_exception_in_two_lines_is_one_event(reporting: Reporting) -> None:
    async with reporting() as (_, sentry):
        exc = KeyError("price")
        shop.error("cannot price", exc)
        shop.error("request failed", exc)

    assert len(sentry.events) == 1


async def test_exception_that_leaves_the_block_is_reported_and_raised(reporting: Reporting) -> None:
    with pytest.raises(ZeroDivisionError):
        async with reporting() as (_, sentry):
            _ = 1 / 0

    assert sentry.event["level"] == "fatal"
    assert sentry.event["exception"]["values"][0]["mechanism"] == {"type": "undercroft", "handled": False}


async def test_storm_of_errors_costs_a_burst_of_events(reporting: Reporting) -> None:
    clock = VirtualClock()
    async with reporting(clock=clock) as (bridge, _):
        for _ in range(1_000):
            shop.error("again")
        first = bridge.counts
        await clock.advance(1.0)
        for _ in range(1_000):
            shop.error("again")

    assert first.reported + first.skipped == 1_000
    assert first.reported == 50
    assert bridge.counts.reported - first.reported == 5
    assert bridge.counts.failed == 0


async def test_closed_bridge_reports_nothing_and_can_be_opened_again(reporting: Reporting) -> None:
    async with reporting() as (bridge, sentry):
        await bridge.close()
        assert not bridge.is_open
        shop.error("unheard")
        await bridge.close()
        await bridge.open()
        shop.error("heard")

    assert [event["logentry"]["formatted"] for event in sentry.events] == ["heard"]


async def test_open_bridge_cannot_be_opened(reporting: Reporting) -> None:
    async with reporting() as (bridge, _):
        with pytest.raises(RuntimeError, match="open already"):
            await bridge.open()


async def test_nothing_happens_before_it_is_opened() -> None:
    SentryBridge("http://key@127.0.0.1:1/42")

    assert not sentry_sdk.get_client().is_active()
