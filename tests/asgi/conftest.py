"""What the tests of asgi share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.asgi._calls import LogLines, captured_lines
from undercroft import Infra


@pytest.fixture
def lines() -> Iterator[LogLines]:
    """The log lines of the test."""
    with captured_lines() as lines:
        yield lines


@pytest.fixture
def closed(home: Path) -> Infra:
    """An Infra that nobody has opened."""
    return Infra(environ={}, home=home / "state", close_timeout=2)


@pytest.fixture
async def infra(closed: Infra) -> AsyncIterator[Infra]:
    """An Infra that is open, and bound nowhere."""
    await closed.open()
    yield closed
    await closed.close()
