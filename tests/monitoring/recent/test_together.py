"""With the tracer and the logging that it is made for."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.monitoring.recent.test_story import shape
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import Logger, setup_logging
from undercroft.monitoring import RecentStore, StorySpan, setup_tracing, start_span

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kept(path: Path) -> AsyncIterator[RecentStore]:
    async with RecentStore(path) as store:
        yield store


async def serve(log: Logger) -> None:
    """A request, as a middleware, and a job, as a worker would name it."""
    with correlate(Correlation(request_id="req-00000001", trace=Trace.new())), start_span("POST /orders"):
        log.info("order placed", order_id=7, password="hunter2")
        with start_span("INSERT orders"):
            await asyncio.to_thread(log.debug, "in a thread")
    job = Correlation(request_id="req-00000001", trace=Trace.new(), job_id="job-00000001")
    with correlate(job), suppress(KeyError), start_span("job receipt"):
        log.warning("about to fail")
        raise KeyError("address")


async def test_request_and_its_job_are_told_as_they_were(kept: RecentStore) -> None:
    tracing = setup_tracing(processors=[kept])
    with setup_logging(stream=io.StringIO(), format="json", also=kept.on_line, level="debug") as logging:
        await serve(Logger(module="shop"))
        logging.flush()
    await tracing.aclose()

    story = await kept.story("req-00000001")

    assert sorted(shape(story)) == sorted(
        ["POST /orders", "  order placed", "  INSERT orders", "    in a thread", "job receipt", "  about to fail"]
    )
    assert (story.job_ids, story.error_count) == (("job-00000001",), 1)
    (placed,) = await kept.recent_lines(contains="order placed")
    assert (placed.module, placed.fields) == ("shop", {"order_id": 7, "password": "***"})
    failed = next(e for _, e in story.walk() if isinstance(e, StorySpan) and e.span.name == "job receipt")
    assert failed.span.attributes["error.type"] == "KeyError"
