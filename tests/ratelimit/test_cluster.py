"""On a cluster: all keys of a decision lie in one slot, whatever the caller's key is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests._services._provide import is_ci, skip_or_fail
from tests.connections.redis._servers import Cluster
from undercroft.ratelimit import Concurrency, Quota, RatePolicy, SlidingWindow, TokenBucket, create_rate_limits

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.parametrize("key", ["user:7", "a}b{c", "{}", "}{", "ä ✓"])
async def test_all_of_a_policy_works_on_a_cluster(cluster: Cluster, key: str) -> None:
    policy = RatePolicy(
        "p",
        [
            TokenBucket(5, "1/h"),
            SlidingWindow(9, "1h"),
            SlidingWindow(9, "2h", "counter"),
            Quota(9, "year"),
            Concurrency(3),
        ],
    )
    async with create_rate_limits(cluster.url, [policy], block_locally=0, timeout="5s") as limits:
        held = await limits.check("p", key, cost=4)
        assert held.allowed, held
        assert held.failure is None
        refused = await limits.check("p", key, cost=4)
        assert [one.remaining for one in refused.decisions] == [1, 5, 5, 5, 2]
        assert [one.key for one in await limits.limited()] == [key]
        assert await limits.release("p", key, held.token or "")
        await limits.refund("p", key, 2)
        assert [one.remaining for one in (await limits.peek("p", key)).decisions] == [3, 7, 7, 7, 3]
        await limits.reset("p", key)
        assert (await limits.check("p", key, cost=5)).allowed
        assert await limits.limited() == []
        await limits.reset("p", key)
