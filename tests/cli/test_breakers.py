"""`undercroft breakers`, as a person at a terminal and a script use it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli._process import run
from undercroft.resilience import Breakers, create_breakers


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("from undercroft import Infra\n\ninfra = Infra()\n")
    (tmp_path / ".undercroft").mkdir()

    async def fail() -> None:
        raise ConnectionError("no bank")

    async def act(breakers: Breakers) -> None:
        for name, threshold in (("bank", 1), ("mail", 5)):
            breaker = breakers.breaker(name, failure_threshold=threshold, reset_timeout="1h")
            with pytest.raises(ConnectionError):
                await breaker.execute(fail)
        await breakers.reset("mail")

    in_breakers(tmp_path, act)
    return tmp_path


def in_breakers(shop: Path, action: Callable[[Breakers], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with create_breakers(f"sqlite:///{shop}/.undercroft/breakers.db") as breakers:
            return await action(breakers)

    return anyio.run(act)


def states(shop: Path) -> dict[str, tuple[str, str | None]]:
    done = run("breakers", "list", "app", "--json", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    return {row["name"]: (row["state"], row["forced"]) for row in json.loads(done.stdout)}


def test_list_shows_how_each_stands(shop: Path) -> None:
    assert states(shop) == {"bank": ("open", None), "mail": ("closed", None)}
    out = run("breakers", "list", "app", cwd=shop).stdout
    assert "bank" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_forced_breaker_stays_so_until_it_is_reset(shop: Path) -> None:
    assert run("breakers", "open", "app", "mail", cwd=shop).stdout == "opened mail\n"
    assert run("breakers", "close", "app", "bank", "--for", "10m", cwd=shop).stdout == "closed bank\n"
    assert states(shop) == {"bank": ("closed", "closed"), "mail": ("open", "open")}
    for name in ("bank", "mail"):
        assert run("breakers", "reset", "app", name, cwd=shop).stdout == f"reset {name}\n"
    assert states(shop) == {"bank": ("closed", None), "mail": ("closed", None)}


@pytest.mark.parametrize("command", ["open", "close", "reset"])
def test_dry_run_changes_nothing(shop: Path, command: str) -> None:
    before = states(shop)
    done = run("breakers", command, "app", "bank", "--dry-run", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("would have ")
    assert states(shop) == before


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_unknown_breaker_is_5_and_near_ones_are_named(shop: Path, more: tuple[str, ...]) -> None:
    done = run("breakers", "open", "app", "banc", *more, cwd=shop)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "no breaker 'banc'\n  near: bank\n"


def test_bad_duration_is_2(shop: Path) -> None:
    assert run("breakers", "open", "app", "bank", "--for", "soon", cwd=shop).returncode == 2


def test_store_that_is_away_is_4(shop: Path) -> None:
    for arguments in (("list", "app"), ("open", "app", "bank")):
        done = run("breakers", *arguments, cwd=shop, UNDERCROFT_BREAKERS="redis://127.0.0.1:1/0")
        assert (done.returncode, done.stdout) == (4, ""), arguments
