"""Lines go past the standard library's records only where nobody could see one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from undercroft.logging import Logger, _handler, logger

pytestmark = pytest.mark.usefixtures("alone")
SetUp = Callable[..., Any]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages of the records that are made."""
    made: list[str] = []
    original = logging.Logger.makeRecord

    def make(self: logging.Logger, *args: Any, **options: Any) -> logging.LogRecord:
        record = original(self, *args, **options)
        made.append(record.getMessage())
        return record

    monkeypatch.setattr(logging.Logger, "makeRecord", make)
    monkeypatch.setattr(_handler, "_MAKE_RECORD", make)  # who wraps it gets records, which is tested below
    return made


@pytest.fixture(params=["alone"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_no_record_is_made_where_no_other_handler_is(log_as: SetUp, lines: Any, records: list[str]) -> None:
    log_as()
    logger.info("x", a=1)
    Logger(module="shop.http").warning("y", {"b": [1]})
    assert records == []
    assert [line["message"] for line in lines.objects] == ["x", "y"]


def test_a_handler_beside_ours_gets_a_record(log_as: SetUp, lines: Any, records: list[str]) -> None:
    log_as()
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    for target in (logging.getLogger(), logging.getLogger("shop")):
        target.addHandler(handler)
        Logger(module="shop.http").info("x")
        target.removeHandler(handler)
    assert (seen, len(records), len(lines.objects)) == (["x", "x"], 2, 2)


def test_a_filter_sees_each_line(log_as: SetUp, lines: Any) -> None:
    setup = log_as()
    target = logging.getLogger("shop.filtered")

    def refuse(record: logging.LogRecord) -> bool:
        return record.getMessage() != "no"

    for filtered in (target, setup._handler):
        filtered.addFilter(refuse)
        Logger(module="shop.filtered").info("no")
        Logger(module="shop.filtered").info("yes")
        filtered.removeFilter(refuse)
    assert [line["message"] for line in lines.objects] == ["yes", "yes"]


def test_a_level_of_our_handler_holds(log_as: SetUp, lines: Any) -> None:
    setup = log_as()
    setup._handler.setLevel(logging.ERROR)
    logger.info("no")
    logger.error("yes")
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_a_logger_that_does_not_propagate_writes_no_line(log_as: SetUp, lines: Any) -> None:
    log_as()
    target = logging.getLogger("shop.silent")
    target.addHandler(logging.NullHandler())
    target.propagate = False
    try:
        Logger(module="shop.silent").info("x")
        Logger(module="shop.silent.below").info("x")
    finally:
        target.propagate = True
        target.handlers.clear()
    assert lines.objects == []


def test_a_record_factory_makes_the_records(log_as: SetUp, lines: Any, records: list[str]) -> None:
    log_as()
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **options: before(*args, **options))
    try:
        logger.info("x")
    finally:
        logging.setLogRecordFactory(before)
    assert records == ["x"]


@pytest.mark.parametrize("name", ["callHandlers", "handle", "makeRecord"])
def test_who_wraps_the_way_of_records_sees_each(
    name: str, log_as: SetUp, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the Sentry SDK does."""
    log_as()
    seen: list[str] = []
    original = getattr(logging.Logger, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        seen.append(name)
        return original(*args, **options)

    monkeypatch.setattr(logging.Logger, name, wrapped)
    logger.info("x")
    assert (seen, len(lines.objects)) == ([name], 1)


def test_a_logger_class_of_its_own_gets_its_records(log_as: SetUp, lines: Any) -> None:
    seen: list[str] = []

    class Theirs(logging.Logger):
        def handle(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            super().handle(record)

    before = logging.getLoggerClass()
    logging.setLoggerClass(Theirs)
    try:
        logging.getLogger("shop.of_its_own")
    finally:
        logging.setLoggerClass(before)
    log_as()
    Logger(module="shop.of_its_own").info("x")
    assert (seen, len(lines.objects)) == (["x"], 1)
