"""Fixtures of the Pub/Sub tests: a server in this process, and time that runs fast on both sides."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from undercroft.testing.pubsub_server import PubSubServer, ScaledClock

SPEED = 20.0
"""Seconds of the server in one of ours. Pub/Sub's shortest ack deadline, 10 s, then is half a second."""

# grpc's C core writes what it thinks about resets to stderr, past every Python filter.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@pytest.fixture(scope="module")
async def one_loop() -> AsyncIterator[None]:
    """Run a file's tests in one event loop: grpc tells the loop that runs now how calls of a closed one ended."""
    yield
    await anyio.sleep(0.1)


@pytest.fixture(autouse=True)
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide an emulator of the shell that runs the tests."""
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    """A server whose time runs fast."""
    with PubSubServer(speed=SPEED) as server:
        yield server


@pytest.fixture
def fast() -> ScaledClock:
    """A clock as fast as the server's."""
    return ScaledClock(SPEED)
