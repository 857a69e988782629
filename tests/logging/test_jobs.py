"""The lines of a job name the request that enqueued it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import log_context, logger
from undercroft.queue import create_queue, job

pytestmark = pytest.mark.anyio
DEADLINE_S = 20.0


async def test_lines_of_a_job_name_the_request_and_trace_that_enqueued_it(
    log_as: Callable[..., Any], lines: Any
) -> None:
    done = asyncio.Event()

    @job("pay")
    async def pay() -> None:
        logger.info("paying")
        await asyncio.to_thread(logger.info, "paying in a thread")
        done.set()

    log_as()
    trace = Trace.new()
    async with create_queue("memory://", jobs=[pay]) as queue:
        with correlate(Correlation(request_id="req-1", trace=trace)), log_context(tenant="acme"):
            enqueued = await queue.enqueue(pay)
        async with queue.worker():
            await asyncio.wait_for(done.wait(), DEADLINE_S)
    written = [line for line in lines.objects if line["message"].startswith("paying")]
    assert [(line["request_id"], line["trace_id"], line["job_id"]) for line in written] == [
        ("req-1", trace.trace_id, enqueued.id)
    ] * 2
    assert all("tenant" not in line for line in written)  # it stays where it was set
