from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import LogContextError, Logger, LogLevelError, create_logger, logger

pytestmark = pytest.mark.anyio
SetUp = Callable[..., Any]


def test_a_line_carries_context_and_fields_in_that_order(log_as: SetUp, lines: Any) -> None:
    log_as()
    Logger({"service": "shop"}).info("paid", {"order_id": 7}, amount=9.5)
    written = lines.objects[0]
    assert list(written) == ["timestamp", "level", "logger", "message", "service", "order_id", "amount"]
    assert written["message"] == "paid"
    assert written["logger"] == "undercroft.app"


def test_fields_of_the_call_win_over_the_context(log_as: SetUp, lines: Any) -> None:
    log_as()
    Logger({"step": "context"}).info("x", {"step": "mapping"}, step="keyword")
    assert lines.objects[0]["step"] == "keyword"


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("debug", "debug"),
        ("info", "info"),
        ("warn", "warning"),
        ("warning", "warning"),
        ("error", "error"),
        ("exception", "error"),
        ("critical", "critical"),
    ],
)
def test_each_method_writes_its_level(method: str, word: str, log_as: SetUp, lines: Any) -> None:
    log_as()
    getattr(logger, method)("x")
    assert lines.objects[0]["level"] == word


def test_a_child_has_the_context_module_level_and_sink_of_its_parent() -> None:
    got: list[str] = []
    parent = Logger({"a": 1}, module="shop.http", level="debug", sink=got.append)
    child = parent.child({"b": 2}, c=3)
    child.debug("x")
    assert child.context == {"a": 1, "b": 2, "c": 3}
    assert child.module == "shop.http"
    assert json.loads(got[0])["c"] == 3


def test_a_child_leaves_its_parent_as_it_was() -> None:
    parent = Logger({"a": 1})
    parent.child(a=2)
    assert parent.context == {"a": 1}


def test_a_module_in_the_context_is_the_module(log_as: SetUp, lines: Any) -> None:
    log_as()
    Logger({"module": "auth"}).child({"module": "auth.login"}).info("x")
    assert lines.objects[0]["module"] == lines.objects[0]["logger"] == "auth.login"
    assert Logger({"module": "auth"}, module="given").module == "given"


def test_the_context_is_given_out_as_a_copy() -> None:
    log = Logger({"a": 1})
    log.context["a"] = 2
    assert log.context == {"a": 1}


def test_a_later_change_of_the_given_mapping_does_not_reach_the_logger() -> None:
    given = {"a": 1}
    log = Logger(given)
    given["a"] = 2
    assert log.context == {"a": 1}


def test_a_context_that_is_no_mapping_is_refused_with_a_hint() -> None:
    with pytest.raises(LogContextError, match=r'UC1103(.|\n)*module="shop.http"'):
        Logger("shop.http")  # type: ignore[arg-type]


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="service"):
        create_logger(service="shop")  # type: ignore[call-arg]


def test_an_unknown_level_is_refused_with_near_names() -> None:
    with pytest.raises(LogLevelError, match=r"UC1101(.|\n)*near: warning(.|\n)*levels: trace, debug"):
        Logger(level="waring")


@pytest.mark.parametrize("level", [0, 51, True, -10])
def test_a_number_that_is_no_level_is_refused(level: int) -> None:
    with pytest.raises(LogLevelError):
        Logger(level=level)


@pytest.mark.parametrize("level", ["WARN", " warning ", 30])
def test_a_level_has_all_its_names(level: str | int) -> None:
    log = Logger(level=level)
    assert log.is_level_enabled("warning")
    assert not log.is_level_enabled("info")


def test_a_level_of_its_own_wins_over_the_standard_library(log_as: SetUp, lines: Any) -> None:
    log_as(level="error")
    Logger(level="debug").debug("mine")
    Logger().info("theirs")
    assert [line["message"] for line in lines.objects] == ["mine"]


def test_logging_disable_silences_every_logger() -> None:
    got: list[str] = []
    logging.disable(logging.ERROR)
    try:
        Logger(level="debug", sink=got.append).error("x")
    finally:
        logging.disable(logging.NOTSET)
    assert not got


def test_a_sink_gets_json_lines_from_info_up() -> None:
    got: list[str] = []
    log = Logger(sink=got.append)
    log.debug("no")
    log.info("yes", a=1)
    assert [json.loads(line)["message"] for line in got] == ["yes"]


def test_an_exception_after_the_message_becomes_the_error(log_as: SetUp, lines: Any) -> None:
    log_as()
    logger.error("failed", ValueError("bad"), order_id=7)
    assert lines.objects[0]["error"] == {"type": "ValueError", "message": "bad"}
    assert lines.objects[0]["order_id"] == 7


def test_exception_writes_the_stack_and_the_chain_of_causes(log_as: SetUp, lines: Any) -> None:
    log_as()
    try:
        try:
            raise KeyError("x")
        except KeyError as exc:
            raise ValueError("bad") from exc
    except ValueError:
        logger.exception("failed")
    error = lines.objects[0]["error"]
    assert "test_logger.py" in error["stack"]
    assert error["cause"]["type"] == "KeyError"


