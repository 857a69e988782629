"""What users hold: a queue they can put jobs into, look into, and take workers from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, ParamSpec, Self, TypeVar, Unpack, overload
from weakref import WeakSet

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.monitoring import ErrorTracker
from undercroft.queue._counts import EnqueueCounts
from undercroft.queue._cron._crons import Crons, crons_by_name
from undercroft.queue._cron._definition import CronJob
from undercroft.queue._dead_letters import DeadLetters
from undercroft.queue._errors import JobArgumentsError, JobDefinitionError, JobNotRegisteredError
from undercroft.queue._flow import Batch, Flow, Group
from undercroft.queue._flow_handles import BatchHandle, FlowHandle, GroupHandle
from undercroft.queue._flow_plan import plan_flow
from undercroft.queue._handle import JobHandle
from undercroft.queue._job import Job
from undercroft.queue._operations import Operations
from undercroft.queue._options import JobOptions, ResolvedOptions
from undercroft.queue._protocol import Engine
from undercroft.queue._steps import JobStep, new_job
from undercroft.queue._tracing import enqueue_span
from undercroft.queue._values import Added, NewJob
from undercroft.queue._worker._worker import Worker

P = ParamSpec("P")
T = TypeVar("T")
_log = Logger(module="undercroft.queue")


class Queue(Operations):
    """A queue over an engine, with the jobs it knows. Opened by `async with`, or by the `Infra` it belongs to.

    Args:
        engine: Stores the jobs; opened and closed by this queue.
        jobs: The definitions that may be enqueued here and that its workers run. Names are unique.
        crons: What its workers fire by the clock; their jobs are known here too.
        bind: Entered around every job that its workers run; an `Infra` binds itself this way.
        errors: Is told of what makes jobs fail for good.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[Job[..., Any]] = (),
        *,
        crons: Iterable[CronJob[..., Any]] = (),
        clock: Clock | None = None,
        ids: IdSource | None = None,
        bind: Callable[[], AbstractContextManager[object]] = nullcontext,
        errors: ErrorTracker | None = None,
    ) -> None:
        super().__init__(engine, clock or SystemClock())
        crons = crons_by_name(crons).values()
        self._jobs = _by_name([*jobs, *(cron.job for cron in crons)])
        self._ids = ids or IdSource(self._clock)
        self._bind = bind
        self._errors = errors
        self._counts = EnqueueCounts()
        self._workers: WeakSet[Worker] = WeakSet()
        self._crons = Crons(engine, crons, jobs=self._jobs, make_job=self._cron_job, clock=self._clock, ids=self._ids)

    @property
    def backend(self) -> str:
        """Short name of the engine: `"sqlite"`, `"redis"`, `"memory"`."""
        return self._engine.name

    @property
    def jobs(self) -> Mapping[str, Job[..., Any]]:
        """The definitions this queue knows, by name."""
        return dict(self._jobs)

    @property
    def crons(self) -> Crons:
        """What its workers fire by the clock, and how to look at it, pause it and run it now."""
        return self._crons

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """The jobs that failed for good."""
        return DeadLetters(self, self._engine)

    async def __aenter__(self) -> Self:
        await self._engine.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engine.__aexit__(*exc_info)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            QueueUnavailableError: It does not.
        """
        await self._engine.ping()

    # --- Enqueueing -----------------------------------------------------------------------------------------------

    @overload
    async def enqueue(self, job: Job[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]: ...

    @overload
    async def enqueue(
        self, job: Job[..., T], data: Mapping[str, Any], /, **options: Unpack[JobOptions]
    ) -> JobHandle[T]: ...

    @overload
    async def enqueue(self, job: str, data: object = ..., /, **options: Unpack[JobOptions]) -> JobHandle[Any]: ...

    async def enqueue(self, job: Any, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """Store a run of `job`; it is on disk when this returns, and will run at least once.

        Two forms. With the job's own arguments, checked by the type checker:
        `enqueue(welcome, user_id=1)`; options then go by `welcome.with_(delay="5m").enqueue(user_id=1)`.
        With the data as one mapping (or an instance of the job's schema, for a job by name), and options as keywords:
        `enqueue("email.welcome", {"user_id": 1}, delay="5m", attempts=5)`.

        Raises:
            JobNotRegisteredError: This queue does not know the job; nothing is stored.
            JobArgumentsError: The data does not fit the job's parameters; nothing is stored.
            JobDefinitionError: An option is not valid; nothing is stored.
            QueueUnavailableError: The store did not take it.
        """
        definition = self._known(job)
        # A mapping is always the data, and a name has no signature that a checker could have looked at.
        if args and len(args) == 1 and (isinstance(args[0], Mapping) or isinstance(job, str)):
            options = definition.options.with_(kwargs)
            return await self.add(definition, definition.store_data(args[0]), options)
        if isinstance(job, str) and not args:
            return await self.add(definition, definition.store_data({}), definition.options.with_(kwargs))
        return await self.add(definition, definition.store(args, kwargs), definition.options)

    async def add(self, job: Job[..., T], data: bytes, options: ResolvedOptions) -> JobHandle[T]:
        """Store one checked run. `enqueue` and `Job.enqueue` end here."""
        self._check(job, options)
        with enqueue_span(job.name, options.queue):
            new = new_job(job, data, options, job_id=self._ids(), now=self._engine.time())
            (added,) = await self._engine.add((new,))
            self._counts.enqueued(new.queue, new.name)
            _log.info("job enqueued", job=new.name, job_id=added.id, queue=new.queue, is_new=added.is_new)
        return self._handle(new, added)

    async def enqueue_many(
        self, job: Job[..., T] | str, items: Iterable[Mapping[str, Any]], /, **options: Unpack[JobOptions]
    ) -> list[JobHandle[T]]:
        """Store a run of `job` for each of `items`, in one step; return their handles in order.

        Args:
            items: The data of each run, as `enqueue` takes it.
            options: Of all of them. For options of their own use `group`.

        Raises:
            JobArgumentsError: One does not fit; the message names its index, and nothing is stored.
            JobDefinitionError: An option is not valid, or would store only the first of them.
        """
        definition = self._known(job)
        resolved = definition.options.with_(options)
        if resolved.deduplication is not None:
            raise JobDefinitionError(
                "enqueue_many() with one deduplication key would store the first job only",
                hint="give each its own: group(*[job.with_(dedupe_key=…).step(…) for …]).enqueue()",
            )
        return await self._add_all([JobStep(definition, data, resolved) for data in _all_stored(definition, items)])

    async def enqueue_flow(self, flow: Flow[T]) -> FlowHandle[T]:
        """Store all jobs of a flow, in one step: those without children wait, the others follow.

        Raises:
            JobNotRegisteredError: This queue does not know one of its jobs; nothing is stored.
            JobDefinitionError: One of its jobs would be deduplicated, and the flow be without it.
        """
        for step in flow.steps():
            self._check(step.job, step.options)
            if step.options.deduplication is not None:
                raise JobDefinitionError(
                    f"job {step.job.name!r} is part of a flow and has a deduplication key",
                    hint="a flow is stored whole: leave the key out, or enqueue the job by itself",
                )
        root = flow.parent
        with enqueue_span(root.job.name, root.options.queue, count=sum(1 for _ in flow.steps())):
            jobs, handle = plan_flow(flow, ids=self._ids, now=self._engine.time(), handle_of=self._handle)
            await self._engine.add(jobs)
            self._count(jobs)
            _log.info("flow enqueued", job=jobs[0].name, job_id=jobs[0].id, queue=jobs[0].queue, jobs=len(jobs))
        return handle

    async def enqueue_batch(self, batch: Batch[T]) -> BatchHandle[T]:
        """Store all jobs of a batch, in one step. See `enqueue_flow`."""
        handle = await self.enqueue_flow(batch.as_flow())
        members = tuple(child for child in handle.children if isinstance(child, JobHandle))
        return BatchHandle(handle.root, members)

    async def enqueue_group(self, group: Group[T]) -> GroupHandle[T]:
        """Store all jobs of a group, in one step."""
        return GroupHandle(tuple(await self._add_all(group.members)), self._clock)

    async def _add_all(self, steps: Iterable[JobStep[T]]) -> list[JobHandle[T]]:
        steps = list(steps)
        for step in steps:
            self._check(step.job, step.options)
        if not steps:
            return []
        with enqueue_span(steps[0].job.name, steps[0].options.queue, count=len(steps)):
            now = self._engine.time()
            jobs = [new_job(step.job, step.data, step.options, job_id=self._ids(), now=now) for step in steps]
            added = await self._engine.add(jobs)
            self._count(jobs)
            _log.info("jobs enqueued", job=jobs[0].name, queue=jobs[0].queue, jobs=len(jobs))
        return [self._handle(new, stored) for new, stored in zip(jobs, added, strict=True)]

    def _count(self, jobs: Iterable[NewJob]) -> None:
        for (queue, name), count in Counter((job.queue, job.name) for job in jobs).items():
            self._counts.enqueued(queue, name, count)

    def _check(self, job: Job[..., Any], options: ResolvedOptions) -> None:
        self._known(job)
        if options.on_failure is not None:
            self._known(options.on_failure)

    def _handle(self, new: NewJob, added: Added) -> JobHandle[Any]:
        return JobHandle(added.id, new.name, new.queue, self._engine, self._clock, added.is_new)

    def _cron_job(
        self,
        job: Job[..., Any],
        options: ResolvedOptions,
        /,
        *,
        id: str,  # noqa: A002
        data: bytes,
        due_at: float,
        created_at: float,
    ) -> NewJob:
        """Return what is stored of one run of a cron."""
        return msgspec.structs.replace(new_job(job, data, options, job_id=id, now=created_at), due_at=due_at)

    # --- Working --------------------------------------------------------------------------------------------------

    def worker(
        self,
        jobs: Iterable[Job[..., Any]] | None = None,
        *,
        queues: Iterable[str] | Mapping[str, int] | None = None,
        concurrency: int = 5,
        grace: Duration = "10s",
        lease: Duration = "30s",
        max_jobs: int | None = None,
        max_rss: int | str | None = None,
    ) -> Worker:
        """Make a worker for these jobs (default: all this queue knows), which fires the crons too. See `Worker`."""
        chosen = self._jobs if jobs is None else _by_name(jobs)
        worker = Worker(
            self._engine,
            chosen,
            queues=queues,
            concurrency=concurrency,
            grace=grace,
            lease=lease,
            max_jobs=max_jobs,
            max_rss=max_rss,
            clock=self._clock,
            ids=self._ids,
            bind=self._bind,
            errors=self._errors,
            crons=[self._crons.scheduler(queues=queues or ()).run],
        )
        self._workers.add(worker)
        return worker

    def problems(self) -> tuple[str, ...]:
        """Say what is wrong with the workers of this queue that run in this process; nothing, as a rule."""
        return tuple(problem for worker in self._running() for problem in worker.health().problems)

    def work(self) -> dict[str, object]:
        """Say what the workers of this queue in this process are at, as plain JSON data: `undercroft health` shows it.

        `{workers: [{id, queues, active, runs, last_claim_at, problems}]}`. To be asked in their event loop.
        """
        return {"workers": [_work_of(worker) for worker in self._running()]}

    def _running(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.is_running]

    def _known(self, job: Job[..., Any] | str) -> Job[..., Any]:
        name = job if isinstance(job, str) else getattr(job, "name", None)
        known = self._jobs.get(name) if isinstance(name, str) else None
        if known is None:
            raise _unknown(job, name, self._jobs)
        return known if isinstance(job, str) else job


def _all_stored(job: Job[..., Any], items: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Return the data of several runs as they are stored, or say which of them does not fit."""
    stored: list[bytes] = []
    try:
        for item in items:
            stored.append(job.store_data(item))  # noqa: PERF401 - how many there are is told below
    except JobArgumentsError as exc:
        raise JobArgumentsError(
            f"item {len(stored)} of enqueue_many: {exc.message}", hint=exc.hint, near=exc.near
        ) from exc
    return stored


def _work_of(worker: Worker) -> dict[str, object]:
    health = worker.health()
    return {
        "id": worker.id,
        "queues": list(worker.queues),
        "active": health.active,
        "runs": health.runs,
        "last_claim_at": None if health.last_claim_at is None else health.last_claim_at.isoformat(timespec="seconds"),
        "problems": list(health.problems),
    }


def _unknown(job: object, name: object, known: Mapping[str, Job[..., Any]]) -> Exception:
    if not isinstance(name, str):
        return JobDefinitionError(f"{job!r} is not a job", hint='decorate the function with @job("its.name")')
    return JobNotRegisteredError(
        f"job {name!r} is not registered here",
        job_name=name,
        near=near_names(name, known),
        hint="add it to Infra(jobs=[…]), or correct the name; "
        f"{len(known)} job{'' if len(known) == 1 else 's'} known here",
    )


def _by_name(jobs: Iterable[Job[..., Any]]) -> dict[str, Job[..., Any]]:
    named: dict[str, Job[..., Any]] = {}
    for job in jobs:
        if not isinstance(job, Job):
            raise JobDefinitionError(f"{job!r} is not a job", hint='decorate the function with @job("its.name")')
        if named.setdefault(job.name, job) is not job:
            raise JobDefinitionError(f"two jobs are called {job.name!r}", hint="names are unique; rename one of them")
    return named
