"""What a queue counts of its own work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from typing import NamedTuple

from undercroft.monitoring import Counter, CounterSeries, Gauge, Histogram, HistogramSeries
from undercroft.queue._values import ClaimedJob, Completed, Counts, Failed, Postponed

_JOB = ("queue", "job")
# Waits and runs of jobs: longer than those of requests, up to hours.
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


class EnqueueCounts:
    """Counts jobs that were stored."""

    def __init__(self) -> None:
        self._jobs = Counter("undercroft_jobs_enqueued_total", help="Jobs that were stored.", labels=_JOB)

    def enqueued(self, queue: str, job: str, count: int = 1) -> None:
        """Count `count` jobs."""
        self._jobs.increment(count, queue=queue, job=job)


class _OfJob(NamedTuple):
    completed: CounterSeries
    retried: CounterSeries
    failed: CounterSeries
    postponed: CounterSeries
    given_back: CounterSeries
    seconds: HistogramSeries
    wait: HistogramSeries


class RunCounts:
    """Counts the runs of a worker's jobs. On the path that every job takes, so each job's series are kept."""

    def __init__(self) -> None:
        self._runs = Counter(
            "undercroft_job_runs_total",
            help="Runs of jobs by how they ended: completed, retried, failed, postponed, given_back.",
            labels=(*_JOB, "outcome"),
        )
        self._seconds = Histogram(
            "undercroft_job_run_seconds",
            help="Seconds that runs of jobs took.",
            unit="seconds",
            labels=_JOB,
            buckets=_SECONDS,
        )
        self._wait = Histogram(
            "undercroft_job_wait_seconds",
            help="Seconds from when a job could run until it ran.",
            unit="seconds",
            labels=_JOB,
            buckets=_SECONDS,
        )
        self._kept: dict[tuple[str, str], _OfJob] = {}

    def ended(self, claimed: ClaimedJob, outcome: object, *, seconds: float, wait_s: float) -> None:
        """Count a run that ended; an outcome of `None` is a job that was given back."""
        kept = self._kept.get((claimed.queue, claimed.name)) or self._keep(claimed.queue, claimed.name)
        if type(outcome) is Completed:
            kept.completed.increment()
        elif isinstance(outcome, Failed):
            (kept.failed if outcome.retry_at is None else kept.retried).increment()
        elif isinstance(outcome, Postponed):
            kept.postponed.increment()
        else:
            kept.given_back.increment()
        kept.seconds.observe(seconds)
        kept.wait.observe(wait_s if wait_s > 0.0 else 0.0)  # clocks of several machines

    def _keep(self, queue: str, job: str) -> _OfJob:
        kept = self._kept[queue, job] = _OfJob(
            completed=self._runs.labels(queue, job, "completed"),
            retried=self._runs.labels(queue, job, "retried"),
            failed=self._runs.labels(queue, job, "failed"),
            postponed=self._runs.labels(queue, job, "postponed"),
            given_back=self._runs.labels(queue, job, "given_back"),
            seconds=self._seconds.labels(queue, job),
            wait=self._wait.labels(queue, job),
        )
        return kept


class CronCounts:
    """Counts the slots of crons."""

    def __init__(self) -> None:
        self._fired = Counter(
            "undercroft_cron_fired_total", help="Slots of crons that this machine fired.", labels=("cron",)
        )
        self._missed = Counter(
            "undercroft_cron_missed_total", help="Slots of crons that passed while no worker ran.", labels=("cron",)
        )

    def fired(self, cron: str, *, fired: int, missed: int) -> None:
        """Count what one look at a cron came to."""
        if fired:
            self._fired.increment(fired, cron=cron)
        if missed:
            self._missed.increment(missed, cron=cron)


class DepthGauges:
    """Tells how many jobs a queue has, as its workers see it now and then; of several workers, the last look holds."""

    def __init__(self) -> None:
        self._jobs = Gauge(
            "undercroft_queue_jobs", help="Jobs in a queue by state.", labels=("queue", "state"), across="last"
        )
        self._oldest = Gauge(
            "undercroft_queue_oldest_waiting_seconds",
            help="Seconds for which the oldest waiting job could have run already; 0 when none waits.",
            unit="seconds",
            labels=("queue",),
            across="last",
        )

    def look(self, queue: str, counts: Counts, oldest_waiting_s: float) -> None:
        """Set them."""
        for state in counts.__struct_fields__:
            self._jobs.set(getattr(counts, state), queue=queue, state=state)
        self._oldest.set(max(0.0, oldest_waiting_s), queue=queue)
