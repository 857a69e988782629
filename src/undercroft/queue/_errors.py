"""What can go wrong in the queue.

UndercroftError
├── JobDefinitionError    (ConfigError)       misuse       a job or an option is not valid
├── JobNotRegisteredError (LookupError)       misuse       no job of this name here
├── JobArgumentsError     (InvalidDataError)  refused      data does not fit the job's parameters; nothing stored
├── QueueUnavailableError                     unavailable  the store did not answer, or did not take the work
├── JobTimeoutError       (TimeoutError)      unavailable  a run took longer than the job's timeout
├── JobFailedError                            refused      `result()` of a job that failed for good
├── ResultTimeoutError    (TimeoutError)      unavailable  `result()` waited long enough
└── NotInJobError         (LookupError)       misuse       `current_job()` outside of a job
"""

from __future__ import annotations

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
