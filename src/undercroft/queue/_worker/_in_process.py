"""Runs of jobs with `run_in="process"`: in a process of their own, which may be killed.

For work that holds the interpreter (long computations), leaks, or may crash. The child has the function and its data,
and nothing else: no `Infra` is bound there and there is no `current_job()`. Processes are kept and used again, as many
as there are CPUs; a run that is cancelled or takes too long has its process killed.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any

import anyio
import msgspec

from undercroft._core.codec import to_json
from undercroft._core.context import correlate
from undercroft._core.errors import UndercroftError
from undercroft.queue._errors import Discard, JobDefinitionError, RetryLater, Unrecoverable
from undercroft.queue._job import Job
from undercroft.queue._tracing import names_of
from undercroft.queue._values import ClaimedJob


class ProcessDied(Exception):  # noqa: N818  # recorded as the error's type
    """The process of a run ended before the run did: it crashed, or was killed, perhaps for lack of memory."""


class RemoteError(Exception):
    """What a handler raised in its process: `error_type`, the text, and `stack` as Python prints it."""

    def __init__(self, error_type: str, text: str, stack: str, *, retry_after: float | None) -> None:
        super().__init__(text)
        self.error_type = error_type
        self.stack = stack
        self.retry_after = retry_after


class _Ended(msgspec.Struct):
    """How a run ended in its process; goes through the pipe as JSON."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    control: str = ""
    """Name of the exception that a handler raised in order to say how its run ends."""
    delay_s: float = 0.0
    error_type: str = ""
    text: str = ""
    stack: str = ""
    retry_after: float | None = None


def path_of(job: Job[..., Any]) -> tuple[str, str]:
    """Return the module of a job and the name that it has there.

    Raises:
        JobDefinitionError: It cannot be imported by another process.
    """
    module = getattr(job.handler, "__module__", None)
    found = sys.modules.get(module) if isinstance(module, str) else None
    for name, value in vars(found).items() if found else ():
        if value is job and isinstance(module, str):
            return module, name
    raise JobDefinitionError(
        f'job {job.name!r} has run_in="process", and another process cannot import it',
        hint="make it at the top level of the module of its handler, under a name of its own",
    )


async def run_in_process(job: Job[..., Any], claimed: ClaimedJob, *, limiter: anyio.CapacityLimiter) -> Any:
    """Run a claimed job in a process, and return its result as JSON, or raise what stands for its exception.

    Raises:
        ProcessDied: The process ended by itself.
        RemoteError: The handler raised.
    """
    from anyio import to_process  # late: few workers need it, and it brings `subprocess` and more

    module, name = path_of(job)
    names = (claimed.id, claimed.request_id, claimed.carrier)
    try:
        raw = await to_process.run_sync(run_here, module, name, claimed.data, names, cancellable=True, limiter=limiter)
    except anyio.BrokenWorkerProcess as exc:
        raise ProcessDied(
            f"the process of job {job.name!r} died: it crashed, or was killed (SIGKILL for lack of memory, perhaps)"
        ) from exc
    ended = msgspec.json.decode(raw, type=_Ended)
    if ended.control or ended.error_type:
        raise _raised(ended)
    return ended.result


def run_here(module: str, name: str, data: bytes, names: tuple[str, str | None, str | None]) -> bytes:
    """Run a job in this process, which was made for that, and return how it ended. Never raises."""
    try:
        with correlate(names_of(*names)[0]):
            result = _result_of(getattr(import_module(module), name), data)
        return msgspec.json.encode(_Ended(result=msgspec.Raw(to_json(result))))
    except RetryLater as exc:
        return msgspec.json.encode(_Ended(control="RetryLater", delay_s=exc.delay_s, text=exc.reason or ""))
    except Discard as exc:
        return msgspec.json.encode(_Ended(control="Discard", text=exc.reason))
    except Unrecoverable as exc:
        return msgspec.json.encode(_Ended(control="Unrecoverable", text=exc.message))
    except BaseException as exc:  # whatever it is, it is told
        return msgspec.json.encode(_described(exc))


def _result_of(job: Job[..., Any], data: bytes) -> Any:
    return job.prepare(data)()


def _described(exc: BaseException) -> _Ended:
    return _Ended(
        error_type=type(exc).__name__,
        text=str(exc),
        stack="".join(traceback.format_exception(exc)),
        retry_after=exc.retry_after if isinstance(exc, UndercroftError) else None,
    )


def _raised(ended: _Ended) -> Exception:
    if ended.control == "RetryLater":
        return RetryLater(ended.delay_s, ended.text or None)
    if ended.control == "Discard":
        return Discard(ended.text)
    if ended.control == "Unrecoverable":
        return Unrecoverable(ended.text)
    return RemoteError(ended.error_type, ended.text, ended.stack, retry_after=ended.retry_after)
