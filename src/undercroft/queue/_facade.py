"""What users hold: a queue they can put jobs into, look into, and take workers from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, Self, TypeVar, Unpack, overload

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.context import correlation
from undercroft._core.durations import Duration
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.queue._backoff import Backoff
from undercroft.queue._errors import JobDefinitionError, JobNotRegisteredError
from undercroft.queue._handle import JobHandle
from undercroft.queue._job import Job
from undercroft.queue._options import JobOptions, ResolvedOptions
from undercroft.queue._protocol import Counts, Engine, JobRecord, JobState, NewJob
from undercroft.queue._worker import Worker

P = ParamSpec("P")
T = TypeVar("T")
_log = Logger(module="undercroft.queue")


class Queue:
    """A queue over an engine, with the jobs it knows. Opened by `async with`, or by the `Infra` it belongs to.

    Args:
        engine: Stores the jobs; opened and closed by this queue.
        jobs: The definitions that may be enqueued here and that its workers run. Names are unique.
        bind: Entered around every job that its workers run; an `Infra` binds itself this way.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[Job[..., Any]] = (),
        *,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        bind: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._engine = engine
        self._jobs = _by_name(jobs)
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._bind = bind

    @property
    def backend(self) -> str:
        """Short name of the engine: `"sqlite"`."""
        return self._engine.name

    @property
    def jobs(self) -> Mapping[str, Job[..., Any]]:
        """The definitions this queue knows, by name."""
        return dict(self._jobs)

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
        self._known(job)
        now = self._clock.time()
        names = correlation()
        new = NewJob(
            id=self._ids(),
            name=job.name,
            queue=options.queue,
            data=data,
            attempts=options.attempts,
            backoff=options.backoff if isinstance(options.backoff, Backoff) else None,
            timeout_s=options.timeout_s,
            priority=options.priority,
            due_at=options.run_at if options.run_at is not None else now + options.delay_s,
            created_at=now,
            request_id=names.request_id,
            traceparent=str(names.trace) if names.trace else None,
        )
        await self._engine.add([new])
        _log.info("job enqueued", job=new.name, job_id=new.id, queue=new.queue)
        return JobHandle(new.id, new.name, new.queue, self._engine, self._clock)

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job as it is stored now, or `None`."""
        return await self._engine.get(job_id)

    async def list_jobs(
        self, *, state: JobState | str | None = None, queue: str | None = None, limit: int = 100
    ) -> list[JobRecord]:
        """Return up to `limit` jobs, newest first."""
        return await self._engine.list_jobs(state=JobState(state) if state else None, queue=queue, limit=limit)

    async def counts(self, *, queue: str | None = None) -> Counts:
        """Count the jobs in each state, of one queue or of all."""
        return await self._engine.counts(queue=queue)

    def worker(
        self,
        jobs: Iterable[Job[..., Any]] | None = None,
        *,
        queues: Iterable[str] | None = None,
        concurrency: int = 5,
        grace: Duration = "10s",
        lease: Duration = "30s",
    ) -> Worker:
        """Make a worker for these jobs (default: all this queue knows). See `Worker`."""
        chosen = self._jobs if jobs is None else _by_name(jobs)
        return Worker(
            self._engine,
            chosen,
            queues=queues,
            concurrency=concurrency,
            grace=grace,
            lease=lease,
            clock=self._clock,
            ids=self._ids,
            bind=self._bind,
        )

    def _known(self, job: Job[..., Any] | str) -> Job[..., Any]:
        name = job if isinstance(job, str) else getattr(job, "name", None)
        if not isinstance(name, str):
            raise JobDefinitionError(f"{job!r} is not a job", hint='decorate the function with @job("its.name")')
        if name not in self._jobs:
            raise JobNotRegisteredError(
                f"job {name!r} is not registered here",
                job_name=name,
                near=near_names(name, self._jobs),
                hint="add it to Infra(jobs=[…]), or correct the name; "
                f"{len(self._jobs)} job{'' if len(self._jobs) == 1 else 's'} known here",
            )
        return self._jobs[name] if isinstance(job, str) else job


def _by_name(jobs: Iterable[Job[..., Any]]) -> dict[str, Job[..., Any]]:
    named: dict[str, Job[..., Any]] = {}
    for job in jobs:
        if not isinstance(job, Job):
            raise JobDefinitionError(f"{job!r} is not a job", hint='decorate the function with @job("its.name")')
        if named.setdefault(job.name, job) is not job:
            raise JobDefinitionError(f"two jobs are called {job.name!r}", hint="names are unique; rename one of them")
    return named
