"""`undercroft cache`, as a person at a terminal and a script use it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli._process import run
from undercroft.cache import Cache, create_cache

APP = """\
from undercroft import Infra

infra = Infra()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    fill(tmp_path)
    return tmp_path


def fill(shop: Path) -> None:
    async def act(cache: Cache[Any]) -> None:
        await cache.set("greeting", "hunter2", ttl="1h", tags=["texts"])
        await cache.set("user:1", {"name": "Ada"}, ttl="1h")
        await cache.set("user:2", {"name": "Bob"}, ttl="1h")

    in_cache(shop, act)


def in_cache(shop: Path, action: Callable[[Cache[Any]], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        (shop / ".undercroft").mkdir(exist_ok=True)
        async with create_cache(f"sqlite:///{shop}/.undercroft/cache.db") as cache:
            return await action(cache)

    return anyio.run(act)


def told(shop: Path, *arguments: str, code: int = 0) -> Any:
    done = run(*arguments, "--json", cwd=shop)
    assert (done.returncode, done.stderr) == (code, "")
    return json.loads(done.stdout)


def test_stats_tell_how_much_is_held_and_where(shop: Path) -> None:
    stats = told(shop, "cache", "stats", "app")
    assert (stats["backend"], stats["namespace"], stats["entries"]) == ("sqlite", "app", 3)
    assert stats["size_bytes"] > 0


def test_keys_are_those_of_a_prefix(shop: Path) -> None:
    keys = told(shop, "cache", "keys", "app", "--prefix", "user:")
    assert (sorted(keys["keys"]), keys["has_more"]) == (["user:1", "user:2"], False)


def test_keys_say_when_there_are_more(shop: Path) -> None:
    listed = told(shop, "cache", "keys", "app", "--limit", "2")
    assert (len(listed["keys"]), listed["has_more"]) == (2, True)
    done = run("cache", "keys", "app", "--limit", "2", cwd=shop)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "more than 2: give --limit or --prefix\n"


def test_key_of_a_stranger_moves_no_cursor(shop: Path) -> None:
    in_cache(shop, lambda cache: cache.set("\x1b[2Jevil\n", 1, ttl="1h"))
    for arguments in (("keys", "app"), ("get", "app", "\x1b[2Jevil\n")):
        done = run("cache", *arguments, cwd=shop)
        assert (done.returncode, "\x1b" in done.stdout) == (0, False)
        assert "\\x1b[2Jevil\\n" in done.stdout


def test_get_shows_the_value_only_when_asked(shop: Path) -> None:
    done = run("cache", "get", "app", "greeting", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hunter2" not in done.stdout
    assert "string" in done.stdout
    assert "value" not in told(shop, "cache", "get", "app", "greeting")
    assert told(shop, "cache", "get", "app", "greeting", "--reveal")["value"] == "hunter2"
    assert "hunter2" in run("cache", "get", "app", "greeting", "--reveal", cwd=shop).stdout


def test_get_tells_type_size_age_and_tags(shop: Path) -> None:
    entry = told(shop, "cache", "get", "app", "greeting")
    assert (entry["type"], entry["is_fresh"], entry["tags"], entry["problem"]) == ("string", True, ["texts"], None)
    assert entry["size_bytes"] > len("hunter2")
    assert entry["written_at"] < entry["fresh_until"]


def test_invalidated_value_is_there_and_not_fresh(shop: Path) -> None:
    in_cache(shop, lambda cache: cache.invalidate_tags("texts"))
    assert told(shop, "cache", "get", "app", "greeting")["is_fresh"] is False


def test_value_of_another_version_can_be_looked_at(shop: Path) -> None:
    in_cache(shop, lambda cache: cache.of(list[int], namespace="Numbers", version=7).set("k", [1], ttl="1h"))
    entry = told(shop, "cache", "get", "app", "Numbers:k")
    assert (entry["type"], entry["version"]) == ("array", 7)


def test_damaged_value_is_told(shop: Path) -> None:
    with sqlite3.connect(shop / ".undercroft/cache.db") as db:
        db.execute("UPDATE entries SET data = ? WHERE key = 'greeting'", (b"{hunter2",))
    db.close()
    entry = told(shop, "cache", "get", "app", "greeting", "--reveal")
    assert (entry["problem"], entry["size_bytes"]) == ("it is damaged", 8)


def test_key_that_is_not_there_is_5(shop: Path) -> None:
    done = run("cache", "get", "app", "nothing", cwd=shop)
    assert (done.returncode, done.stdout) == (5, "")
    assert "nothing" in done.stderr


def test_delete_says_which_were_there(shop: Path) -> None:
    assert told(shop, "cache", "delete", "app", "user:1", "nothing", code=5) == {"user:1": True, "nothing": False}
    assert in_cache(shop, lambda cache: cache.exists("user:1")) is False


def test_dry_run_deletes_nothing(shop: Path) -> None:
    assert told(shop, "cache", "delete", "app", "user:1", "--dry-run") == {"user:1": True}
    assert told(shop, "cache", "clear", "app", "--dry-run") == {"count": 3, "is_dry_run": True}
    assert in_cache(shop, lambda cache: cache.exists("user:1")) is True


def test_clear_keeps_to_the_prefix(shop: Path) -> None:
    assert run("cache", "clear", "app", "--prefix", "user:", cwd=shop).stdout == "deleted 2\n"
    assert in_cache(shop, lambda cache: cache.get("greeting")) == "hunter2"
    assert told(shop, "cache", "clear", "app") == {"count": 1, "is_dry_run": False}


def test_store_that_is_away_is_4_and_not_an_empty_cache(shop: Path) -> None:
    for arguments in (("stats", "app"), ("keys", "app"), ("get", "app", "k"), ("clear", "app")):
        done = run("cache", *arguments, cwd=shop, UNDERCROFT_CACHE="redis://127.0.0.1:1/0")
        assert (done.returncode, done.stdout) == (4, ""), arguments


def test_tables_fit_80_columns(shop: Path) -> None:
    in_cache(shop, lambda cache: cache.set("k" * 200, "v", ttl="1h"))
    for arguments in (("stats", "app"), ("get", "app", "k" * 200), ("delete", "app", "k" * 200)):
        done = run("cache", *arguments, cwd=shop)
        assert (done.returncode, max(map(len, done.stdout.splitlines())) <= 80) == (0, True)
