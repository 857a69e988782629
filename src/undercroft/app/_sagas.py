"""Sagas on the queue: their documents in the ledger of a queue of their own, driven by jobs of that queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft._core.ids import IdSource
from undercroft.queue import (
    Engine,
    Job,
    NewJob,
    QueueUnavailableError,
    RetryLater,
    current_job,
    job,
    new_job,
)
from undercroft.resilience import (
    Saga,
    SagaOrchestrator,
    SagaPage,
    Sagas,
    SagaUnavailableError,
    StoredSaga,
)

SAGA_QUEUE = "undercroft.sagas"
"""Its ledger has nothing but sagas, so that a page of it is a page of sagas."""
RUN_JOB = "undercroft.saga.run"
RESCUE_JOB = "undercroft.saga.rescue"
# For a store that is away, not for steps: those have policies of their own.
_ATTEMPTS = 1000


class FailedRun(msgspec.Struct):
    """What the queue tells of a job that drove a saga and has failed for good."""

    job_id: str
    data: dict[str, str]


class QueueSagaStore:
    """A `SagaStore` over a queue's engine, which its queue opens and closes."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._ids = IdSource(clock or SystemClock())

    def time(self) -> float:
        """See `SagaStore.time`."""
        return self._engine.time()

    def new_id(self) -> str:
        """See `SagaStore.new_id`."""
        return self._ids()

    async def load(self, saga_id: str) -> StoredSaga | None:
        """See `SagaStore.load`."""
        with _translated():
            entry = await self._engine.entry(SAGA_QUEUE, saga_id)
        return None if entry is None else StoredSaga(entry.version, entry.data)

    async def save(self, saga_id: str, data: bytes | None, *, version: int, job_id: str | None = None) -> bool:
        """See `SagaStore.save`."""
        jobs = () if job_id is None else (self._job(saga_id, job_id),)
        with _translated():
            return await self._engine.save_entry(SAGA_QUEUE, saga_id, data, version=version, jobs=jobs)

    async def list(self, *, limit: int, cursor: str | None = None) -> SagaPage:
        """See `SagaStore.list`."""
        with _translated():
            page = await self._engine.list_entries(SAGA_QUEUE, limit=limit, cursor=cursor)
        return SagaPage(
            {key: StoredSaga(entry.version, entry.data) for key, entry in page.entries.items()}, page.cursor
        )

    async def wait_for_end(self, job_id: str, *, timeout: float) -> None:
        """See `SagaStore.wait_for_end`."""
        with _translated():
            await self._engine.wait_for_end(job_id, queue=SAGA_QUEUE, timeout=timeout)

    def _job(self, saga_id: str, job_id: str) -> NewJob:
        data = _stored.store((), {"saga_id": saga_id})
        return new_job(_stored, data, _stored.options, job_id=job_id, now=self._engine.time())


def build_sagas(
    engine: Engine,
    definitions: Iterable[Saga[Any] | SagaOrchestrator],
    *,
    clock: Clock | None = None,
    keep: Duration | None = "7d",
) -> Sagas:
    """Return the sagas of a queue's engine. Does no I/O, and has nothing to open or close but the engine."""
    return Sagas(QueueSagaStore(engine, clock=clock), definitions, clock=clock, keep=keep)


def saga_jobs(sagas: Sagas) -> tuple[Job[..., Any], ...]:
    """Return the jobs that drive sagas, for the queue over the same engine; none when no saga is defined."""
    if not sagas.definitions:
        return ()

    @_run_job
    async def run(saga_id: str) -> None:
        delay_s = await sagas.advance(saga_id, job_id=current_job().id)
        if delay_s is not None:
            raise RetryLater(delay_s, "the saga waits")

    @job(RESCUE_JOB, schema=FailedRun, queue=SAGA_QUEUE, attempts=_ATTEMPTS)
    async def rescue(failed: FailedRun) -> None:
        await sagas.rescue(failed.data["saga_id"], job_id=failed.job_id)

    return (run, rescue)


# A job that is failed for good, as its process died three times, has its saga driven by another.
_run_job = job(RUN_JOB, queue=SAGA_QUEUE, attempts=_ATTEMPTS, timeout=None, on_failure=RESCUE_JOB, tags=["undercroft"])


@_run_job
async def _stored(saga_id: str) -> None:
    """Stands for the job that `saga_jobs` makes, where one is stored: the same name, options and parameter."""
    raise AssertionError(saga_id)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except QueueUnavailableError as exc:
        raise SagaUnavailableError(
            f"sagas cannot be read or written: {exc.message}", hint=exc.hint, retry_after=exc.retry_after
        ) from exc