def test_an_exception_given_to_exception_is_the_error_and_nothing_else(log_as: SetUp, lines: Any) -> None:
    log_as()
    logger.exception("failed", ValueError("given"))
    logger.exception("nothing is being handled")
    given, nothing = lines.objects
    assert (given["error"]["message"], "exc_info" in given) == ("given", False)
    assert "error" not in nothing


def test_the_standard_librarys_exc_info_is_understood(log_as: SetUp, lines: Any) -> None:
    log_as()
    try:
        raise ValueError("bad")
    except ValueError as exc:
        for exc_info in (True, exc, (type(exc), exc, None)):
            logger.warning("failed", exc_info=exc_info)
    assert [line["error"]["message"] for line in lines.objects] == ["bad"] * 3


def test_members_of_an_exception_group_are_shown(log_as: SetUp, lines: Any) -> None:
    log_as()
    logger.error("failed", ExceptionGroup("two", [ValueError("a"), KeyError("b")]))
    assert [member["type"] for member in lines.objects[0]["error"]["errors"]] == ["ValueError", "KeyError"]


def test_exceptions_that_cause_each_other_end(log_as: SetUp, lines: Any) -> None:
    log_as()
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    logger.error("failed", one)
    assert lines.objects[0]["error"]["cause"]["cause"] == "<cycle>"


def test_handlers_of_the_standard_library_see_message_fields_and_caller(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Logger(module="shop.http").info("paid", order_id=7, name="kept from the record's own name")
    record = caplog.records[0]
    assert (record.name, record.getMessage(), record.levelno) == ("shop.http", "paid", logging.INFO)
    assert record.__dict__["order_id"] == 7
    assert (record.filename, record.funcName) == (
        "test_logger.py",
        "test_handlers_of_the_standard_library_see_message_fields_and_caller",
    )


def test_a_percent_sign_in_a_message_is_a_percent_sign(caplog: pytest.LogCaptureFixture) -> None:
    logger.error("100%s sure %d")
    assert caplog.messages == ["100%s sure %d"]


def test_a_failing_sink_does_not_reach_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(line: str) -> None:
        raise OSError("disk full")

    Logger(sink=fail).info("x")
    assert "disk full" in capsys.readouterr().err


def test_a_failing_filter_does_not_reach_the_caller(
    log_as: SetUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_as()
    target = logging.getLogger("shop.failing")

    def fail(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    target.addFilter(fail)
    Logger(module="shop.failing").info("x")
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setattr(logging, "raiseExceptions", False)
    Logger(module="shop.failing").info("x")
    assert capsys.readouterr().err == ""
    target.removeFilter(fail)


def test_a_second_argument_that_is_no_mapping_is_written_all_the_same(log_as: SetUp, lines: Any) -> None:
    log_as()
    logger.info("x", 5)  # type: ignore[arg-type]
    assert lines.objects[0]["details"] == 5


def test_a_value_that_changes_later_is_logged_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    order = {"state": "open"}
    with caplog.at_level(logging.INFO):
        logger.info("x", order=order)
    order["state"] = "closed"
    assert caplog.records[0].__dict__["order"] == {"state": "open"}


async def test_the_request_id_is_present_in_tasks_and_threads(log_as: SetUp, lines: Any) -> None:
    log_as()
    trace = Trace.new()

    async def in_a_task() -> None:
        logger.info("task")
        await anyio.to_thread.run_sync(logger.info, "thread")
        await asyncio.to_thread(logging.getLogger("other").info, "foreign thread")

    with correlate(Correlation(request_id="req-1", trace=trace, job_id="job-1")):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_a_task)
    logger.info("outside")
    *inside, outside = lines.objects
    names = {"request_id": "req-1", "trace_id": trace.trace_id, "span_id": trace.span_id, "job_id": "job-1"}
    assert [{name: line.get(name) for name in names} for line in inside] == [names] * 3
    assert not names.keys() & outside.keys()


async def test_concurrent_requests_keep_their_own_ids(log_as: SetUp, lines: Any) -> None:
    log_as()

    async def request(number: int) -> None:
        with correlate(Correlation(request_id=f"req-{number}")):
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
                logger.info("x", number=number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(request, number)
    assert len(lines.objects) == 60
    assert all(line["request_id"] == f"req-{line['number']}" for line in lines.objects)


def test_importing_and_making_loggers_leaves_the_standard_library_as_it_was() -> None:
    program = """
import logging
before = dict(logging.root.manager.loggerDict), list(logging.root.handlers), logging.root.level
from undercroft.logging import Logger
Logger(module="shop.http").child(a=1)
after = dict(logging.root.manager.loggerDict), list(logging.root.handlers), logging.root.level
assert not {name for name in after[0].keys() - before[0].keys() if name.startswith(("undercroft", "shop"))}
assert before[1:] == after[1:]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
