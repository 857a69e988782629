"""What every test has: asyncio, a home of its own, an environment without undercroft's settings, no threads left."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests._services.fixtures"]

_SETTINGS = re.compile(
    r"UNDERCROFT_.*|MYSQL_.*|PUBSUB_.*|OTEL_.*|SENTRY_.*|PROCESS_MODE|"
    r"(DATABASE_URL|DATABASE_REPLICA_URL|EMAIL_FROM|LOG_FORMAT|LOG_LEVEL|LOG_SAMPLE|MONGODB_URI|REDIS_URL|RESEND_API_KEY|"
    r"SERVICE_NAME|SMTP_URL)"
    r"(_FILE)?"
)  # each can also be given as a file
_THREADS_END_S = 2.0
_NOBODY = 65534


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, the loop that undercroft promises."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory for what a test's `Infra` keeps."""
    return tmp_path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the shell that runs the tests."""
    for name in [name for name in os.environ if _SETTINGS.fullmatch(name)]:
        monkeypatch.delenv(name)


@pytest.fixture
def as_nobody() -> Iterator[Callable[[], None]]:
    """A function that takes root's rights away until the end of the test; without root there are none to take."""
    is_root = os.geteuid() == 0
    yield lambda: os.seteuid(_NOBODY) if is_root else None
    if is_root:
        os.seteuid(0)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Fail a test that leaves one of undercroft's own threads behind: something was not closed."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _THREADS_END_S
    while (left := _our_threads() - before) and time.monotonic() < deadline:
        time.sleep(0.02)  # a thread that was told to end may need a moment
    assert not left, f"threads left running: {', '.join(sorted(thread.name for thread in left))}"


def _our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith(("undercroft", "sqlite "))}
