"""What a failing request and a failing job report, with an Infra around them and a real server in front."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.asgi._calls import answering, call, http_scope, raising
from tests.asgi._server import client_of, served
from tests.logging.sentry.conftest import Reporting
from undercroft import Infra
from undercroft._core.context import Correlation, Trace
from undercroft.asgi import InfraMiddleware, Receive, Scope, Send
from undercroft.logging import logger, setup_logging
from undercroft.queue import QueueUnavailableError, job

pytestmark = pytest.mark.anyio


@job("shop.charge", retries=0)
async def charge(order_id: int) -> None:
    logger.info("charging", order_id=order_id)
    raise ConnectionError("the bank does not answer")


@pytest.fixture(autouse=True)
def every_line(lines: Any) -> Iterator[None]:
    with setup_logging(level="info", format="json", stream=lines):
        yield


def shop(home: Path) -> Infra:
    return Infra(environ={}, jobs=[charge], email_from="shop@example.com", home=home)


async def test_failing_job_is_one_event_with_the_jobs_names(reporting: Reporting, home: Path) -> None:
    async with reporting() as (_, sentry), shop(home) as infra:
        handle = await charge.enqueue(order_id=7)
        await infra.queue.worker().drain()

    assert sentry.event["tags"]["job_id"] == handle.id
    assert [error["type"] for error in sentry.event["exception"]["values"]] == ["ConnectionError"]
    assert "charging" in [crumb["message"] for crumb in sentry.event["breadcrumbs"]["values"]]


async def test_answer_that_stands_for_an_error_of_ours_is_an_event(reporting: Reporting, home: Path) -> None:
    async with reporting() as (_, sentry), shop(home) as infra:
        app = InfraMiddleware(raising(QueueUnavailableError("no answer")), infra)
        await call(app, http_scope(headers=[("x-request-id", "mine")]))

    assert sentry.event["tags"]["request_id"] == "mine"
    assert sentry.event["exception"]["values"][-1]["type"] == "QueueUnavailableError"


async def test_answer_of_500_alone_is_no_event(reporting: Reporting, home: Path) -> None:
    async with reporting() as (_, sentry), shop(home) as infra:
        await call(InfraMiddleware(answering(500), infra))

    assert sentry.events == []


async def test_exception_says_which_request_it_left(reporting: Reporting) -> None:
    trace = Trace.new()
    error = ZeroDivisionError("by nothing")
    error.__undercroft_names__ = Correlation(request_id="mine", trace=trace)  # type: ignore[attr-defined]
    async with reporting() as (_, sentry):
        logger.error("exception in an application", error)

    assert sentry.event["tags"] == {"request_id": "mine", "trace_id": trace.trace_id}
    assert sentry.event["contexts"]["trace"]["trace_id"] == trace.trace_id


async def test_failing_request_is_one_event_with_the_requests_names(reporting: Reporting, home: Path) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("dividing")
        raise ZeroDivisionError("by nothing")

    async with reporting() as (_, sentry):
        with served(InfraMiddleware(fails, shop(home))) as server, client_of(server) as client:
            answer = await anyio.to_thread.run_sync(lambda: client.get("/", headers={"x-request-id": "mine"}))

    assert answer.status_code == 500
    assert sentry.event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
    assert sentry.event["tags"]["request_id"] == "mine"
    assert "dividing" in [crumb["message"] for crumb in sentry.event["breadcrumbs"]["values"]]
