"""Drivers that would write the parameters of statements are held at info."""

from __future__ import annotations

import io
import logging

import pytest

from undercroft.logging import setup_logging


@pytest.mark.parametrize("name", ["aiosqlite", "pymongo.command"])
def test_parameters_are_not_written_at_debug(name: str) -> None:
    lines = io.StringIO()
    with setup_logging(level="debug", format="json", stream=lines):
        logging.getLogger(name).debug("executing %s with %s", "INSERT", ("hunter2",))
        logging.getLogger(name).info("connected")
    assert "hunter2" not in lines.getvalue()
    assert "connected" in lines.getvalue()
    assert logging.getLogger(name).level == logging.NOTSET


def test_who_asks_for_them_gets_them() -> None:
    lines, driver = io.StringIO(), logging.getLogger("aiosqlite")
    driver.setLevel(logging.DEBUG)
    try:
        with setup_logging(level="debug", format="json", stream=lines):
            driver.debug("executing")
        assert driver.level == logging.DEBUG
    finally:
        driver.setLevel(logging.NOTSET)
    assert "executing" in lines.getvalue()
