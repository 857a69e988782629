"""`undercroft locks`, as a person at a terminal and a script use it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.cli._process import run
from undercroft.resilience import Lease, LockLostError, create_locks

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("from undercroft import Infra\n\ninfra = Infra()\n")
    (tmp_path / ".undercroft").mkdir()
    return tmp_path


@asynccontextmanager
async def held(shop: Path, name: str) -> AsyncIterator[Lease]:
    url = f"sqlite:///{shop}/.undercroft/locks.db"
    async with create_locks(url) as locks, locks.lock(name, ttl="1m", owner="web-1") as lease:
        yield lease


async def ran(shop: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    done = await anyio.to_thread.run_sync(lambda: run("locks", *arguments, cwd=shop))
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


async def told(shop: Path, *arguments: str) -> Any:
    out, _ = await ran(shop, *arguments, "--json")
    return json.loads(out)


async def test_list_shows_who_holds_what(shop: Path) -> None:
    async with held(shop, "report") as lease:
        (lock,) = await told(shop, "list", "app")
        assert (lock["name"], lock["owner"], lock["token"]) == ("report", "web-1", lease.token)
        assert 0 < lock["expires_in_s"] <= 60
        assert await told(shop, "list", "app", "--prefix", "other") == []
        out, _ = await ran(shop, "list", "app")
        assert "web-1" in out
        assert all(len(line) <= 80 for line in out.splitlines())


async def test_release_takes_the_lock_from_its_holder(shop: Path) -> None:
    url = f"sqlite:///{shop}/.undercroft/locks.db"
    async with create_locks(url) as locks:
        lease = await locks.lock("report", ttl="1m").acquire()
        released = await told(shop, "release", "app", "report")
        assert (released["is_released"], released["lock"]["token"]) == (True, lease.token)
        assert await told(shop, "list", "app") == []
        with pytest.raises(LockLostError):
            await lease.extend("1m")


async def test_dry_run_releases_nothing(shop: Path) -> None:
    async with held(shop, "report") as lease:
        out, _ = await ran(shop, "release", "app", "report", "--dry-run")
        assert out == f"would release report, held by web-1 (token {lease.token})\n"
        assert (await told(shop, "release", "app", "report", "--dry-run"))["is_released"] is False
        assert len(await told(shop, "list", "app")) == 1


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
async def test_lock_that_nobody_holds_is_5(shop: Path, more: tuple[str, ...]) -> None:
    out, err = await ran(shop, "release", "app", "report", *more, code=5)
    assert (out, err) == ("", "nobody holds lock 'report'\n")


async def test_store_that_is_away_is_4(shop: Path) -> None:
    for arguments in (("list", "app"), ("release", "app", "report")):
        act = partial(run, "locks", *arguments, cwd=shop, UNDERCROFT_LOCKS="redis://127.0.0.1:1/0")
        done = await anyio.to_thread.run_sync(act)
        assert (done.returncode, done.stdout) == (4, ""), arguments
