"""What only the Redis engine has: BullMQ's scripts, its prefix, liveness keys, markers, replies of its connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import RedisServer
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError, MissingExtraError
from undercroft._core.url import Url
from undercroft.connections.redis import RedisUrlError
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Completed, Counts
from undercroft.queue.redis import RedisQueue, _scripts
from undercroft.queue.redis._keys import QueueKeys
from undercroft.testing.conformance.queue._base import NewJobs, claim, claim_one, complete, fetch, rescue, worker

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def jobs() -> NewJobs:
    return NewJobs(VirtualClock())


# --- Scripts and settings -------------------------------------------------------------------------------------------


def test_missing_package_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _scripts.load_scripts.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install \"undercroft\[bullmq\]\""):
        _scripts.load_scripts()


def test_every_script_that_is_asked_for_is_used() -> None:
    folder = Path(_scripts.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "_scripts.py")
    assert [name for name in _scripts.KEY_COUNTS if f'"{name}"' not in source] == []


def test_version_with_other_scripts_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "moveToActive-12.lua").write_text("return 1")
    _scripts.load_scripts.cache_clear()
    monkeypatch.setattr(_scripts, "_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"has no script .* with .* keys(.|\n)*versions that work: 3\.4\.4"):
        _scripts.load_scripts()
    _scripts.load_scripts.cache_clear()


def test_cluster_needs_a_hash_tag_in_its_prefix() -> None:
    with pytest.raises(ConfigError, match="hash tag"):
        RedisQueue.from_url(Url.parse("redis+cluster://a:1,b:2?prefix=bull"))
    assert "{bull}" in repr(RedisQueue.from_url(Url.parse("redis+cluster://a:1,b:2")))


async def test_prefix_of_the_url_begins_every_key(url: str, jobs: NewJobs) -> None:
    async with RedisQueue.from_url(Url.parse(f"{url}?prefix=shop")) as engine, worker(engine) as me:
        await engine.add([jobs()])
        await claim_one(engine, me)
        assert all(key.startswith(b"shop:") for key in await engine._store.command("KEYS", "*"))


def test_keys_are_bullmqs() -> None:
    keys = QueueKeys("bull", "mail")
    assert (keys.base, keys.job("7"), keys.lock("7")) == ("bull:mail:", "bull:mail:7", "bull:mail:7:lock")
    assert keys.to_active[0] == b"bull:mail:wait"


# --- The connection -------------------------------------------------------------------------------------------------


async def test_replies_have_one_shape_whatever_the_protocol(url: str) -> None:
    for protocol in (2, 3):
        async with RedisQueue.from_url(Url.parse(f"{url}?protocol={protocol}")) as engine:
            store = engine._store
            await store.pipeline([("HSET", "h", "a", 1), ("ZADD", "z", 1.5, "m")])
            assert await store.command("HGETALL", "h") == [b"a", b"1"]
            assert await store.command("ZRANGE", "z", 0, -1, "WITHSCORES") == [b"m", b"1.5"]


async def test_command_that_is_refused_does_not_disturb_its_neighbours(engine: RedisQueue) -> None:
    store = engine._store
    results: dict[str, Any] = {}

    async def run(name: str, *command: Any) -> None:
        try:
            results[name] = await store.command(*command)
        except QueueUnavailableError as exc:
            results[name] = exc

    await store.command("SET", "text", "x")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "wrong", "HGET", "text", "field")
        tasks.start_soon(run, "right", "GET", "text")
    assert results["right"] == b"x"
    assert isinstance(results["wrong"], QueueUnavailableError)


async def test_cancelled_command_leaves_the_others_their_replies(engine: RedisQueue) -> None:
    store = engine._store
    await store.command("PING")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.command("SET", "a", 1)
    assert await store.command("ECHO", "mine") == b"mine"


async def test_transaction_is_tried_again_when_somebody_was_faster(engine: RedisQueue) -> None:
    store = engine._store
    await store.command("SET", "n", 1)
    tries = 0

    async def double(read: Any) -> list[tuple[Any, ...]]:
        nonlocal tries
        tries += 1
        seen = int(await read("GET", "n"))
        if tries == 1:
            await store.command("INCR", "n")
        return [("SET", "n", seen * 2)]

    await store.watch_and_run(["n"], double)
    assert (tries, await store.command("GET", "n")) == (2, b"4")


# --- Who is alive ---------------------------------------------------------------------------------------------------


async def test_worker_that_does_not_beat_is_dead_though_its_locks_live(engine: RedisQueue, jobs: NewJobs) -> None:
    await engine.add([jobs()])
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        assert 0 < await engine._store.command("PTTL", engine._store.worker_key(me)) <= 5000
        await engine._store.command("DEL", engine._store.worker_key(me))  # as it is after five seconds

        assert [rescued.worker_id for rescued in await rescue(engine)] == [me]
        assert (await engine.beat(me, [job], lease_s=30)).lost == (job,)
        assert not (await engine.finish(job, Completed(result=b"1"))).is_recorded


async def test_job_of_a_node_worker_is_left_alone_while_its_lock_lives(engine: RedisQueue, jobs: NewJobs) -> None:
    await engine.add([jobs()])
    store, keys = engine._store, engine._store.keys("default")
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        await store.command("SET", keys.lock(job.id), "0b51f0d5-5d8e-4a44-b1a2-2f4fd7f7ae6b:3")  # Node's form

        assert await rescue(engine) == []
        await store.command("DEL", keys.lock(job.id))
        assert len(await rescue(engine)) == 1


async def test_claim_fetched_for_a_row_of_jobs_is_fenced_like_any_other(engine: RedisQueue, jobs: NewJobs) -> None:
    """The lock stays the same from job to job of a row."""
    await engine.add([jobs(), jobs()])
    async with worker(engine) as me:
        first = await claim_one(engine, me)
        done = await engine.finish(first, Completed(result=b"1"), fetch=fetch(me))
        assert done.next is not None
        assert done.next.lock == first.lock

        assert not (await engine.finish(first, Completed(result=b"2"))).is_recorded
        await engine.release([first])
        await complete(engine, done.next)


# --- Waiting --------------------------------------------------------------------------------------------------------


async def test_marker_that_came_to_a_waiter_who_left_wakes_another(url: str, jobs: NewJobs) -> None:
    first, second = (RedisQueue.from_url(Url.parse(url)) for _ in range(2))
    async with first as one, second as other, worker(other) as me:
        for turn in range(60):
            await other._store.command("DEL", other._store.keys("default").key("marker"))
            async with anyio.create_task_group() as tasks:
                leaving = anyio.CancelScope()
                tasks.start_soon(wait_within, leaving, one)
                await anyio.sleep(0.002)
                tasks.start_soon(other.add, [jobs()])
                for _ in range(turn % 12):
                    await anyio.sleep(0)
                leaving.cancel()
            if leaving.cancelled_caught:  # otherwise it is the one that was woken
                with anyio.fail_after(5):
                    await other.wait_for_work(["default"], since=other.changes, timeout=9)
            assert len(await claim(other, me)) == 1


async def wait_within(scope: anyio.CancelScope, engine: RedisQueue) -> None:
    with scope:
        await engine.wait_for_work(["default"], since=engine.changes, timeout=10)


async def test_waiting_in_vain_leaves_no_connections(engine: RedisQueue) -> None:
    for _ in range(20):
        with anyio.move_on_after(0.005):
            await engine.wait_for_work(["default"], since=engine.changes, timeout=10)
    assert engine._connection.pool_status.in_use <= 4


# --- Odd data -------------------------------------------------------------------------------------------------------


async def test_id_without_a_job_is_swept_away(engine: RedisQueue, jobs: NewJobs) -> None:
    new = jobs()
    await engine.add([jobs(), new])
    await engine._store.command("DEL", engine._store.keys("default").job(new.id))
    async with worker(engine) as me:
        assert len(await claim(engine, me)) == 1
        assert await engine.counts() == Counts(active=1)


async def test_options_that_make_no_sense_do_not_stop_the_worker(engine: RedisQueue, jobs: NewJobs) -> None:
    new = jobs()
    await engine.add([new])
    await engine._store.command("HSET", engine._store.keys("default").job(new.id), "opts", "{not json")
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        assert (job.is_foreign, job.attempts) == (True, 1)
        await complete(engine, job)


def test_mistyped_prefix_is_told_by_its_name() -> None:
    with pytest.raises(RedisUrlError) as caught:
        RedisQueue.from_url(Url.parse("redis://jobs:6379/0?prefx=shop"))
    assert caught.value.near == ("prefix",)
    assert "and of a queue: prefix" in (caught.value.hint or "")


async def test_settings_that_endanger_jobs_are_told(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        async with RedisQueue.from_url(Url.parse(server.url)) as engine:
            messages = [advice.message for advice in await engine.advice()]
            assert len(messages) == 2
            assert messages[0].startswith("maxmemory-policy is allkeys-lru")
            assert messages[1].startswith("appendonly is off")


async def test_server_that_keeps_jobs_gets_no_advice(server: RedisServer) -> None:
    async with RedisQueue.from_url(Url.parse(server.url)) as engine:
        assert await engine.advice() == []
