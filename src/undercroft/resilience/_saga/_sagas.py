"""The sagas of a store: started once, driven by jobs, looked at, resumed, and forgotten in the end."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal, TypeVar

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.logging import Logger
from undercroft.resilience._saga._checks import check_count, check_id
from undercroft.resilience._saga._counts import saga_counts
from undercroft.resilience._saga._direct import new_record
from undercroft.resilience._saga._errors import (
    SagaConflictError,
    SagaDefinitionError,
    SagaNotFoundError,
    SagaStateError,
    SagaUnavailableError,
)
from undercroft.resilience._saga._fit import misfit
from undercroft.resilience._saga._forgetting import Forgetting
from undercroft.resilience._saga._handle import SagaHandle
from undercroft.resilience._saga._journal import Journal
from undercroft.resilience._saga._orchestrator import SagaOrchestrator
from undercroft.resilience._saga._ports import SagaStore, StoredSaga
from undercroft.resilience._saga._records import SagaRecord, decode_record, encode_record, info_of
from undercroft.resilience._saga._registry import Registry
from undercroft.resilience._saga._results import SagaInfo, SagaState
from undercroft.resilience._saga._run import SagaRun
from undercroft.resilience._saga._saga import Saga

D = TypeVar("D")
StateLike = SagaState | Literal["running", "completed", "compensating", "compensated", "compensation_failed"]

PARKED_S = 60.0
"""After which a saga that cannot go on here is looked at again: a deploy may have brought what it needs."""
_PATIENCE_S = 1.0
_PAGE = 200
_RACES = 10
_log = Logger(module="undercroft.resilience")


class Sagas:
    """Sagas in a store. Built without I/O; lives as long as its store, which its maker opens and closes.

    Args:
        store: Keeps them, and enqueues the jobs that drive them.
        definitions: What may be started and run here. Several versions of one name may be.
        keep: How long a saga is kept after its end; one whose compensation failed is kept until it is deleted.
            `None` keeps all.
    """

    def __init__(
        self,
        store: SagaStore,
        definitions: Iterable[Saga[Any] | SagaOrchestrator] = (),
        *,
        clock: Clock | None = None,
        keep: Duration | None = "7d",
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._forgetting = Forgetting(store, None if keep is None else to_seconds(keep, name="keep"))
        self._registry = Registry(definitions)
        self._counts = saga_counts()

    @property
    def definitions(self) -> tuple[Saga[Any], ...]:
        """What may be started and run here."""
        return self._registry.sagas

    async def start(
        self,
        saga: Saga[D] | SagaOrchestrator | str,
        data: object = None,
        *,
        id: str | None = None,  # noqa: A002
    ) -> SagaHandle:
        """Store a saga and the job that drives it, in one step. It is on disk when this returns, and will be run.

        Called again with the same id, name and data, it returns the handle of the saga that is there: give an id
        of your own (`"order-7"`), and a request that is sent twice starts one saga.

        Args:
            saga: A definition that is registered here, or the name of one, of which the latest version is taken.
            id: 1 to 200 printable characters, no spaces; unique among all sagas of the store. Default a new one.

        Raises:
            SagaNotRegisteredError: It is not known here; nothing is stored.
            SagaDataError: The data does not fit; nothing is stored.
            SagaConflictError: The id belongs to another saga, or to one with other data.
            SagaUnavailableError: The store did not answer: it is stored, or it is not. Start it again, by its id.
        """
        definition = self._registry.require(saga)
        raw = definition.stored_data(data)
        saga_id = check_id(id) if id is not None else self._store.new_id()
        for _ in range(_RACES):
            record = new_record(definition, saga_id, raw, now=self._store.time(), job_id=self._store.new_id())
            record.write = self._store.new_id()
            if await self._store.save(saga_id, encode_record(record), version=0, job_id=record.job_id):
                return self._started(record)
            found = await self._load(saga_id)
            if found is not None:
                return self._met(found, record)
        raise SagaUnavailableError(f"saga {saga_id!r} was started and deleted {_RACES} times over", retry_after=1.0)

    async def get(self, saga_id: str, /) -> SagaInfo | None:
        """Return a saga as it is stored now; `None` when there is none of this id (any more)."""
        record = await self._load(check_id(saga_id))
        return None if record is None else info_of(record)

    async def require(self, saga_id: str, /) -> SagaInfo:
        """Return a saga as it is stored now.

        Raises:
            SagaNotFoundError: There is none of this id (any more).
        """
        return info_of((await self._required(saga_id))[0])

    async def handle(self, saga_id: str, /) -> SagaHandle:
        """Return the handle of a saga.

        Raises:
            SagaNotFoundError: There is none of this id (any more).
        """
        return self._handle((await self._required(saga_id))[0], is_new=False)

    async def list(
        self, *, state: StateLike | str | None = None, saga: str | None = None, limit: int = 100
    ) -> tuple[SagaInfo, ...]:
        """Return up to `limit` sagas, those that were started last first. Reads all that are stored, a page at a time.

        Args:
            state: Only those in this state.
            saga: Only those of the definition of this name.
        """
        wanted = None if state is None else _to_state(state)
        check_count(limit, what="limit", high=10_000)
        newest: list[tuple[float, str, SagaRecord]] = []
        seen: set[str] = set()
        async for record in self._all():
            if record.id in seen or wanted not in (None, record.state) or saga not in (None, record.saga):
                continue
            seen.add(record.id)
            push = heapq.heappush if len(newest) < limit else heapq.heappushpop
            push(newest, (record.started_at, record.id, record))
        return tuple(info_of(record) for _, _, record in sorted(newest, reverse=True, key=lambda found: found[:2]))

    async def resume(self, saga_id: str, /) -> SagaHandle:
        """Have a saga go on: one whose compensation failed tries what is left of it again, with all its attempts.

        One that has not ended gets a new job, and the run that may be under way loses it: for a saga that does not
        move, since somebody removed its job.

        Raises:
            SagaNotFoundError: There is none of this id (any more).
            SagaStateError: It is completed or compensated: there is nothing left to do.
            SagaLostError: Its state changed meanwhile; look again.
        """
        record, stored = await self._required(saga_id)
        if record.state in (SagaState.COMPLETED, SagaState.COMPENSATED):
            raise SagaStateError(f"saga {saga_id!r} is {record.state}: there is nothing left to do")
        journal = Journal(self._store, stored, clock=self._clock)
        if record.state is SagaState.COMPENSATION_FAILED:
            journal.record.state = SagaState.COMPENSATING
            for entry in journal.record.compensations:
                if entry.state == "failed":
                    entry.state, entry.failures, entry.crashes = "waiting", 0, 0
        await self._hand_on(journal)
        _log.info("saga resumed", saga=record.saga, saga_id=record.id, state=record.state.value)
        return self._handle(journal.record, is_new=False)

    async def delete(self, saga_id: str, /) -> bool:
        """Forget a saga that has ended. False: there is none of this id (any more).

        Raises:
            SagaStateError: It has not ended.
        """
        stored = await self._store.load(check_id(saga_id))
        if stored is None:
            return False
        state = decode_record(stored.data).state
        if not state.is_final:
            raise SagaStateError(f"saga {saga_id!r} is {state}, and only a saga that has ended can be deleted")
        return await self._store.save(saga_id, None, version=stored.version)

    async def prune(self) -> int:
        """Forget all sagas that have ended longer ago than they are kept; return how many.

        This happens by itself, a few at a time, as other sagas end.
        """
        return await self._forgetting.all()

    # --- For the jobs that drive them -------------------------------------------------------------------------------

    async def advance(self, saga_id: str, *, job_id: str) -> float | None:
        """Run a saga until it ends, or has to wait for so many seconds. What the job of this id does.

        A job that does not drive the saga any more does nothing.

        Raises:
            SagaLostError: Somebody else goes on with it; look again.
            SagaUnavailableError: The store does not answer.
        """
        stored = await self._store.load(saga_id)
        journal = None if stored is None else Journal(self._store, stored, clock=self._clock)
        if journal is None or journal.record.job_id != job_id or journal.record.state.is_final:
            _log.info("saga left alone: it has ended, or another job drives it", saga_id=saga_id)
            return None
        saga = self._registry.of(journal.record)
        problem = self._registry.lack(journal.record) if saga is None else misfit(saga, journal.record)
        if saga is None or problem is not None:
            await self._park(journal, problem or "")
            return PARKED_S
        journal.record.problem = None
        run = SagaRun(saga, journal, clock=self._clock, counts=self._counts, patience_s=_PATIENCE_S)
        delay_s = await run.go()
        if delay_s is None:
            await self._forgetting.some()
        return delay_s

    async def rescue(self, saga_id: str, *, job_id: str) -> bool:
        """Give a saga another job when the one that drove it has failed for good; false: it needs none."""
        stored = await self._store.load(saga_id)
        if stored is None:
            return False
        journal = Journal(self._store, stored, clock=self._clock)
        if journal.record.job_id != job_id or journal.record.state.is_final:
            return False
        await self._hand_on(journal)
        _log.warning("saga got another job: the one that drove it failed", saga_id=saga_id, job_id=job_id)
        return True

    async def _hand_on(self, journal: Journal) -> None:
        journal.record.job_id = self._store.new_id()
        await journal.save(job_id=journal.record.job_id)

    async def _park(self, journal: Journal, problem: str) -> None:
        record = journal.record
        self._counts.parked(record.saga)
        about = {"saga": record.saga, "saga_id": record.id, "version": record.version, "problem": problem}
        _log.error("saga cannot go on here", **about, again_in_s=PARKED_S)
        if record.problem != problem:
            record.problem = problem
            await journal.save()

    # --- Loading, and what is told ----------------------------------------------------------------------------------

    async def _load(self, saga_id: str) -> SagaRecord | None:
        stored = await self._store.load(saga_id)
        return None if stored is None else decode_record(stored.data)

    async def _required(self, saga_id: str) -> tuple[SagaRecord, StoredSaga]:
        stored = await self._store.load(check_id(saga_id))
        if stored is None:
            raise SagaNotFoundError(f"saga {saga_id!r} is not stored (any more)", saga_id=saga_id)
        return decode_record(stored.data), stored

    async def _all(self) -> AsyncIterator[SagaRecord]:
        cursor: str | None = None
        while True:
            page = await self._store.list(limit=_PAGE, cursor=cursor)
            for stored in page.sagas.values():
                yield decode_record(stored.data)
            cursor = page.cursor
            if cursor is None:
                return

    def _started(self, record: SagaRecord) -> SagaHandle:
        self._counts.started(record.saga)
        _log.info("saga started", saga=record.saga, saga_id=record.id, version=record.version)
        return self._handle(record, is_new=True)

    def _met(self, found: SagaRecord, wanted: SagaRecord) -> SagaHandle:
        """Return the handle of the saga that has the id already, if it is the same."""
        if found.write == wanted.write:  # the answer to the first write got lost on the way
            return self._started(found)
        if found.saga != wanted.saga:
            raise SagaConflictError(f"saga {found.id!r} is a saga {found.saga!r}, and not {wanted.saga!r}")
        if msgspec.json.decode(found.data) != msgspec.json.decode(wanted.data):
            raise SagaConflictError(f"saga {found.id!r} was started with other data")
        return self._handle(found, is_new=False)

    def _handle(self, record: SagaRecord, *, is_new: bool) -> SagaHandle:
        return SagaHandle(record.id, record.saga, is_new, self._load, self._store, self._clock)


def _to_state(state: str) -> SagaState:
    try:
        return SagaState(state)
    except ValueError:
        raise SagaDefinitionError(
            f"state {state!r} is unknown",
            near=near_names(str(state), SagaState),
            hint=f"states: {', '.join(SagaState)}",
        ) from None
