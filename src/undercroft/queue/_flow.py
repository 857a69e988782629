"""Several jobs that belong together: flows, chains, batches and groups. Each is stored whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._flow_handles import BatchHandle, FlowHandle, GroupHandle
from undercroft.queue._steps import JobStep, bound_queue
from undercroft.queue._values import OnChildFailure

T = TypeVar("T")
MAX_DEPTH = 100
"""Levels of a flow, and so steps of a chain."""
OnChildFailureLike = OnChildFailure | Literal["fail", "ignore"]


@dataclass(frozen=True, slots=True, init=False)
class Flow(Generic[T]):
    """A job that runs when its children are finished, each of which may be a flow again. Immutable.

        flow = Flow(report.step(month="May"), [fetch.step(region="north"), fetch.step(region="south")])
        handle = await flow.enqueue()

    The parent reads what they returned by `await current_job().children()`.

    Args:
        parent: Runs last.
        children: Run before it, side by side; in any queues.
        on_child_failure: What a child that failed for good does to the parent: `"fail"` (the default), it fails too,
            without running; `"ignore"`, it runs once the others are finished, and sees the failure among its children.
            The other children run in any case.
    """

    parent: JobStep[T]
    children: tuple[JobStep[Any] | Flow[Any], ...]
    on_child_failure: OnChildFailure
    depth: int
    """Levels of jobs below one another, its own included."""

    def __init__(
        self,
        parent: JobStep[T],
        children: Iterable[JobStep[Any] | Flow[Any]],
        on_child_failure: OnChildFailureLike = OnChildFailure.FAIL,
    ) -> None:
        object.__setattr__(self, "parent", _step(parent, what="the parent of a flow"))
        object.__setattr__(self, "children", tuple(children))
        object.__setattr__(self, "on_child_failure", _rule(on_child_failure))
        if not self.children:
            raise JobDefinitionError("a flow has no children", hint="enqueue its parent by itself")
        object.__setattr__(self, "depth", 1 + max(map(_depth, self.children)))
        if self.depth > MAX_DEPTH:
            raise JobDefinitionError(f"a flow may have {MAX_DEPTH} levels, and a chain as many steps")

    def steps(self) -> Iterator[JobStep[Any]]:
        """Yield all runs of the flow, parents before their children."""
        yield self.parent
        for child in self.children:
            if isinstance(child, Flow):
                yield from child.steps()
            else:
                yield child

    async def enqueue(self) -> FlowHandle[T]:
        """Put the whole flow into the bound queue. See `Queue.enqueue_flow`."""
        return await bound_queue.require().enqueue_flow(self)


@overload
def chain(first: JobStep[Any], last: JobStep[T], /) -> Flow[T]: ...


@overload
def chain(first: JobStep[Any], second: JobStep[Any], last: JobStep[T], /) -> Flow[T]: ...


@overload
def chain(first: JobStep[Any], second: JobStep[Any], third: JobStep[Any], last: JobStep[T], /) -> Flow[T]: ...


@overload
def chain(*steps: JobStep[Any]) -> Flow[Any]: ...


def chain(*steps: JobStep[Any]) -> Flow[Any]:
    """Return a flow of steps that run one after the other; each finds the result of the one before as its only child.

    A step that fails for good fails those after it. The handle's `root` is the last step.
    """
    checked = [_step(step, what="a step of a chain") for step in steps]
    if len(checked) < 2:
        raise JobDefinitionError("a chain has two steps or more", hint="enqueue a step by itself")
    first, second, *rest = checked
    flow = Flow(second, [first])
    for step in rest:
        flow = Flow(step, [flow])
    return flow


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Jobs that run side by side, and one that runs when all of them are finished, also when some failed. Immutable.

    Made by `batch`. Its `on_complete` reads what became of them by `await current_job().children()`.
    """

    members: tuple[JobStep[Any], ...]
    on_complete: JobStep[T]

    def as_flow(self) -> Flow[T]:
        """Return the flow that it is."""
        return Flow(self.on_complete, self.members, OnChildFailure.IGNORE)

    async def enqueue(self) -> BatchHandle[T]:
        """Put the whole batch into the bound queue."""
        return await bound_queue.require().enqueue_batch(self)


def batch(steps: Iterable[JobStep[Any]], *, on_complete: JobStep[T]) -> Batch[T]:
    """Return a batch: `await batch([resize.step(n) for n in numbers], on_complete=notify.step("done")).enqueue()`."""
    members = tuple(_step(step, what="a member of a batch") for step in steps)
    if not members:
        raise JobDefinitionError("a batch has no members", hint="enqueue its on_complete by itself")
    return Batch(members, _step(on_complete, what="on_complete"))


@dataclass(frozen=True, slots=True)
class Group(Generic[T]):
    """Jobs that are enqueued together and waited for together. Immutable; made by `group`."""

    members: tuple[JobStep[T], ...]

    async def enqueue(self) -> GroupHandle[T]:
        """Put all of them into the bound queue, in one step."""
        return await bound_queue.require().enqueue_group(self)


@overload
def group(*steps: JobStep[T]) -> Group[T]: ...


@overload
def group(*steps: JobStep[Any]) -> Group[Any]: ...


def group(*steps: JobStep[Any]) -> Group[Any]:
    """Return a group: `await (await group(a.step(1), b.step(2)).enqueue()).results()` has the results in order."""
    if not steps:
        raise JobDefinitionError("a group has no members")
    return Group(tuple(_step(step, what="a member of a group") for step in steps))


def _step(step: JobStep[T], *, what: str) -> JobStep[T]:
    if not isinstance(step, JobStep):
        raise JobDefinitionError(f"{what} is {step!r}, which is not a step", hint="write its_job.step(its, arguments)")
    return step


def _depth(child: JobStep[Any] | Flow[Any]) -> int:
    return child.depth if isinstance(child, Flow) else bool(_step(child, what="a child of a flow"))


def _rule(rule: OnChildFailureLike) -> OnChildFailure:
    try:
        return OnChildFailure(rule)
    except ValueError:
        raise JobDefinitionError(f"on_child_failure {rule!r} is unknown", hint='"fail" or "ignore"') from None
