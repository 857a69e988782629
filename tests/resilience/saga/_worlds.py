"""What the tests of stored sagas share: a store that fails where it is told to, and workers that die."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from undercroft._core.clock import VirtualClock
from undercroft.resilience import MemorySagaStore, Saga, SagaInfo, Sagas, SagaUnavailableError

Fault = Literal["dies before", "dies after", "unavailable before", "unavailable after"]


class Died(BaseException):
    """The process was killed here: nothing of it runs any more."""


class HurriedClock(VirtualClock):
    """Sleeping takes no time, and is as long as it says."""

    async def sleep(self, seconds: float) -> None:
        self._now += seconds


class FaultyStore(MemorySagaStore):
    """A store of which one write goes wrong."""

    def __init__(self, clock: VirtualClock, *, at: int | None = None, fault: Fault = "dies before") -> None:
        super().__init__(clock=clock)
        self.writes = 0
        self._at = at
        self._fault = fault

    async def save(self, saga_id: str, data: bytes | None, *, version: int, job_id: str | None = None) -> bool:
        self.writes += 1
        is_now = self.writes == self._at
        if is_now and self._fault.endswith("before"):
            raise self._error()
        is_saved = await super().save(saga_id, data, version=version, job_id=job_id)
        if is_now:
            raise self._error()
        return is_saved

    def _error(self) -> BaseException:
        return Died() if self._fault.startswith("dies") else SagaUnavailableError("the answer got lost")


async def work(
    store: MemorySagaStore, definitions: Iterable[Saga[Any]], clock: VirtualClock, *, runs: int = 200
) -> int:
    """Run the jobs of a store as workers do that die and are replaced; return how many runs there were."""
    waiting = [store.jobs.pop(0) for _ in range(len(store.jobs))]
    for run in range(runs):
        if not waiting:
            return run
        saga_id, job_id = waiting[0]
        try:
            delay_s = await Sagas(store, definitions, clock=clock).advance(saga_id, job_id=job_id)
        except (Died, SagaUnavailableError):
            continue  # the job is given to another worker
        if delay_s is None:
            waiting.pop(0)
        else:
            await clock.advance(delay_s)
        waiting.extend(store.jobs.pop(0) for _ in range(len(store.jobs)))
    raise AssertionError(f"a saga is still on its way after {runs} runs")


async def run_stored(
    saga: Saga[Any], store: MemorySagaStore, clock: VirtualClock, data: object = None, *, saga_id: str = "order-7"
) -> SagaInfo:
    """Start a saga, as often as that takes, have it worked off, and return it."""
    while True:
        try:
            await Sagas(store, [saga], clock=clock).start(saga, data, id=saga_id)
            break
        except (Died, SagaUnavailableError):
            continue
    await work(store, [saga], clock)
    return await Sagas(store, [saga], clock=clock).require(saga_id)
