"""A worker's beat from another thread, on a loop and a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from undercroft._core.clock import SystemClock
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Beat, ClaimedJob
from undercroft.queue.redis._claims import Claims
from undercroft.queue.redis._leases import beat
from undercroft.queue.redis._scripts import load_scripts
from undercroft.queue.redis._store import Store

_DEADLINE_S = 4.0
"""Less than what a worker may keep silent."""
_TURNS = 3


class RedisPulse:
    """See `Pulse`. Built anywhere; used and closed by one thread."""

    def __init__(self, url: Url, *, what: str, prefix: str, worker_id: str, claims: Claims) -> None:
        self._url = url
        self._what = what
        self._prefix = prefix
        self._worker_id = worker_id
        self._claims = claims
        self._runner: asyncio.Runner | None = None
        self._connection: RedisConnection | None = None
        self._store: Store | None = None

    def beat(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        """See `Pulse.beat`. A connection that broke since the last time is made again."""
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(self._beat(jobs, lease_s))

    def close(self) -> None:
        """See `Pulse.close`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            try:
                runner.run(self._close())
            finally:
                runner.close()

    async def _beat(self, jobs: Sequence[ClaimedJob], lease_s: float) -> Beat:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                store = await self._open()
                for _ in range(_TURNS):  # the loop stood still: let it notice a connection that has ended
                    await asyncio.sleep(0)
                try:
                    return await beat(store, self._claims, self._worker_id, jobs, lease_s=lease_s)
                except QueueUnavailableError:
                    return await beat(store, self._claims, self._worker_id, jobs, lease_s=lease_s)
        except TimeoutError as exc:
            raise QueueUnavailableError(f"the queue's store did not take a heartbeat within {_DEADLINE_S:g}s") from exc

    async def _open(self) -> Store:
        if self._store is None:
            connection = RedisConnection(self._url, what=self._what)
            await connection.__aenter__()
            self._connection = connection
            self._store = Store(connection, prefix=self._prefix, clock=SystemClock(), scripts=load_scripts())
        return self._store

    async def _close(self) -> None:
        store, self._store = self._store, None
        connection, self._connection = self._connection, None
        if store is not None:
            await store.close()
        if connection is not None:
            await connection.__aexit__(None, None, None)
