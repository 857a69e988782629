"""What users hold of the crons of a queue: look, pause, run now, and schedule what is not in the code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.queue._cron._definition import CronJob, define_cron
from undercroft.queue._cron._info import NEXT_SHOWN, CronInfo, CronRecord, info_of, next_firings, record_of
from undercroft.queue._cron._ledger import CronLedger, Known, MakeJob
from undercroft.queue._cron._options import ScheduleOptions
from undercroft.queue._cron._scheduler import Scheduler
from undercroft.queue._cron._state import FORMAT, CronState, Line, Outcome, StoredCron, job_id_of
from undercroft.queue._errors import JobDefinitionError, JobNotRegisteredError, QueueUnavailableError
from undercroft.queue._handle import JobHandle
from undercroft.queue._job import Job
from undercroft.queue._protocol import Engine

_TRIES = 100
_log = Logger(module="undercroft.queue")


class Crons:
    """The crons of a queue. Lives as long as the queue it belongs to.

    Definitions come from the code or from `schedule`; what is remembered of each (its last slot, whether it is paused,
    its history) is in the store, for all processes.

    Raises:
        JobDefinitionError: Two crons have one name, or a cron's job has the name of another job.
    """

    def __init__(
        self,
        engine: Engine,
        crons: Iterable[CronJob[..., Any]] = (),
        *,
        jobs: Mapping[str, Job[..., Any]],
        make_job: MakeJob,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        self._engine = engine
        self._definitions = crons_by_name(crons)
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._ledger = CronLedger(engine, self._definitions, jobs=jobs, make_job=make_job)

    # --- Definitions ------------------------------------------------------------------------------------------------

    @property
    def definitions(self) -> tuple[CronJob[..., Any], ...]:
        """The crons of the code, in the order in which they were given."""
        return tuple(self._definitions.values())

    def get_definition(self, name: str) -> CronJob[..., Any] | None:
        """Return the cron of this name of the code, or `None`."""
        return self._definitions.get(name)

    def clear_definitions(self) -> None:
        """Take the crons of the code from this queue object: its schedulers fire them no more. What is remembered of
        them stays in the store."""
        self._definitions.clear()

    def scheduler(self, *, queues: Iterable[str] = (), poll: Duration = "1s") -> Scheduler:
        """Make a scheduler of these crons, and of those that are stored in these queues. See `Scheduler`."""
        return Scheduler(self._ledger, queues=queues, clock=self._clock, poll=poll)

    # --- Looking ----------------------------------------------------------------------------------------------------

    async def list(self) -> tuple[CronInfo, ...]:
        """Return all crons: those of the code in order, then those that are stored, by name."""
        return tuple([self._info(known) for known in await self._load()])

    async def get(self, name: str) -> CronInfo | None:
        """Return one cron, or `None`."""
        known = await self._find(name)
        return None if known is None else self._info(known)

    async def next(self, name: str, count: int = NEXT_SHOWN) -> tuple[datetime, ...]:
        """Return the next firings of a cron, by its time zone's clock, whether or not it is paused.

        Raises:
            JobNotRegisteredError: There is no such cron.
        """
        known = await self._require(name)
        return next_firings(known.cron, known.state, now=self._engine.time(), count=count)

    async def history(self, name: str) -> tuple[CronRecord, ...]:
        """Return what became of the last slots, newest first, 50 at most.

        Raises:
            JobNotRegisteredError: There is no such cron.
        """
        known = await self._require(name)
        return tuple(record_of(name, line) for line in known.state.history) if known.state else ()

    # --- Acting -----------------------------------------------------------------------------------------------------

    async def pause(self, name: str) -> None:
        """Let a cron not fire, in any process, until it is resumed. It can be run by hand meanwhile.

        Raises:
            JobNotRegisteredError: There is no such cron.
        """
        await self._change(name, lambda state: state.with_(is_paused=True))
        _log.info("cron paused", cron=name)

    async def resume(self, name: str) -> None:
        """Let a cron fire again, from its next slot on; slots during the pause are not made up for.

        Raises:
            JobNotRegisteredError: There is no such cron.
        """

        def resumed(state: CronState) -> CronState:
            if not state.is_paused:
                return state
            return state.with_(is_paused=False, last_slot=max(state.last_slot, math.floor(self._engine.time())))

        await self._change(name, resumed)
        _log.info("cron resumed", cron=name)

    async def run_now(self, name: str) -> JobHandle[Any]:
        """Add a run now, beside the slots: not counted in `max_runs`, and not looked at by `overlap`.

        Raises:
            JobNotRegisteredError: There is no such cron.
        """
        job_id = job_id_of(name, f"manual-{self._ids()}")
        now = self._engine.time()
        line = Line(math.floor(now), round(now, 3), Outcome.MANUAL, 1, job_id)
        cron = await self._change(
            name, lambda state: state.with_(history=state.recorded(line)), new_job=lambda: (job_id, now)
        )
        _log.info("cron run by hand", cron=name, job_id=job_id)
        return JobHandle(job_id, cron.job.name, cron.queue, self._engine, self._clock)

    async def clear(self, name: str) -> bool:
        """Forget what is remembered of a cron: its history, its count, a pause. Return whether there was anything.

        It goes on with the next slot from now. The definition of a stored cron stays; damaged entries go.
        """
        is_cleared = False
        for queue in sorted(await self._queues()):
            is_cleared |= await self._clear(queue, name)
        return is_cleared

    # --- Stored crons -----------------------------------------------------------------------------------------------

    async def schedule(
        self,
        name: str,
        expression: str | None = None,
        *,
        job: Job[..., Any] | str | None = None,
        queue: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> CronInfo:
        """Store a cron: every scheduler that looks into its queue and knows its job fires it, until `unschedule`.

        Once more with the same name changes it: its count and history stay, and it fires from now on by the new
        definition.

        Args:
            name: Of the cron; also of the job, unless `job` is given.
            queue: Where its jobs go. Default: the job's.

        Raises:
            JobNotRegisteredError: The job is not known here; nothing is stored.
            JobDefinitionError: An option is not valid, or the name is taken by a cron of the code, or by a stored one
                in another queue; nothing is stored.
        """
        runs = self._job(job if job is not None else name)
        cron = define_cron(name, expression, job=runs, **options, queue=queue or runs.options.queue)
        definition = StoredCron.of(cron)
        for _ in range(_TRIES):
            known = await self._place_for(cron)
            state = known.state.with_(definition=definition) if known.state else self._fresh(definition)
            if known.state is None or known.state.definition != definition:
                state = state.with_(last_slot=math.floor(self._engine.time()), waiting=())
            if await self._ledger.save(known, state):
                _log.info("cron scheduled", cron=name, job=runs.name, schedule=cron.schedule, tz=cron.tz)
                return self._info(Known(cron, state))
        raise _contended(name)

    async def unschedule(self, name: str) -> bool:
        """Delete a stored cron with all that is remembered of it; return whether there was one. Its jobs stay."""
        is_deleted = False
        if name not in self._definitions:
            for queue in sorted(await self._queues()):
                is_deleted |= await self._unschedule(queue, name)
        return is_deleted

    async def _queues(self) -> set[str]:
        return {*await self._engine.queues(), *self._ledger.queues}

    async def _load(self) -> Sequence[Known]:
        return await self._ledger.load(await self._queues())

    async def _find(self, name: str) -> Known | None:
        return next((known for known in await self._load() if known.cron.name == name), None)

    async def _require(self, name: str) -> Known:
        everything = {known.cron.name: known for known in await self._load()}
        if name not in everything:
            raise JobNotRegisteredError(
                f"there is no cron {name!r} here",
                job_name=name,
                near=near_names(name, everything),
                hint="add it to Infra(crons=[…]), or correct the name",
            )
        return everything[name]

    async def _clear(self, queue: str, name: str) -> bool:
        for _ in range(_TRIES):
            entry = await self._ledger.entry(queue, name)
            if entry is None:
                return False
            definition = self._ledger.definition_in(entry)
            fresh = None if definition is None else self._fresh(definition)
            if await self._ledger.replace(queue, name, fresh, version=entry.version):
                return True
        raise _contended(name)

    async def _unschedule(self, queue: str, name: str) -> bool:
        for _ in range(_TRIES):
            entry = await self._ledger.entry(queue, name)
            if entry is None or self._ledger.definition_in(entry) is None:
                return False
            if await self._ledger.replace(queue, name, None, version=entry.version):
                _log.info("cron unscheduled", cron=name)
                return True
        raise _contended(name)

    async def _change(
        self,
        name: str,
        change: Callable[[CronState], CronState],
        *,
        new_job: Callable[[], tuple[str, float]] | None = None,
    ) -> CronJob[..., Any]:
        """Change what is remembered of a cron, and add a job with it, in one step; return the cron."""
        for _ in range(_TRIES):
            known = await self._require(name)
            state = change(known.state or self._fresh(None))
            jobs = []
            if new_job is not None:
                job_id, due_at = new_job()
                jobs = [self._ledger.new_job(known.cron, id=job_id, due_at=due_at)]
            if state == known.state or await self._ledger.save(known, state, jobs):
                return known.cron
        raise _contended(name)

    async def _place_for(self, cron: CronJob[..., Any]) -> Known:
        """Return where a stored cron goes: its entry, or none yet."""
        if cron.name in self._definitions:
            raise JobDefinitionError(f"cron {cron.name!r} is defined in the code", hint="choose another name")
        known = await self._find(cron.name)
        if known is not None and known.cron.queue != cron.queue:
            raise JobDefinitionError(
                f"cron {cron.name!r} is scheduled in the queue {known.cron.queue!r}",
                hint="unschedule it first, or choose another name",
            )
        if known is not None:
            return Known(cron, known.state, known.version)
        left_over = await self._ledger.entry(cron.queue, cron.name)
        return Known(cron, None, left_over.version if left_over else 0)

    def _job(self, job: Job[..., Any] | str) -> Job[..., Any]:
        name = job if isinstance(job, str) else job.name
        known = self._ledger.jobs.get(name)
        if known is None:
            raise JobNotRegisteredError(
                f"job {name!r} is not registered here",
                job_name=name,
                near=near_names(name, self._ledger.jobs),
                hint="schedules in the store name a job: add it to Infra(jobs=[…]), or correct the name",
            )
        return known

    def _fresh(self, definition: StoredCron | None) -> CronState:
        return CronState(v=FORMAT, last_slot=math.floor(self._engine.time()), definition=definition)

    def _info(self, known: Known) -> CronInfo:
        is_stored = known.cron.name not in self._definitions
        return info_of(known.cron, known.state, now=self._engine.time(), is_stored=is_stored)


def crons_by_name(crons: Iterable[CronJob[..., Any]]) -> dict[str, CronJob[..., Any]]:
    """Return crons by name, in order.

    Raises:
        JobDefinitionError: One is no cron, or two have one name.
    """
    named: dict[str, CronJob[..., Any]] = {}
    for cron in crons:
        if not isinstance(cron, CronJob):
            raise JobDefinitionError(
                f"{cron!r} is not a cron", hint='decorate the function with @cron("its.name", "0 3 * * *")'
            )
        if named.setdefault(cron.name, cron) is not cron:
            raise JobDefinitionError(f"two crons are called {cron.name!r}", hint="names are unique; rename one of them")
    return named


def _contended(name: str) -> QueueUnavailableError:
    return QueueUnavailableError(f"cron {name!r} is being changed by others all the time", retry_after=1.0)
