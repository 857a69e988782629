"""`undercroft limits`, as a person at a terminal and a script use it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli._process import run
from undercroft.ratelimit import FixedWindow, RateLimits, RatePolicy, create_rate_limits

APP = """\
from undercroft import Infra
from undercroft.ratelimit import FixedWindow, RatePolicy

per_hour, per_day = FixedWindow(3, "1h"), FixedWindow(100, "1d")
infra = Infra(rate_policies=[RatePolicy("api", [per_hour, per_day], tiers={"pro": FixedWindow(50, "1h")})])
"""
API = RatePolicy("api", [FixedWindow(3, "1h"), FixedWindow(100, "1d")], tiers={"pro": FixedWindow(50, "1h")})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / ".undercroft").mkdir()
    return tmp_path


def in_limits(shop: Path, action: Callable[[RateLimits], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with create_rate_limits(f"sqlite:///{shop}/.undercroft/limits.db", policies=[API]) as limits:
            return await action(limits)

    return anyio.run(act)


def use(shop: Path, key: str, calls: int) -> None:
    async def act(limits: RateLimits) -> None:
        for _ in range(calls):
            await limits.check("api", key)

    in_limits(shop, act)


def told(shop: Path, *arguments: str) -> Any:
    done = run("limits", *arguments, "--json", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_list_shows_who_is_refused_now(shop: Path) -> None:
    use(shop, "ada", 3)
    use(shop, "bob", 5)
    (key,) = told(shop, "list", "app")
    assert (key["policy"], key["key"]) == ("api", "bob")
    assert key["refusals"] >= 1
    assert told(shop, "list", "app", "api") == [key]
    assert "bob" in run("limits", "list", "app", cwd=shop).stdout


def test_show_tells_what_is_left_and_counts_nothing(shop: Path) -> None:
    use(shop, "ada", 2)
    for _ in range(2):
        left = told(shop, "show", "app", "api", "ada")
        assert (left["allowed"], left["remaining"]) == (True, 1)
        assert [limit["remaining"] for limit in left["limits"]] == [1, 98]
    use(shop, "ada", 1)
    left = told(shop, "show", "app", "api", "ada")
    assert left["allowed"] is False
    assert 0 < left["retry_after_s"] <= 3600
    out = run("limits", "show", "app", "api", "ada", cwd=shop).stdout
    assert "refused" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_show_of_a_tier(shop: Path) -> None:
    use(shop, "ada", 2)
    left = told(shop, "show", "app", "api", "ada", "--tier", "pro")
    assert (left["limit"], [limit["limit"] for limit in left["limits"]]) == (50, [50])


def test_reset_forgets_what_was_counted(shop: Path) -> None:
    use(shop, "bob", 5)
    assert run("limits", "reset", "app", "api", "bob", "--dry-run", cwd=shop).stdout == "would reset api for bob\n"
    assert told(shop, "show", "app", "api", "bob")["allowed"] is False
    assert run("limits", "reset", "app", "api", "bob", cwd=shop).stdout == "reset api for bob\n"
    assert told(shop, "show", "app", "api", "bob")["remaining"] == 3
    assert told(shop, "list", "app") == []


@pytest.mark.parametrize("command", [("show",), ("reset",), ("reset", "--dry-run")])
def test_unknown_policy_is_an_error_that_names_those_there_are(shop: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    done = run("limits", name, "app", "apu", "bob", *more, cwd=shop)
    assert (done.returncode, done.stdout) == (3, "")
    assert "near: api" in done.stderr


def test_store_that_is_away_is_4(shop: Path) -> None:
    for arguments in (("list", "app"), ("show", "app", "api", "bob"), ("reset", "app", "api", "bob")):
        done = run("limits", *arguments, cwd=shop, UNDERCROFT_LIMITS="redis://127.0.0.1:1/0")
        assert (done.returncode, done.stdout) == (4, ""), arguments
