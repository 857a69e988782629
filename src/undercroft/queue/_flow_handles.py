"""The handles of flows, batches and groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft.queue._errors import JobFailedError, ResultTimeoutError
from undercroft.queue._handle import JobHandle
from undercroft.queue._values import JobState
from undercroft.queue._worker._context import Child

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FlowHandle(Generic[T]):
    """An enqueued flow. Usable while its queue is open."""

    root: JobHandle[T]
    """The parent of all."""
    children: tuple[JobHandle[Any] | FlowHandle[Any], ...]
    """In the order in which they were given."""

    async def result(self, timeout: Duration = "30s") -> T:
        """Wait for the root and return its result. See `JobHandle.result`."""
        return await self.root.result(timeout)

    def jobs(self) -> Iterator[JobHandle[Any]]:
        """Yield the handles of all jobs of the flow, parents before their children."""
        yield self.root
        for child in self.children:
            if isinstance(child, FlowHandle):
                yield from child.jobs()
            else:
                yield child


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch has come."""

    total: int
    completed: int
    failed: int
    """For good."""

    @property
    def pending(self) -> int:
        """How many of its members are not finished."""
        return self.total - self.completed - self.failed


@dataclass(frozen=True, slots=True)
class BatchHandle(Generic[T]):
    """An enqueued batch. Usable while its queue is open."""

    callback: JobHandle[T]
    """The job that runs when all members are finished."""
    members: tuple[JobHandle[Any], ...]
    """In the order in which they were given."""

    async def result(self, timeout: Duration = "30s") -> T:
        """Wait for the callback and return its result. See `JobHandle.result`."""
        return await self.callback.result(timeout)

    async def children(self) -> list[Child]:
        """Return what became of each member so far, in order."""
        return await self.callback.children()

    async def progress(self) -> BatchProgress:
        """Count the members that are finished. A member that was removed counts as completed."""
        states = [child.state for child in await self.children()]
        return BatchProgress(
            total=len(self.members),
            completed=sum(state in (JobState.COMPLETED, None) for state in states),
            failed=states.count(JobState.FAILED),
        )


@dataclass(frozen=True, slots=True)
class GroupHandle(Generic[T]):
    """Enqueued jobs that are waited for together. Usable while their queue is open."""

    members: tuple[JobHandle[T], ...]
    """In the order in which they were given."""
    _clock: Clock = field(repr=False)

    async def results(self, timeout: Duration = "30s") -> list[T]:
        """Wait for all and return their results in order.

        Raises:
            JobFailedError: One failed for good; the first of them in order. The others go on.
            ResultTimeoutError: Not all are finished after `timeout`; they go on.
        """
        return [self._unwrap(outcome) for outcome in await self.outcomes(timeout)]

    async def outcomes(self, timeout: Duration = "30s") -> list[T | JobFailedError]:
        """As `results`, with the error in the place of the result of a job that failed."""
        limit = to_seconds(timeout, name="timeout")
        outcomes: list[T | JobFailedError] = []
        with self._clock.cancel_after(limit):
            for member in self.members:
                outcomes.append(await self._outcome(member, limit))  # noqa: PERF401 - what there is is counted below
            return outcomes
        raise ResultTimeoutError(
            f"{len(self.members) - len(outcomes)} of {len(self.members)} jobs of the group were not seen to finish "
            f"within {format_seconds(limit)}"
        )

    @staticmethod
    async def _outcome(member: JobHandle[T], limit: float) -> T | JobFailedError:
        try:
            return await member.result(limit + 1)  # the group's own deadline comes first
        except JobFailedError as error:
            return error

    @staticmethod
    def _unwrap(outcome: T | JobFailedError) -> T:
        if isinstance(outcome, JobFailedError):
            raise outcome
        return outcome
