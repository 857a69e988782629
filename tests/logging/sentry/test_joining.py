"""When the application has set up Sentry itself, its client stays, and what it sends is redacted and named."""

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

from tests.logging.sentry._receiver import receiving
from undercroft._core.context import Correlation, correlate
from undercroft.logging import Logger, setup_logging
from undercroft.logging.sentry import SentryBridge

pytestmark = pytest.mark.anyio
shop = Logger(module="shop.pay")
ELSEWHERE = "http://other@127.0.0.1:1/1"
SECRET = "caNARy-0d2c"


@pytest.fixture(autouse=True)
def every_line(lines: Any) -> Iterator[None]:
    with setup_logging(level="debug", format="json", stream=lines):
        yield


def init(dsn: str, **options: Any) -> Any:
    sentry_sdk.init(dsn, default_integrations=False, release="theirs", **options)
    return sentry_sdk.get_client()


async def test_client_of_the_application_is_used_and_left_open() -> None:
    async with receiving() as sentry:
        client = init(sentry.dsn)
        async with SentryBridge(ELSEWHERE, release="ours") as bridge:
            assert bridge.is_joined
            assert sentry_sdk.get_client() is client
            shop.error("failed", password=SECRET)
        assert sentry_sdk.get_client() is client
        client.close(2.0)
        sentry_sdk.get_global_scope().set_client(None)

    assert sentry.event["release"] == "theirs"
    assert SECRET not in sentry.text


async def test_their_hooks_run_first_and_ours_see_what_they_left() -> None:
    def theirs(event: Any, hint: Any) -> Any:
        assert event["extra"] == {"password": "[Filtered]", "n": 1}  # the SDK's own scrubber was here
        if event["logger"] == "dropped":
            return None
        return {**event, "tags": {"added": f"redis://u:{SECRET}@cache"}}

    async with receiving() as sentry:
        client = init(sentry.dsn, before_send=theirs)
        async with SentryBridge(ELSEWHERE):
            sentry_sdk.capture_event({"logger": "kept", "extra": {"password": SECRET, "n": 1}})
            sentry_sdk.capture_event({"logger": "dropped", "extra": {"password": SECRET, "n": 1}})
        assert client.options["before_send"] is theirs
        client.close(2.0)
        sentry_sdk.get_global_scope().set_client(None)

    assert sentry.event["tags"] == {"added": "redis://***@cache"}


async def test_lines_are_not_reported_twice() -> None:
    async with receiving() as sentry:
        client = init(sentry.dsn, integrations=[LoggingIntegration()])
        async with SentryBridge(ELSEWHERE):
            with correlate(Correlation(request_id="req-1")):
                shop.info("before", password=SECRET)
                shop.error("failed", {"password": SECRET, "order_id": 7})
        client.close(2.0)
        sentry_sdk.get_global_scope().set_client(None)

    assert sentry.event["tags"]["request_id"] == "req-1"
    assert sentry.event["extra"]["order_id"] == 7
    assert "undercroft" not in sentry.event["extra"]
    assert SECRET not in sentry.text


async def test_hook_that_was_put_on_top_meanwhile_stays() -> None:
    async with receiving() as sentry:
        client = init(sentry.dsn)
        async with SentryBridge(ELSEWHERE):
            inner = client.options["before_send"]
            client.options["before_send"] = outer = lambda event, hint: inner(event, hint)
        assert client.options["before_send"] is outer
        assert client.options["before_breadcrumb"] is None
        client.close(2.0)
        sentry_sdk.get_global_scope().set_client(None)
