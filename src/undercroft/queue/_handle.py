"""The handle of one enqueued job."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

import msgspec

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft.queue._checks import check_integer
from undercroft.queue._errors import JobCancelledError, JobFailedError, ResultTimeoutError
from undercroft.queue._options import MAX_PRIORITY
from undercroft.queue._protocol import Engine
from undercroft.queue._values import ChildRecord, JobRecord, JobState
from undercroft.queue._worker._context import Child

T = TypeVar("T")


class JobHandle(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """Where one enqueued job is and what came of it. Immutable; usable while its queue is open.

    The methods that change the job tell whether there was such a job in a state that allows it: `False` is no error.
    """

    id: str
    name: str
    queue: str
    _engine: Engine
    _clock: Clock
    is_new: bool = True
    """False: an equal job was in the queue already (see `Deduplication`), and this is its handle."""

    async def info(self) -> JobRecord | None:
        """Return the job as it is stored now; `None` when it is not kept any more."""
        return await self._engine.get(self.id, queue=self.queue)

    async def state(self) -> JobState | None:
        """Return where the job is in its life; `None` when it is not kept any more."""
        record = await self.info()
        return record.state if record else None

    async def result(self, timeout: Duration = "30s") -> T:
        """Wait until the job is finished and return what its handler returned, as JSON gives it back.

        Raises:
            JobFailedError: It failed for good, or is not kept any more.
            JobCancelledError: It was cancelled.
            ResultTimeoutError: It is not finished after `timeout`; it goes on.
        """
        limit = to_seconds(timeout, name="timeout")
        with self._clock.cancel_after(limit):
            return await self._finished()
        raise ResultTimeoutError(f"job {self.name!r} ({self.id}) is not finished after {format_seconds(limit)}")

    async def progress(self) -> Any:
        """Return what the job last reported as its progress; `None` before the first time."""
        record = await self.info()
        return None if record is None or record.progress is None else msgspec.json.decode(record.progress)

    async def logs(self) -> list[str]:
        """Return the job's own log, oldest line first."""
        return await self._engine.logs(self.id, queue=self.queue)

    async def children(self) -> list[Child]:
        """Return what became of the children, in the order in which they were given."""
        return [_child(record) for record in await self._engine.children(self.id, queue=self.queue)]

    async def cancel(self) -> bool:
        """End the job as failed with `Cancelled`: before it runs, or by cancelling its coroutine within about a second.

        A plain function cannot be stopped; its result is dropped.
        """
        return await self._engine.cancel(self.id, queue=self.queue)

    async def retry(self) -> bool:
        """Have the job run again from the beginning, once it is finished."""
        return await self._engine.retry(self.id, queue=self.queue)

    async def promote(self) -> bool:
        """Have a delayed job wait no longer."""
        return await self._engine.promote(self.id, queue=self.queue)

    async def reprioritise(self, priority: int) -> bool:
        """Change the priority of a job that is not finished."""
        priority = check_integer("priority", priority, low=0, high=MAX_PRIORITY)
        return await self._engine.reprioritise(self.id, priority, queue=self.queue)

    async def remove(self) -> bool:
        """Delete the job with its log and children, unless it is active."""
        return await self._engine.remove(self.id, queue=self.queue)

    async def _finished(self) -> T:
        while True:
            record = await self.info()
            if record is None:
                raise JobFailedError(
                    f"job {self.name!r} ({self.id}) is not in the queue (any more), and its result with it",
                    job_id=self.id,
                    error_type="Removed",
                )
            if record.state is JobState.COMPLETED:
                return cast("T", msgspec.json.decode(record.result or b"null"))
            if record.state is JobState.FAILED:
                raise _failure(record)
            await self._engine.wait_for_end(self.id, queue=self.queue, timeout=1.0)

    def __repr__(self) -> str:
        return f"JobHandle(id={self.id!r}, name={self.name!r}, queue={self.queue!r})"


def _child(record: ChildRecord) -> Child:
    result = None if record.result is None else msgspec.json.decode(record.result)
    return Child(id=record.id, queue=record.queue, state=record.state, result=result, error=record.error)


def _failure(record: JobRecord) -> JobFailedError:
    is_cancelled = record.error_type == "Cancelled"
    error = JobCancelledError if is_cancelled else JobFailedError
    ended = "was cancelled" if is_cancelled else f"failed: {record.error}"
    return error(
        f"job {record.name!r} ({record.id}) {ended}", job_id=record.id, error_type=record.error_type or "Exception"
    )
