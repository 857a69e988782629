"""The cache, the locks, the limits, the breakers and the sagas of an Infra: where they are, and that they work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._services._server import Service
from tests.app import _sagas_here
from tests.app._sagas_here import ORDER
from undercroft import Infra
from undercroft.app import AlreadyOpenError, JobsNotFoundError
from undercroft.cache import CacheUnavailableError, MissingTTLError, cached
from undercroft.cache.memory import MemoryCache
from undercroft.ratelimit import RatePolicy, SlidingWindow, check_rate_limit
from undercroft.resilience import CircuitBreaker, CircuitOpenError, Lock, SagaFailedError

pytestmark = pytest.mark.anyio
STORES = ("cache", "locks", "limits", "breakers")


def make(home: Path, environ: dict[str, str] | None = None, **arguments: object) -> Infra:
    return Infra(environ={"UNDERCROFT_HOME": str(home), **(environ or {})}, **arguments)  # type: ignore[arg-type]


@cached(ttl="5m", key="twice:{number}")
async def twice(number: int) -> int:
    return 2 * number


# Where they are


async def test_what_nobody_uses_makes_no_file(home: Path) -> None:
    async with make(home / "state"):
        assert not [path.name for path in (home / "state").iterdir() if path.stem in STORES]


async def test_each_has_a_file_of_its_own_from_its_first_use_on(home: Path) -> None:
    async with make(home) as infra:
        await infra.cache.set("key", 1, ttl="1m")
        async with infra.locks.lock("report"):
            pass
        await check_rate_limit("ann", 5, "1m")
        infra.breakers.breaker("payments")
        await infra.breakers.force_open("payments")
    assert {path.name for path in home.glob("*.db")} >= {f"{name}.db" for name in STORES}


async def test_the_next_process_finds_what_was_kept(home: Path) -> None:
    async with make(home) as infra:
        await infra.cache.set("key", [1, 2], ttl="1m")
    async with make(home) as infra:
        assert await infra.cache.get("key") == [1, 2]


async def test_redis_url_is_for_all_of_them_over_one_connection(redis: Service, home: Path) -> None:
    url = f"redis://{redis.host}:{redis.port}/0"
    async with make(home, {"REDIS_URL": url}, queue="memory://") as infra:
        assert {infra.cache.backend, infra.locks.backend, infra.limits.backend, infra.breakers.backend} == {"redis"}
        await infra.cache.set("tests:stores", 1, ttl="1m")
        async with infra.locks.lock("tests:stores"):
            assert (await check_rate_limit("tests:stores", 5, "1s")).allowed
        assert [infra.stores.connection(name) for name in STORES] == [infra.services.redis] * 4
        assert [name for name in infra.health.names if name in STORES] == []  # the check of Redis is theirs
        await infra.cache.delete("tests:stores")


async def test_a_variable_of_its_own_comes_before_redis_url(home: Path) -> None:
    environ = {"REDIS_URL": "redis://nowhere.invalid", "UNDERCROFT_CACHE": "memory://", "UNDERCROFT_QUEUE": "memory://"}
    infra = make(home, environ)
    assert (infra.cache.backend, infra.locks.backend) == ("memory", "redis")


async def test_a_server_of_its_own_has_a_check_of_its_own(home: Path) -> None:
    infra = make(home, {"UNDERCROFT_LOCKS": "redis://127.0.0.1:1/0", "UNDERCROFT_CACHE": "redis://127.0.0.1:1/0"})
    assert [name for name in infra.health.names if name in STORES] == ["cache", "locks"]
    async with infra:  # neither is asked before it is needed
        report = await infra.health.run()
        assert report.checks["locks"].status == "unhealthy"
        assert not report.checks["cache"].critical
        assert await twice(4) == 8
        with pytest.raises(CacheUnavailableError):
            await infra.cache.delete("key")


async def test_a_store_that_is_handed_in_is_used(home: Path) -> None:
    backend = MemoryCache()
    async with make(home, cache=backend, cache_namespace="shop", cache_ttl="1m") as infra:
        await infra.cache.set("key", 1)
        assert (infra.cache.namespace, infra.cache.backend) == ("shop", "memory")
        assert await backend.get("shop", "key") is not None


async def test_a_ttl_is_needed_where_none_is_set(home: Path) -> None:
    async with make(home) as infra:
        with pytest.raises(MissingTTLError):
            await infra.cache.set("key", 1)


def test_problems_of_all_of_them_are_told_together(home: Path) -> None:
    environ = {f"UNDERCROFT_{name.upper()}": "mysql://db/0" for name in STORES}
    with pytest.raises(ValueError, match="4 problems") as caught:
        make(home, environ)
    assert all(f"UNDERCROFT_{name.upper()}" in str(caught.value) for name in STORES)


def test_a_wrong_url_of_redis_is_told_once_for_all_that_would_be_on_it(home: Path) -> None:
    with pytest.raises(ValueError, match="problem") as caught:
        make(home, {"REDIS_URL": "redis://"}, queue="memory://")
    assert len(caught.value.problems) == 1  # type: ignore[attr-defined]


# That they work


async def test_the_functions_of_the_faces_act_on_the_bound_infra(home: Path) -> None:
    async with make(home) as infra:
        assert await twice(4) == 8
        assert await infra.cache.get("twice:4") == 8
        async with Lock("report") as lease:
            assert lease.token > 0
            assert [held.name for held in await infra.locks.list()] == ["report"]
        breaker = CircuitBreaker("payments")
        await breaker.execute(twice, 4)
        await infra.breakers.force_open("payments")
        with pytest.raises(CircuitOpenError):
            await breaker.execute(twice, 5)


async def test_policies_can_be_named(home: Path) -> None:
    policy = RatePolicy("login", [SlidingWindow(2, "1m")])
    async with make(home, rate_policies=[policy]) as infra:
        allowed = [(await infra.limits.check("login", "ann")).allowed for _ in range(3)]
        assert allowed == [True, True, False]


async def test_a_saga_is_driven_by_the_workers(home: Path) -> None:
    async with make(home, sagas=[ORDER]) as infra:
        handle = await infra.sagas.start(ORDER, {"fail": True}, id="order-7")
        await infra.queue.worker().drain()
        with pytest.raises(SagaFailedError) as caught:
            await handle.result(timeout="10s")
        assert (str(caught.value.result.state), caught.value.result.failed_step) == ("compensated", "charge")


def test_sagas_may_be_named_by_their_module(home: Path) -> None:
    assert make(home, sagas="tests.app._sagas_here").sagas.definitions == (ORDER,)
    assert make(home, sagas=_sagas_here).sagas.definitions == (ORDER,)


def test_a_module_without_sagas_is_told(home: Path) -> None:
    with pytest.raises(ValueError, match="holds no sagas") as caught:
        make(home, sagas="tests.app._jobs_here")
    assert isinstance(caught.value.problems[0], JobsNotFoundError)  # type: ignore[attr-defined]


# One of them by itself


@pytest.mark.parametrize("name", ["cache", "locks", "limits", "breakers", "queue", "sagas"])
async def test_one_part_may_be_opened_by_itself(name: str, redis: Service, home: Path) -> None:
    infra = make(home, {"REDIS_URL": f"redis://{redis.host}:{redis.port}/0"}, queue="memory://")
    async with infra.only(name) as part:
        assert part is getattr(infra, name)
        assert not infra.is_open
        if hasattr(part, "ping"):
            await part.ping()


async def test_one_part_of_an_open_infra_is_not_opened_again(home: Path) -> None:
    async with make(home) as infra:
        with pytest.raises(AlreadyOpenError):
            async with infra.only("cache"):
                pass
