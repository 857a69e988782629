"""Whole processes: uvicorn as it is started in production."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

APP = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from undercroft import Infra, current
from undercroft.asgi import InfraMiddleware
from undercroft.logging import logger

@asynccontextmanager
async def lifespan(app):
    logger.info("shop starts", is_open=current().is_open)
    {start}
    yield
    logger.info("shop stops", is_open=current().is_open)

app = InfraMiddleware(Starlette(lifespan=lifespan), Infra())
"""


class Process:
    """`uvicorn app:app` in a directory of its own."""

    def __init__(self, folder: Path, app: str, **environ: str) -> None:
        (folder / "app.py").write_text(app)
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", "--no-access-log"]
        self._process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environ}, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []

    def wait_for(self, text: str) -> str:
        """Return the first line that has `text`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without {text!r}:\n{''.join(self.lines)}")

    def end(self, how: signal.Signals | None = None) -> int:
        """Wait for the end and return the exit code."""
        assert self._process.stderr is not None
        if how is not None:
            self._process.send_signal(how)
        try:
            self.lines += self._process.stderr.readlines()
            return self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stderr.close()


@pytest.fixture
def folder(home: Path) -> Path:
    (home / "shop").mkdir()
    return home / "shop"


@pytest.mark.timeout(60)
def test_a_home_that_cannot_be_used_keeps_the_server_from_starting(folder: Path) -> None:
    (folder / "file").touch()
    process = Process(folder, APP.format(start="pass"), UNDERCROFT_HOME=str(folder / "file"))
    code = process.end()
    told = "".join(process.lines)
    assert code not in (0, None)
    assert "UC0206 the home directory" in told
    assert "Application startup failed. Exiting." in told
    assert "shop starts" not in told


def test_settings_that_are_wrong_keep_the_server_from_starting(folder: Path) -> None:
    process = Process(folder, APP.format(start="pass"), REDIS_URL="redis://:pa55@cache:many", LOG_LEVEL="loud")
    code = process.end()
    told = "".join(process.lines)
    assert code not in (0, None)
    assert "REDIS_URL" in told
    assert "LOG_LEVEL 'loud' is not a log level" in told
    assert "pa55" not in told


def test_an_application_that_fails_to_start_keeps_the_server_from_starting(folder: Path) -> None:
    process = Process(folder, APP.format(start="raise RuntimeError('no tables')"))
    code = process.end()
    assert code not in (0, None)
    assert any("no tables" in line for line in process.lines)
    assert not (folder / ".undercroft" / "queue.db-wal").exists()


def test_a_server_starts_serves_and_stops(folder: Path) -> None:
    process = Process(folder, APP.format(start="pass"), LOG_FORMAT="json")
    running = process.wait_for("Uvicorn running on")
    address = re.search(r"http://[0-9.:]+", running)
    assert address is not None
    with httpx2.Client(base_url=address[0], trust_env=False) as client:
        assert client.get("/readyz").json() == {"status": "healthy"}
        assert client.get("/nowhere").status_code == 404
    code = process.end(signal.SIGTERM)
    assert code in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in process.lines if line.startswith("{")]
    assert [(line["message"], line["is_open"]) for line in lines if line["message"].startswith("shop")] == [
        ("shop starts", True),
        ("shop stops", True),
    ]
    assert [line["path"] for line in lines if line["logger"] == "undercroft.access"] == ["/nowhere"]
    assert not (folder / ".undercroft" / "queue.db-wal").exists()
