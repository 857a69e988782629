"""What the tests of logging share: a place for lines to go, and the standard library's logging as it was."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from undercroft.logging import LoggingSetup, _handler, setup_logging
from undercroft.logging._handler import LineHandler


class Lines(io.StringIO):
    """A stream that remembers lines."""

    @property
    def written(self) -> list[str]:
        """The lines as a reader of the stream would split them, at newlines only."""
        return self.getvalue().split("\n")[:-1]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written]


class Terminal(Lines):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def alone() -> None:
    """Have no other handlers on the root logger while the test runs: ours is handed its lines directly."""


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Take pytest's own handlers off for tests that are `alone`; it puts them on again just before each test."""
    root = logging.getLogger()
    is_alone = "alone" in {*pyfuncitem.fixturenames, pyfuncitem.funcargs.get("place")}
    is_alone = is_alone and "caplog" not in pyfuncitem.fixturenames
    others = [handler for handler in root.handlers if is_alone and not isinstance(handler, LineHandler)]
    for handler in others:
        root.removeHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        if is_alone:  # the tests of Sentry have its SDK wrap this, which it does for as long as the process lives
            patch.setattr(logging.Logger, "callHandlers", _handler._CALL_HANDLERS)
        yield
    for handler in others:
        root.addHandler(handler)


@pytest.fixture(params=["alone", "beside others"])
def place(request: pytest.FixtureRequest) -> str:
    """Once with no handler beside ours, and once behind the standard library's records, which others see too."""
    return str(request.param)


@pytest.fixture
def log_as(lines: Lines, place: str) -> Iterator[Callable[..., LoggingSetup]]:
    """Return `setup_logging` onto `lines`; what it set up is closed after the test."""
    made: list[LoggingSetup] = []

    def set_up(form: str = "json", **options: Any) -> LoggingSetup:
        made.append(setup_logging(format=form, **{"stream": lines, "level": "debug", **options}))
        return made[-1]

    yield set_up
    for setup in reversed(made):
        setup.close()


@pytest.fixture(autouse=True)
def stdlib_logging_is_left_alone() -> Iterator[None]:
    """Fail a test that leaves the root logger other than it was."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    assert (root.level, list(root.handlers)) == before
