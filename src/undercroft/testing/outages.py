"""Outages of a store, by name, for tests that ask what a part does while its store is away.

    @pytest.mark.parametrize("outage", OUTAGES)
    async def test_reads_go_on(outage: Outage) -> None:
        async with RedisOutages("127.0.0.1", port) as outages, create_cache(outages.url) as cache:
            async with outages.during(outage):      # from here to the end of the block
                assert await cache.get("k") is None
            await cache.set("k", 1, ttl="1m")       # healed

`RedisOutages` makes every kind, `SqliteOutages` those a file can have (`supported`). Both are of servers and files that
belong to the test alone: nobody else's are configured, locked or moved. Needs asyncio; no package for Redis.
"""

from undercroft.testing._outages.kinds import OUTAGES, Outage
from undercroft.testing._outages.redis import RedisOutages
from undercroft.testing._outages.sqlite import RunsOnConnection, SqliteOutages

__all__ = ["OUTAGES", "Outage", "RedisOutages", "RunsOnConnection", "SqliteOutages"]
