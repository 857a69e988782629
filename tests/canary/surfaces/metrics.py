"""Metrics: what the parts count of requests, jobs and mails, with exemplars of a trace whose baggage has a secret."""

from __future__ import annotations

from tests.canary._world import World
from tests.canary.surfaces import email, http, jobs
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.monitoring import (
    MetricsService,
    get_all_metrics,
    observe,
    registry,
    render_openmetrics,
    render_prometheus,
)

TRACE = Trace(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")


async def drive(world: World) -> None:
    for part in (http, jobs, email):  # what comes out beside the metrics is their own surface's
        await part.drive(aside := World(world.home))
        world.planted |= aside.planted
    names = Correlation(trace=TRACE, baggage=f"token={world.secret('metric.baggage')}")
    with correlate(names):
        observe("mark_seconds", 0.2, {"shop": "mark-shop"})
    world.take("metrics", render_prometheus(), render_openmetrics(), *get_all_metrics(), registry(), MetricsService())
    world.expect("mark_seconds", "mark-shop", TRACE.trace_id)
