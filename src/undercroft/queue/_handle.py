"""The handle of one enqueued job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

import msgspec

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft.queue._errors import JobFailedError, ResultTimeoutError
from undercroft.queue._protocol import Engine, JobRecord, JobState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobHandle(Generic[T]):
    """Where one enqueued job is and what came of it. Usable while its queue is open."""

    id: str
    name: str
    queue: str
    _engine: Engine = field(repr=False)
    _clock: Clock = field(repr=False)

    async def info(self) -> JobRecord | None:
        """Return the job as it is stored now; `None` when it was pruned."""
        return await self._engine.get(self.id)

    async def state(self) -> JobState | None:
        """Return where the job is in its life; `None` when it was pruned."""
        record = await self.info()
        return record.state if record else None

    async def result(self, timeout: Duration = "30s") -> T:
        """Wait until the job is finished and return what its handler returned, as JSON gives it back.

        Raises:
            JobFailedError: It failed for good.
            ResultTimeoutError: It is not finished after `timeout`; it goes on.
        """
        limit = to_seconds(timeout, name="timeout")
        with self._clock.cancel_after(limit):
            return await self._finished()
        raise ResultTimeoutError(f"job {self.name!r} ({self.id}) is not finished after {format_seconds(limit)}")

    async def _finished(self) -> T:
        while True:
            seen = self._engine.changes
            record = await self.info()
            if record is None:
                raise JobFailedError(f"job {self.id} is not in the queue any more", job_id=self.id, error_type="Pruned")
            if record.state is JobState.COMPLETED:
                return cast("T", msgspec.json.decode(record.result or b"null"))
            if record.state is JobState.FAILED:
                raise JobFailedError(
                    f"job {self.name!r} ({self.id}) failed: {record.error}",
                    job_id=self.id,
                    error_type=record.error_type or "Exception",
                )
            await self._engine.wait_for_change(seen, timeout=1.0)
