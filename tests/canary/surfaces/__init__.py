"""One module for each way into the library. Its `drive(world)` plants secrets there and takes what comes out.

To add one: write the module, and its name below. `world.secret(name)` gives what to plant, `world.take(channel, …)`
keeps an output (log lines are kept by themselves), and `world.expect(mark)` says which harmless text beside the secret
must be among the outputs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from tests.canary._world import World

Drive = Callable[[World], Awaitable[None]]

NAMES = (
    "cli",
    "connections",
    "email",
    "health",
    "http",
    "jobs",
    "logging_calls",
    "metric_labels",
    "metrics",
    "objects",
    "sentry_events",
    "settings",
    "traces",
    "tracking",
    "whole_app",
)
SLOW = ("cli", "connections", "whole_app")
"""Run once, not once for each format of lines: they start processes, or wait for servers that are not there."""


def drive_of(name: str) -> Drive:
    """Return the surface's function."""
    drive: Drive = import_module(f"tests.canary.surfaces.{name}").drive
    return drive
