"""`undercroft queue` and `undercroft cron`, as a person at a terminal and a script use them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli._process import run
from undercroft.queue import Queue, create_queue, define_job

APP = """\
from undercroft import Infra
from undercroft.queue import cron, job


@job("shop.pack")
async def pack(order: int) -> str:
    if order < 0:
        raise ValueError(f"order {order} does not exist")
    return "packed"


@cron("shop.report", "30 3 * * *", tz="Europe/Berlin", description="the daily report")
async def report() -> None: ...


infra = Infra(jobs=[pack], crons=[report])
"""


async def _pack(order: int) -> None:
    raise ValueError(f"order {order} does not exist")


PACK = define_job(name="shop.pack", handler=_pack, options={"attempts": 1})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def in_queue(shop: Path, action: Callable[[Queue], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with create_queue(f"sqlite:///{shop}/.undercroft/queue.db", jobs=[PACK]) as queue:
            return await action(queue)

    return anyio.run(act)


def enqueue(shop: Path, *orders: int, **options: Any) -> list[str]:
    async def add(queue: Queue) -> list[str]:
        return [(await queue.enqueue("shop.pack", {"order": order}, **options)).id for order in orders]

    ids: list[str] = in_queue(shop, add)
    return ids


def told(shop: Path, *arguments: str, code: int = 0) -> Any:
    done = run(*arguments, "--json", cwd=shop)
    assert (done.returncode, done.stderr) == (code, "")
    return json.loads(done.stdout)


def test_show_counts_every_queue(shop: Path) -> None:
    enqueue(shop, 1, 2)
    enqueue(shop, 3, delay="1h", queue="later")

    overview = {row["queue"]: row for row in told(shop, "queue", "show", "app")}

    assert overview["default"]["counts"]["waiting"] == 2
    assert overview["later"]["counts"]["delayed"] == 1
    assert overview["default"]["is_paused"] is False


def test_jobs_come_in_pages_newest_first(shop: Path) -> None:
    ids = enqueue(shop, 1, 2, 3)

    first = told(shop, "queue", "jobs", "app", "--limit", "2")
    rest = told(shop, "queue", "jobs", "app", "--limit", "2", "--cursor", first["cursor"])

    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert "data" not in first["jobs"][0]


def test_one_job_shows_its_data_only_when_asked(shop: Path) -> None:
    (job_id,) = enqueue(shop, 7)
    assert "data" not in told(shop, "queue", "job", "app", job_id)
    assert told(shop, "queue", "job", "app", job_id, "--data")["data"] == {"order": 7}


def test_job_that_is_not_there_is_5(shop: Path) -> None:
    done = run("queue", "job", "app", "nobody", cwd=shop)
    assert (done.returncode, done.stdout) == (5, "")
    assert "nobody" in done.stderr


def test_cancel_remove_and_promote_say_which_were_possible(shop: Path) -> None:
    delayed, waiting = enqueue(shop, 1, delay="1h") + enqueue(shop, 2)

    assert told(shop, "queue", "promote", "app", delayed, waiting, code=5) == {delayed: True, waiting: False}
    assert told(shop, "queue", "remove", "app", waiting) == {waiting: True}
    assert told(shop, "queue", "cancel", "app", delayed) == {delayed: True}


def test_paused_queue_hands_out_nothing_until_it_is_resumed(shop: Path) -> None:
    enqueue(shop, 1)
    assert run("queue", "pause", "app", "default", cwd=shop).returncode == 0
    assert in_queue(shop, lambda queue: queue.worker().drain()) == 0
    assert run("queue", "resume", "app", "default", cwd=shop).returncode == 0
    assert in_queue(shop, lambda queue: queue.worker().drain()) == 1


def test_limits_are_shown_and_taken_back(shop: Path) -> None:
    enqueue(shop, 1)
    run("queue", "limit", "app", "default", "--max-active", "4", "--rate", "100/1m", cwd=shop)
    (row,) = told(shop, "queue", "show", "app")
    assert (row["max_active"], row["rate"]) == (4, {"max": 100, "per_s": 60.0})

    run("queue", "limit", "app", "default", "--rate", "none", cwd=shop)
    (row,) = told(shop, "queue", "show", "app")
    assert (row["max_active"], row["rate"]) == (4, None)


def test_dead_letters_are_grouped_retried_and_purged(shop: Path) -> None:
    enqueue(shop, -1, -2)
    in_queue(shop, lambda queue: queue.worker().drain())

    (reason,) = told(shop, "queue", "dead", "app")
    assert (reason["count"], reason["name"], reason["error_type"]) == (2, "shop.pack", "ValueError")
    assert told(shop, "queue", "dead", "app", "--retry") == {"done": "retry", "count": 2}
    in_queue(shop, lambda queue: queue.worker().drain())
    assert told(shop, "queue", "dead", "app", "--purge") == {"done": "purge", "count": 2}
    assert told(shop, "queue", "dead", "app") == []


def test_what_deletes_asks_first(shop: Path) -> None:
    enqueue(shop, 1)
    asked = run("queue", "drain", "app", "default", cwd=shop)
    assert asked.returncode != 0
    assert "Delete every waiting job" in asked.stdout
    assert run("queue", "drain", "app", "default", "--yes", cwd=shop).stdout == "deleted 1\n"
    assert run("queue", "obliterate", "app", "default", "--yes", cwd=shop).returncode == 0


def test_stats_have_percentiles(shop: Path) -> None:
    enqueue(shop, -1)
    in_queue(shop, lambda queue: queue.worker().drain())
    stats = told(shop, "queue", "stats", "app", "default")
    assert stats["run_s"]["p50"] >= 0
    assert run("queue", "stats", "app", "default", cwd=shop).stdout.split()[:3] == ["p50", "p95", "p99"]


def test_crons_are_listed_paused_and_run_now(shop: Path) -> None:
    (cron,) = told(shop, "cron", "list", "app")
    assert (cron["name"], cron["expression"], cron["tz"]) == ("shop.report", "30 3 * * *", "Europe/Berlin")
    assert len(told(shop, "cron", "next", "app", "shop.report", "-n", "3")) == 3

    run("cron", "pause", "app", "shop.report", cwd=shop)
    assert told(shop, "cron", "list", "app")[0]["is_paused"] is True
    run("cron", "resume", "app", "shop.report", cwd=shop)

    job_id = told(shop, "cron", "run", "app", "shop.report")["job_id"]
    assert told(shop, "queue", "job", "app", job_id)["name"] == "shop.report"
    assert [entry["outcome"] for entry in told(shop, "cron", "history", "app", "shop.report")] == ["manual"]


def test_unknown_cron_names_those_there_are(shop: Path) -> None:
    done = run("cron", "next", "app", "shop.reprot", cwd=shop)
    assert done.returncode != 0
    assert "shop.report" in done.stderr
