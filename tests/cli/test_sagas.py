"""`undercroft sagas`, as a person at a terminal and a script use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli._process import environment, run

APP = """\
from pathlib import Path

from undercroft import Infra
from undercroft.resilience import Saga


async def reserve(context):
    return {"shelf": "hunter2"}


async def unreserve(context):
    if not Path("mended").exists():
        raise RuntimeError("the warehouse is closed")


async def charge(context):
    raise ValueError("card refused")


order = (
    Saga("order")
    .step("reserve", reserve, compensate=unreserve, compensate_retry=1)
    .step("charge", charge)
)
infra = Infra(sagas=[order])


async def start():
    async with infra, infra.queue.worker():
        handle = await infra.sagas.start(order, {"card": "4111"}, id="order-7")
        print((await handle.result("20s", check=False)).state)


async def go_on():
    async with infra, infra.queue.worker():
        handle = await infra.sagas.handle("order-7")
        print((await handle.result("20s", check=False)).state)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def in_app(shop: Path, function: str) -> str:
    code = f"import asyncio, app; asyncio.run(app.{function}())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shop,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(shop: Path, *arguments: str) -> Any:
    done = run("sagas", *arguments, "--json", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.slow
def test_saga_is_listed_shown_and_resumed(shop: Path) -> None:
    assert in_app(shop, "start") == "compensation_failed"

    (saga,) = told(shop, "list", "app", "--state", "compensation_failed")
    assert (saga["id"], saga["saga"], saga["failed_step"]) == ("order-7", "order", "charge")
    assert told(shop, "list", "app", "--saga", "other") == []
    shown = run("sagas", "show", "app", "order-7", cwd=shop).stdout
    assert "the warehouse is closed" in shown
    assert "hunter2" not in shown
    assert "4111" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    document = told(shop, "show", "app", "order-7", "--data")
    assert (document["data"], document["results"]["reserve"]) == ({"card": "4111"}, {"shelf": "hunter2"})
    assert run("sagas", "resume", "app", "order-7", "--dry-run", cwd=shop).stdout == "would resume order-7\n"
    assert told(shop, "show", "app", "order-7")["state"] == "compensation_failed"

    (shop / "mended").touch()
    assert run("sagas", "resume", "app", "order-7", cwd=shop).stdout == "resumed order-7\n"
    assert in_app(shop, "go_on") == "compensated"
    done = run("sagas", "resume", "app", "order-7", cwd=shop)
    assert (done.returncode, done.stdout) == (5, "")


def test_saga_that_is_not_there_is_5(shop: Path) -> None:
    for arguments in (("show", "app", "none"), ("resume", "app", "none"), ("resume", "app", "none", "--dry-run")):
        done = run("sagas", *arguments, cwd=shop)
        assert (done.returncode, done.stdout) == (5, ""), arguments
        assert "none" in done.stderr
