from __future__ import annotations

import io
import logging
import logging.config
import logging.handlers
import pickle
import queue
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn.config

from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import LogFormatError, Logger, LogLevelError, logger, setup_logging
from undercroft.logging._captured import entry_of
from undercroft.logging._json import JsonFormatter

SetUp = Callable[..., Any]
ROOT = logging.getLogger()


@pytest.fixture
def uvicorn_configured() -> Iterator[None]:
    """uvicorn's loggers as `uvicorn app:app` leaves them before it imports the application."""
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    yield
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        theirs = logging.getLogger(name)
        theirs.handlers, theirs.propagate = [], True
        theirs.setLevel(logging.NOTSET)


def test_info_is_the_default_level(lines: Any) -> None:
    with setup_logging(format="json", stream=lines):
        logger.debug("no")
        logger.info("yes")
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_auto_is_json_into_a_file_and_text_on_a_terminal(lines: Any, terminal: Any) -> None:
    with setup_logging(stream=lines):
        logger.info("x")
    with setup_logging(stream=terminal):
        logger.info("x")
    assert lines.written[0].startswith("{")
    assert not terminal.written[0].startswith("{")


def test_the_default_stream_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging():
        logger.info("x")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_text_is_coloured_on_a_terminal_only_and_not_with_no_color(lines: Any, terminal: Any) -> None:
    with setup_logging(stream=lines, format="text"):
        logger.info("file")
    with setup_logging(stream=terminal, format="text"):
        logger.info("coloured")
    with setup_logging(stream=terminal, format="text", no_color=True):
        logger.info("plain")
    assert ["\x1b[" in line for line in [*lines.written, *terminal.written]] == [False, True, False]


def test_a_text_line_shows_time_level_module_message_fields_and_request(log_as: SetUp, lines: Any) -> None:
    log_as("text")
    with correlate(Correlation(request_id="req-1")):
        Logger(module="shop.http").info("order paid", order_id=7, note="two words")
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3} INFO  shop\.http order paid order_id=7 note="two words" \[req-1\]', lines.written[0]
    )


def test_a_text_line_shows_an_error_and_its_cause_innermost_frame_first(log_as: SetUp, lines: Any) -> None:
    def inner() -> None:
        raise KeyError("x")

    log_as("text")
    try:
        try:
            inner()
        except KeyError as exc:
            raise ValueError("bad\nthing") from exc
    except ValueError:
        logger.exception("failed")
    shown = lines.written[0].partition("failed ")[2]
    assert shown.startswith('error="ValueError: bad\\nthing" at="logging/test_setup.py:')
    assert re.search(r'cause="KeyError: \'x\'" at="logging/test_setup\.py:\d+ in inner < ', shown)


def test_an_unknown_level_changes_nothing_and_lists_the_levels() -> None:
    before = list(ROOT.handlers)
    with pytest.raises(LogLevelError, match=r"UC1101(.|\n)*near: info(.|\n)*debug, info, warning"):
        setup_logging(level="infos")
    assert ROOT.handlers == before


@pytest.mark.parametrize("form", ["jason", "", "logfmt"])
def test_an_unknown_format_is_refused(form: str) -> None:
    with pytest.raises(LogFormatError, match=r"UC1102(.|\n)*formats: auto, text, json"):
        setup_logging(format=form)


def test_closing_restores_handlers_and_level() -> None:
    before = (ROOT.level, list(ROOT.handlers))
    setup = setup_logging(level="error", stream=io.StringIO())
    assert ROOT.level == logging.ERROR
    setup.close()
    setup.close()
    assert (ROOT.level, list(ROOT.handlers)) == before


def test_setting_up_again_replaces_our_handler_and_nobody_elses(lines: Any) -> None:
    theirs = logging.NullHandler()
    ROOT.addHandler(theirs)
    first = setup_logging(stream=io.StringIO())
    count = len(ROOT.handlers)
    second = setup_logging(format="json", stream=lines)
    assert len(ROOT.handlers) == count
    assert theirs in ROOT.handlers
    logger.info("once")
    assert len(lines.written) == 1
    second.close()
    first.close()
    assert theirs in ROOT.handlers
    ROOT.removeHandler(theirs)


def test_closing_the_second_brings_the_first_back(lines: Any) -> None:
    with setup_logging(format="json", stream=lines, level="warning"):
        setup_logging(stream=io.StringIO(), level="debug").close()
        logger.info("no")
        logger.warning("yes")
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_setups_closed_in_any_order_restore_what_was_there_before(lines: Any) -> None:
    before = (ROOT.level, list(ROOT.handlers))
    setups = [setup_logging(stream=lines, format="json", level=level) for level in ("debug", "info", "error")]
    setups[1].close()
    setups[0].close()
    logger.error("still there")
    assert len(lines.written) == 1
    setups[2].close()
    assert (ROOT.level, list(ROOT.handlers)) == before


