"""redis-py's cluster client, with a bounded number of calls at a time instead of an error at the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.cluster import ClusterPipeline, ClusterPubSub, RedisCluster

from undercroft.connections.redis._pool import ExhaustedError
from undercroft.connections.redis._slots import Slots, SlotsExhausted


class WaitingCluster(RedisCluster):
    """A cluster's client whose calls and pipelines take one of `slots` each. Sends nothing twice on its own."""

    slots: Slots
    """Set by whoever builds it, before the first call."""

    @property
    def idle(self) -> int:
        """How many connections are open and not in use, over all nodes."""
        nodes = self.nodes_manager.nodes_cache.values()
        return sum(1 for node in nodes for connection in node._free if connection.is_connected)  # noqa: SLF001

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        execute = super().execute_command
        return await self.in_slot(lambda: execute(*args, **options))

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        if shard_hint:
            return super().pipeline(transaction, shard_hint)  # says what is wrong with it
        return WaitingClusterPipeline(self, transaction)  # type: ignore[abstract]  # a mere annotation of its base

    def pubsub(
        self, node: Any = None, host: str | None = None, port: int | None = None, **options: Any
    ) -> ClusterPubSub:
        return KnowingPubSub(self, node=node, host=host, port=port, **options)

    async def in_slot(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Await `call` while holding a slot; a call inside another one shares its slot."""
        if self.slots.is_held_by(asyncio.current_task()):
            return await call()
        try:
            hold = await self.slots.take()
        except SlotsExhausted as exc:
            raise ExhaustedError(str(exc), self.slots.holders()) from None
        try:
            return await call()
        finally:
            self.slots.give_back(hold)


class WaitingClusterPipeline(ClusterPipeline):
    """A pipeline that holds one slot while it executes."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        client: Any = self.cluster_client
        execute = super().execute
        return list(await client.in_slot(lambda: execute(raise_on_error, allow_redirections)))


class KnowingPubSub(ClusterPubSub):
    """A listener that asks for the cluster's nodes before it chooses one; redis-py's fails when nobody has yet."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await self.cluster.initialize()
        return await super().execute_command(*args, **options)
