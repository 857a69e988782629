from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from undercroft.logging import Logger, LoggerService, LogLevelError, logger, set_level, setup_logging

SetUp = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("trace", 5),
        ("silly", 5),
        ("verbose", 10),
        ("http", 20),
        ("notice", 20),
        ("warn", 30),
        ("err", 40),
        ("FATAL", 50),
        ("alert", 50),
        (" emergency ", 50),
    ],
)
def test_other_systems_names_are_understood(name: str, number: int) -> None:
    assert Logger(level=name).is_level_enabled(number)
    assert not Logger(level=name).is_level_enabled(number - 1)


def test_trace_is_below_debug(log_as: SetUp, lines: Any) -> None:
    log_as(level="debug")
    logger.trace("no")
    log_as(level="trace")
    logger.trace("yes")
    assert [(line["message"], line["level"]) for line in lines.objects] == [("yes", "trace")]


def test_trace_has_a_word_in_text_and_for_others_handlers(
    log_as: SetUp, lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log_as("text", level="trace")
    with caplog.at_level(5):
        logger.trace("x")
    assert "TRACE undercroft.app x" in lines.written[0]
    assert caplog.records[0].levelname == "TRACE"


def test_fatal_is_critical(log_as: SetUp, lines: Any) -> None:
    log_as()
    logger.fatal("x")
    assert lines.objects[0]["level"] == "critical"


def test_a_level_of_someone_elses_keeps_its_name(log_as: SetUp, lines: Any) -> None:
    log_as()
    logging.getLogger("theirs").log(25, "x")
    assert lines.objects[0]["level"] == "level 25"


def test_the_setups_level_changes_while_it_runs(log_as: SetUp, lines: Any) -> None:
    setup = log_as(level="info")
    logger.debug("no")
    set_level(setup, "debug")
    logger.debug("yes")
    set_level(setup, "error")
    logger.info("no")
    logging.getLogger("theirs").warning("no")
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_closing_puts_back_the_level_that_was_there_before(log_as: SetUp) -> None:
    before = logging.getLogger().level
    setup = log_as(level="info")
    set_level(setup, "trace")
    setup.close()
    assert logging.getLogger().level == before
    set_level(setup, "trace")
    assert logging.getLogger().level == before


def test_a_librarys_level_changes_by_its_name(log_as: SetUp, lines: Any) -> None:
    log_as(level="info")
    set_level("shop.noisy", "error")
    try:
        logging.getLogger("shop.noisy.part").info("no")
        Logger(module="shop.noisy").info("no")
        Logger(module="shop.other").info("yes")
    finally:
        logging.getLogger("shop.noisy").setLevel(logging.NOTSET)
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_a_loggers_own_level_changes_alone(log_as: SetUp, lines: Any) -> None:
    log_as(level="info")
    own, same_module = Logger(level="error", module="shop.http"), Logger(module="shop.http")
    set_level(own, "debug")
    own.debug("own")
    same_module.debug("no")
    assert [line["message"] for line in lines.objects] == ["own"]


def test_a_logger_without_a_level_changes_its_module(log_as: SetUp, lines: Any) -> None:
    log_as(level="info")
    set_level(Logger(module="shop.http"), "debug")
    try:
        logging.getLogger("shop.http").debug("yes")
    finally:
        logging.getLogger("shop.http").setLevel(logging.NOTSET)
    assert [line["message"] for line in lines.objects] == ["yes"]


@pytest.mark.parametrize("target", ["shop.http", logger, None])
def test_an_unknown_level_changes_nothing(target: Any) -> None:
    with setup_logging() as setup:
        before = logging.getLogger().level
        with pytest.raises(LogLevelError, match="near: info"):
            set_level(setup if target is None else target, "inof")
        assert logging.getLogger().level == before


def test_a_service_has_the_words_of_its_kind_and_so_have_its_children(log_as: SetUp, lines: Any) -> None:
    log_as()
    service = LoggerService({"module": "orders"}).child(order_id=7)
    assert type(service) is LoggerService
    service.log("created")
    service.verbose("details")
    assert [(line["message"], line["level"], line["order_id"]) for line in lines.objects] == [
        ("created", "info", 7),
        ("details", "debug", 7),
    ]
