"""What can go wrong in the queue, and what a handler raises to say how its run ends.

UndercroftError
├── JobDefinitionError    (ConfigError)       misuse       a job or an option is not valid
├── JobNotRegisteredError (LookupError)       misuse       no job of this name here
├── JobArgumentsError     (InvalidDataError)  refused      data does not fit the job's parameters; nothing stored
├── QueueUnavailableError                     unavailable  the store did not answer, or did not take the work
├── QueueInUseError                           refused      jobs of the queue are active, so it is not obliterated
├── JobTimeoutError       (TimeoutError)      unavailable  a run took longer than the job's timeout
├── JobFailedError                            refused      `result()` of a job that failed for good
│   └── JobCancelledError                     refused      `result()` of a job that was cancelled
├── ResultTimeoutError    (TimeoutError)      unavailable  `result()` waited long enough
├── JobLostError                              refused      this run's job has been given to another worker
├── NotInJobError         (LookupError)       misuse       `current_job()` outside of a job
└── raised by handlers, for the worker
    ├── RetryLater                            unavailable  run again later; this run is not counted
    ├── Unrecoverable                         refused      fail for good, without the attempts that are left
    └── Discard                               refused      end here; counts as completed, without a result
"""

from __future__ import annotations

from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError


class JobDefinitionError(ConfigError):
    """A job's name, schema or options are not valid; raised where the job is defined."""

    code = "UC1201"


class JobArgumentsError(InvalidDataError):
    """The data does not fit the job's parameters; raised at enqueue, before anything is stored."""

    code = "UC1202"


class JobNotRegisteredError(UndercroftError, LookupError):
    """No job of this name is registered here. `job_name` is the name."""

    code = "UC1203"

    def __init__(self, message: str, *, job_name: str, hint: str | None = None, near: list[str] | None = None) -> None:
        super().__init__(message, hint=hint, near=near or ())
        self.job_name = job_name


class JobTimeoutError(UndercroftError, TimeoutError):
    """A run took longer than the job's timeout and was cancelled; counts as a failed attempt."""

    code = "UC1204"
    kind = Kind.UNAVAILABLE


class QueueUnavailableError(UndercroftError):
    """The queue's store did not answer, or did not take the work. At enqueue: the job may or may not be stored."""

    code = "UC1205"
    kind = Kind.UNAVAILABLE
    http_status = 503


class JobFailedError(UndercroftError):
    """The job whose result was asked for has failed for good. `job_id` and `error_type` name it."""

    code = "UC1206"
    kind = Kind.REFUSED

    def __init__(self, message: str, *, job_id: str, error_type: str) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.error_type = error_type


class ResultTimeoutError(UndercroftError, TimeoutError):
    """The job was not finished when `result(timeout)` had waited long enough; the job goes on."""

    code = "UC1208"
    kind = Kind.UNAVAILABLE
    http_status = 504


class NotInJobError(UndercroftError, LookupError):
    """`current_job()` was called outside of a job."""

    code = "UC1209"


class RetryLater(UndercroftError):  # noqa: N818  # raised by handlers, for control
    """Raise it in a handler: run this job again after `delay`. The run is not counted as an attempt.

    For what will be ready later by itself (a report that is still being written). There is no limit to how often.
    `delay_s` is the delay in seconds.
    """

    code = "UC1210"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(self, delay: Duration, reason: str | None = None) -> None:
        self.delay_s = to_seconds(delay, name="RetryLater delay")
        self.reason = reason
        super().__init__(
            f"run again in {format_seconds(self.delay_s)}{f': {reason}' if reason else ''}", retry_after=self.delay_s
        )


class Unrecoverable(UndercroftError):  # noqa: N818  # raised by handlers, for control
    """Raise it in a handler: the job fails for good now, however many attempts are left."""

    code = "UC1211"
    kind = Kind.REFUSED


class Discard(UndercroftError):  # noqa: N818  # raised by handlers, for control
    """Raise it in a handler: there is nothing to do (any more). The job is completed, its result is `None`, and
    `reason` is a line of its log."""

    code = "UC1212"
    kind = Kind.REFUSED

    def __init__(self, reason: str = "discarded") -> None:
        super().__init__(reason)
        self.reason = reason


class JobLostError(UndercroftError):
    """This run's claim is no longer current: the lease ended, and the job is another worker's by now.

    Nothing that this run reports is stored any more; stop, and touch nothing that the other run may touch. `job_id`
    names the job.
    """

    code = "UC1213"
    kind = Kind.REFUSED
    http_status = 409

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class QueueInUseError(UndercroftError):
    """The queue was to be obliterated, and jobs of it are active. Nothing was deleted."""

    code = "UC1214"
    kind = Kind.REFUSED
    http_status = 409


class JobCancelledError(JobFailedError):
    """The job whose result was asked for was cancelled."""

    code = "UC1215"
