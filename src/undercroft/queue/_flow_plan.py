"""From a flow to the jobs that an engine stores of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from undercroft.queue._flow import Flow
from undercroft.queue._flow_handles import FlowHandle
from undercroft.queue._handle import JobHandle
from undercroft.queue._steps import ALONE, JobStep, Place, new_job
from undercroft.queue._values import Added, NewJob

T = TypeVar("T")
HandleOf = Callable[[NewJob, Added], JobHandle[Any]]


def plan_flow(
    flow: Flow[T], *, ids: Callable[[], str], now: float, handle_of: HandleOf
) -> tuple[list[NewJob], FlowHandle[T]]:
    """Return the jobs of a flow, parents before their children, and the handle they will have."""
    planner = _Planner(ids, now, handle_of)
    handle = planner.flow(flow, ALONE)
    return planner.jobs, handle


class _Planner:
    def __init__(self, ids: Callable[[], str], now: float, handle_of: HandleOf) -> None:
        self.jobs: list[NewJob] = []
        self._ids = ids
        self._now = now
        self._handle_of = handle_of

    def flow(self, flow: Flow[T], place: Place) -> FlowHandle[T]:
        has_children = Place(
            parent_id=place.parent_id,
            parent_queue=place.parent_queue,
            on_child_failure=place.on_child_failure,
            has_children=True,
        )
        root = self._job(flow.parent, has_children)
        below = Place(parent_id=root.id, parent_queue=root.queue, on_child_failure=flow.on_child_failure)
        children = tuple(
            self.flow(child, below) if isinstance(child, Flow) else self._job(child, below) for child in flow.children
        )
        return FlowHandle(root, children)

    def _job(self, step: JobStep[T], place: Place) -> JobHandle[T]:
        new = new_job(step.job, step.data, step.options, job_id=self._ids(), now=self._now, place=place)
        self.jobs.append(new)
        return self._handle_of(new, Added(new.id, is_new=True))
