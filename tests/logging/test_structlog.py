from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tests.logging.naughty import naughty_strings
from undercroft._core.context import Correlation, correlate
from undercroft.contrib.structlog import processor, to_undercroft
from undercroft.logging import log_context, logger

SetUp = Callable[..., Any]


@pytest.fixture(autouse=True)
def structlog_is_left_alone() -> Iterator[None]:
    before = logging.getLoggerClass()
    yield
    structlog.reset_defaults()
    logging.setLoggerClass(before)  # structlog's own, once its factory of standard loggers was made


@pytest.fixture
def handed_over(log_as: SetUp) -> Any:
    log_as()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, to_undercroft])
    return structlog.get_logger()


@pytest.fixture
def rendered() -> tuple[Any, io.StringIO]:
    """A structlog logger that writes by itself, and what it writes to."""
    stream = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.TimeStamper(fmt="iso"), processor, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    return structlog.get_logger().bind(logger="shop.http"), stream


def test_an_event_is_a_line_like_all_others(handed_over: Any, lines: Any) -> None:
    with correlate(Correlation(request_id="req-1")), log_context(tenant="acme"):
        handed_over.info("order paid", order_id=7, password="hunter2", level="x")
        logger.info("order paid", order_id=7, password="hunter2")
    theirs, ours = lines.objects
    assert theirs.pop("logger") == "structlog"
    assert theirs.pop("module") == "structlog"
    assert ours.pop("logger") == "undercroft.app"
    theirs.pop("timestamp"), ours.pop("timestamp")
    assert theirs == ours


def test_fields_may_have_any_name(handed_over: Any, lines: Any) -> None:
    """The standard library's `extra` refuses these."""
    handed_over.info("x", name="n", args=[1], module="m", message="forged", details=1)
    line = lines.objects[0]
    assert (line["name"], line["args"], line["details"]) == ("n", [1], 1)
    assert line["fields"] == {"module": "m", "message": "forged"}


@pytest.mark.parametrize(
    ("method", "level"),
    [
        ("debug", "debug"),
        ("info", "info"),
        ("msg", "info"),
        ("warning", "warning"),
        ("warn", "warning"),
        ("error", "error"),
        ("exception", "error"),
        ("critical", "critical"),
        ("fatal", "critical"),
    ],
)
def test_each_method_has_its_level(method: str, level: str, handed_over: Any, lines: Any) -> None:
    getattr(handed_over, method)("x")
    assert lines.objects[0]["level"] == level


def test_exceptions_become_the_error(handed_over: Any, lines: Any) -> None:
    try:
        raise ValueError("bad")
    except ValueError as exc:
        handed_over.exception("x")
        handed_over.warning("x", exc_info=True)
        handed_over.warning("x", exc_info=exc)
    assert [line["error"]["message"] for line in lines.objects] == ["bad"] * 3
    assert all("exc_info" not in line for line in lines.objects)


def test_the_level_of_the_loggers_name_holds(log_as: SetUp, lines: Any) -> None:
    log_as(level="warning")
    structlog.configure(processors=[to_undercroft], logger_factory=structlog.stdlib.LoggerFactory())
    structlog.get_logger("shop.http").info("no")
    structlog.get_logger("shop.http").error("yes")
    assert [(line["message"], line["logger"]) for line in lines.objects] == [("yes", "shop.http")]


def test_structlogs_own_output_has_our_keys_and_is_redacted(rendered: tuple[Any, io.StringIO]) -> None:
    log, stream = rendered
    with correlate(Correlation(request_id="req-1", job_id="job-1")):
        log.info("see redis://shop:pa55@cache:6379/0", order_id=7, api_key="k-1")
    line = json.loads(stream.getvalue())
    assert list(line) == ["timestamp", "level", "logger", "message", "request_id", "job_id", "order_id", "api_key"]
    assert (line["logger"], line["message"], line["api_key"]) == ("shop.http", "see redis://***@cache:6379/0", "***")


def test_structlogs_own_output_is_one_line_of_json_whatever_is_in_it(rendered: tuple[Any, io.StringIO]) -> None:
    log, stream = rendered
    strings = naughty_strings()
    for text in strings:
        log.info(text, value=text)
    written = stream.getvalue().split("\n")[:-1]
    assert len(written) == len(strings)
    assert all(len(f"{line}.".splitlines()) == 1 for line in written)


def test_the_event_dictionary_is_not_changed() -> None:
    given = {"event": "x", "password": "hunter2", "items": [1]}
    processor(None, "info", given)
    assert given == {"event": "x", "password": "hunter2", "items": [1]}


def test_structlog_over_the_standard_library_needs_nothing_of_ours(log_as: SetUp, lines: Any) -> None:
    log_as()
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    structlog.get_logger("shop.http").info("x", order_id=7, password="hunter2")
    line = lines.objects[0]
    assert (line["logger"], line["order_id"], line["password"]) == ("shop.http", 7, "***")