def test_handlers_taken_away_by_others_are_no_obstacle_to_closing() -> None:
    level = ROOT.level
    setup = setup_logging(stream=io.StringIO(), level="error")
    for handler in [handler for handler in ROOT.handlers if type(handler).__name__ == "LineHandler"]:
        ROOT.removeHandler(handler)
    setup.close()
    assert ROOT.level == level


@pytest.mark.usefixtures("uvicorn_configured")
def test_uvicorns_lines_come_once_in_our_format_with_the_request_id(
    log_as: SetUp, lines: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    log_as()
    with correlate(Correlation(request_id="req-1")):
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/", "1.1", 200, extra={"color_message": "\x1b[1mx"}
        )
    logging.getLogger("uvicorn.error").warning("started")
    access, error = lines.objects
    assert access["message"] == '127.0.0.1:1 - "GET / HTTP/1.1" 200'
    assert (access["logger"], access["request_id"]) == ("uvicorn.access", "req-1")
    assert "color_message" not in access
    assert error["message"] == "started"
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("uvicorn_configured")
def test_uvicorns_loggers_obey_the_level(log_as: SetUp, lines: Any) -> None:
    log_as(level="warning")
    logging.getLogger("uvicorn.access").info("no")
    logging.getLogger("uvicorn.error").info("no")
    assert lines.written == []


@pytest.mark.usefixtures("uvicorn_configured")
def test_closing_gives_uvicorn_its_loggers_back() -> None:
    def state() -> list[Any]:
        theirs = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.access", "uvicorn.error")]
        return [(log.level, log.propagate, list(log.handlers)) for log in theirs]

    before = state()
    first = setup_logging(stream=io.StringIO())
    second = setup_logging(stream=io.StringIO())
    assert state() != before
    first.close()
    second.close()
    assert state() == before


def test_a_file_handler_of_uvicorns_logger_stays(tmp_path: Any, log_as: SetUp) -> None:
    access = logging.getLogger("uvicorn.access")
    to_file = logging.FileHandler(tmp_path / "access.log")
    access.addHandler(to_file)
    access.propagate = False
    try:
        log_as()
        assert access.handlers == [to_file]
        assert not access.propagate
    finally:
        access.removeHandler(to_file)
        access.propagate = True
        to_file.close()


def test_extra_fields_of_standard_library_loggers_are_fields(log_as: SetUp, lines: Any) -> None:
    log_as()
    logging.getLogger("some.library").info("SELECT %s", 1, extra={"rows": 3, "password": "hunter2"})
    assert lines.objects[0]["message"] == "SELECT 1"
    assert (lines.objects[0]["rows"], lines.objects[0]["password"]) == (3, "***")


def test_a_record_formatted_later_in_another_thread_keeps_its_request(lines: Any) -> None:
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with setup_logging(format="json", stream=lines):
        ours = next(handler for handler in ROOT.handlers if type(handler).__name__ == "LineHandler")
        listener = logging.handlers.QueueListener(waiting, ours)
        theirs = logging.getLogger("shop.queued")
        theirs.propagate = False
        theirs.addHandler(logging.handlers.QueueHandler(waiting))
        with correlate(Correlation(request_id="req-1")):
            Logger(module="shop.queued").error("failed", ValueError("bad"), a=1)
        listener.start()
        listener.stop()
        theirs.handlers.clear()
        theirs.propagate = True
    line = lines.objects[0]
    assert (line["request_id"], line["a"], line["error"]["type"]) == ("req-1", 1, "ValueError")


def test_a_record_that_travels_pickled_keeps_its_line() -> None:
    record = logging.LogRecord("theirs", logging.INFO, "", 1, "got %s", ("x",), None)
    with correlate(Correlation(request_id="req-1", trace=Trace.new())):
        entry_of(record)
    again = logging.makeLogRecord(pickle.loads(pickle.dumps(record.__dict__)))
    assert JsonFormatter().format(again) == JsonFormatter().format(record)


def test_a_line_that_cannot_be_written_is_counted_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with setup_logging(stream=stream) as setup:
        stream.close()
        logger.info("x")
        assert setup.dropped_count == 1
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_stream_that_is_not_unicode_loses_no_line(form: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    with setup_logging(stream=stream, format=form) as setup:
        logger.info("Größe 🦆")
        assert setup.dropped_count == 0
    assert b"Gr\\u00f6\\u00dfe \\ud83e\\udd86" in raw.getvalue()
