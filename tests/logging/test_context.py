from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from undercroft._core.context import Correlation, correlate
from undercroft.logging import Logger, log_context, logger, setup_logging

pytestmark = pytest.mark.anyio
SetUp = Callable[..., Any]


def test_fields_are_on_every_line_of_the_block(log_as: SetUp, lines: Any) -> None:
    log_as()
    with log_context({"tenant": "acme"}, order_id=7):
        logger.info("ours")
        logging.getLogger("theirs").warning("theirs")
    logger.info("after")
    ours, theirs, after = lines.objects
    for line in (ours, theirs):
        assert (line["tenant"], line["order_id"]) == ("acme", 7)
    assert not {"tenant", "order_id"} & after.keys()


def test_blocks_add_up_and_the_innermost_wins(log_as: SetUp, lines: Any) -> None:
    log_as()
    with log_context(a=1, b=1):
        with log_context(b=2):
            logger.info("inner")
        logger.info("outer")
    assert [(line["a"], line["b"]) for line in lines.objects] == [(1, 2), (1, 1)]


def test_a_loggers_context_and_the_calls_fields_win(log_as: SetUp, lines: Any) -> None:
    log_as()
    with log_context(a="block", b="block", c="block"):
        Logger({"b": "logger", "c": "logger"}).info("x", c="call")
        logging.getLogger("theirs").warning("x", extra={"a": "extra"})
    ours, theirs = lines.objects
    assert (ours["a"], ours["b"], ours["c"]) == ("block", "logger", "call")
    assert theirs["a"] == "extra"


def test_values_are_taken_as_they_are_and_redacted(log_as: SetUp, lines: Any) -> None:
    log_as()
    items = [1]
    with log_context(items=items, password="hunter2"):
        items.append(2)
        logger.info("x")
    assert (lines.objects[0]["items"], lines.objects[0]["password"]) == ([1], "***")


async def test_it_flows_into_tasks_and_threads_and_not_out_of_them(log_as: SetUp, lines: Any) -> None:
    log_as()

    async def work(name: str) -> None:
        with log_context(task=name):
            await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(logger.info, name)
            await asyncio.to_thread(logger.info, name)

    with log_context(outer=1):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(work, f"task-{number}")
        logger.info("outside")
    *inside, outside = lines.objects
    assert len(inside) == 10
    assert all(line["task"] == line["message"] and line["outer"] == 1 for line in inside)
    assert "task" not in outside


def test_context_is_that_of_the_call_when_another_thread_writes(alone: None) -> None:
    stream = io.StringIO()
    setup = setup_logging(format="json", stream=stream, buffer=100, uncaught=False)
    with correlate(Correlation(request_id="req-1", job_id="job-1")), log_context(order_id=7):
        logger.info("x")
    setup.close()
    assert '"request_id":"req-1","job_id":"job-1","order_id":7' in stream.getvalue()


def test_a_thread_that_was_not_given_the_context_has_none(log_as: SetUp, lines: Any) -> None:
    log_as()
    with log_context(order_id=7):
        thread = threading.Thread(target=logger.info, args=("x",))
        thread.start()
        thread.join()
    assert "order_id" not in lines.objects[0]


def test_a_block_that_raises_ends_its_context(log_as: SetUp, lines: Any) -> None:
    log_as()
    with pytest.raises(ValueError, match="bad"), log_context(order_id=7):
        raise ValueError("bad")
    logger.info("x")
    assert "order_id" not in lines.objects[0]
