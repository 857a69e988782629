"""Logging is set up for as long as an Infra is open, where nobody else has done so."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.app._transports import NotingTransport
from undercroft import Infra
from undercroft.app import HomeNotWritableError
from undercroft.logging import logger

pytestmark = pytest.mark.anyio


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """Have a root logger as a program starts with; pytest puts its own handlers on it for each test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


async def test_logging_is_set_up_while_it_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root() as root:
        async with Infra(environ={"LOG_LEVEL": "debug", "LOG_FORMAT": "json"}):
            logger.debug("hello", order=7)
        assert (root.handlers, root.level) == ([], logging.WARNING)
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "hello" in line]
    assert (line["level"], line["order"]) == ("debug", 7)


async def test_logging_is_restored_when_opening_fails() -> None:
    infra = Infra(environ={}, home="/dev/null/home")
    with bare_root() as root:
        with pytest.raises(HomeNotWritableError):
            await infra.open()
        assert root.handlers == []


async def test_logging_that_the_application_has_set_up_is_left_alone() -> None:
    own = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(own)
        async with Infra(environ={"LOG_LEVEL": "debug"}):
            assert (root.handlers, root.level) == ([own], logging.WARNING)
        assert root.handlers == [own]


async def test_parts_that_close_can_still_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def say_goodbye() -> None:
        logger.info("goodbye")

    with bare_root():
        async with Infra(environ={"LOG_FORMAT": "json"}, email=NotingTransport(closing=say_goodbye)):
            pass
    assert "goodbye" in capsys.readouterr().err
