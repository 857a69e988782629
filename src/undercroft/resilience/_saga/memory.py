"""Sagas of one process, kept as long as it lives."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.ids import IdSource
from undercroft.resilience._saga._ports import SagaPage, StoredSaga


class MemorySagaStore:
    """See `SagaStore`. Lives as long as whoever made it; there is nothing to close.

    Jobs are only noted, in `jobs`: nobody runs them. `Saga.run` needs none; a test may run them by hand.
    """

    def __init__(self, *, clock: Clock | None = None, ids: Callable[[], str] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._sagas: dict[str, StoredSaga] = {}
        self.jobs: list[tuple[str, str]] = []
        """Saga id and job id of every job that was enqueued."""

    def time(self) -> float:
        """See `SagaStore.time`."""
        return self._clock.time()

    def new_id(self) -> str:
        """See `SagaStore.new_id`."""
        return self._ids()

    async def load(self, saga_id: str) -> StoredSaga | None:
        """See `SagaStore.load`."""
        return self._sagas.get(saga_id)

    async def save(self, saga_id: str, data: bytes | None, *, version: int, job_id: str | None = None) -> bool:
        """See `SagaStore.save`."""
        now = self._sagas.get(saga_id)
        if (now.version if now else 0) != version:
            return False
        if data is None:
            self._sagas.pop(saga_id, None)
        else:
            self._sagas[saga_id] = StoredSaga(version + 1, data)
        if job_id is not None:
            self.jobs.append((saga_id, job_id))
        return True

    async def list(self, *, limit: int, cursor: str | None = None) -> SagaPage:
        """See `SagaStore.list`. In the order of ids."""
        ids = heapq.nsmallest(limit, (saga_id for saga_id in self._sagas if cursor is None or saga_id > cursor))
        return SagaPage({saga_id: self._sagas[saga_id] for saga_id in ids}, ids[-1] if len(ids) == limit else None)

    async def wait_for_end(self, job_id: str, *, timeout: float) -> None:  # noqa: ARG002 - nobody runs jobs here
        """See `SagaStore.wait_for_end`."""
        await self._clock.sleep(min(timeout, 0.05))
