"""`Saga.run`: a saga in memory, run here and now."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.resilience._saga._checks import check_id
from undercroft.resilience._saga._counts import saga_counts
from undercroft.resilience._saga._journal import Journal
from undercroft.resilience._saga._ports import StoredSaga
from undercroft.resilience._saga._records import SagaRecord, encode_record, result_of
from undercroft.resilience._saga._results import SagaResult, SagaState, failure_of
from undercroft.resilience._saga._run import SagaRun
from undercroft.resilience._saga._saga import Saga
from undercroft.resilience._saga.memory import MemorySagaStore

_UNDOING_S = 30.0
_log = Logger(module="undercroft.resilience")


async def run_here(
    saga: Saga[Any], data: object, *, saga_id: str | None, check: bool, clock: Clock | None
) -> SagaResult:
    """See `Saga.run`."""
    saga.require_steps()
    clock = clock or SystemClock()
    store = MemorySagaStore(clock=clock)
    new_id = check_id(saga_id) if saga_id is not None else IdSource(clock)()
    record = new_record(saga, new_id, saga.stored_data(data), now=store.time())
    stored = StoredSaga(1, encode_record(record))
    await store.save(new_id, stored.data, version=0)
    journal = Journal(store, stored, clock=clock)
    counts = saga_counts()
    counts.started(saga.name)
    run = SagaRun(saga, journal, clock=clock, counts=counts, patience_s=math.inf)
    try:
        await run.go()
    except asyncio.CancelledError as exc:
        await _undo(run, journal, clock, exc)
        raise
    result = result_of(journal.record)
    if check and not result.is_completed:
        raise failure_of(result) from run.cause
    return result


def new_record(saga: Saga[Any], saga_id: str, data: bytes, *, now: float, job_id: str = "") -> SagaRecord:
    """Return the record of a saga that is to begin."""
    return SagaRecord(
        id=saga_id,
        saga=saga.name,
        version=saga.version,
        state=SagaState.RUNNING,
        data=msgspec.Raw(data),
        started_at=now,
        updated_at=now,
        job_id=job_id,
    )


async def _undo(run: SagaRun, journal: Journal, clock: Clock, exc: asyncio.CancelledError) -> None:
    """Undo, as far as there is time, a saga that only this task knows of and that is cancelled."""
    run.abandon(_cancelled(exc))
    with anyio.CancelScope(shield=True), clock.cancel_after(_UNDOING_S):
        await run.go()
    record = journal.record
    if not record.state.is_final:
        left = [entry.name for entry in record.compensations if entry.state not in ("ok", "skipped")]
        _log.error("saga was cancelled, and not everything is undone", saga=record.saga, saga_id=record.id, steps=left)


def _cancelled(exc: asyncio.CancelledError) -> Exception:
    return RuntimeError(f"the saga was cancelled{f': {exc}' if str(exc) else ''}")
