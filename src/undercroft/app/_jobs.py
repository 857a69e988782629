"""From whatever names jobs to the jobs themselves."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from undercroft.app._errors import JobsNotFoundError
from undercroft.queue import Job

JobSource = Job[..., Any] | ModuleType | str
"""A job, a module that holds jobs, or the dotted name of one."""


def sources_of(jobs: JobSource | Iterable[JobSource]) -> tuple[JobSource, ...]:
    """Return what `jobs=` was given, one source or several, as several."""
    return (jobs,) if isinstance(jobs, Job | ModuleType | str) else tuple(jobs)


def jobs_of(source: JobSource) -> tuple[Job[..., Any], ...]:
    """Return the jobs that one source names, in order, each once.

    Raises:
        JobsNotFoundError: A module cannot be found, or holds no job.
    """
    module = _imported(source) if isinstance(source, str) else source
    if not isinstance(module, ModuleType):
        return (module,)
    jobs = tuple({id(value): value for value in vars(module).values() if isinstance(value, Job)}.values())
    if not jobs:
        raise JobsNotFoundError(
            f"jobs: the module {module.__name__} holds no jobs", hint='decorate its functions with @job("a.name")'
        )
    return jobs


def _imported(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise JobsNotFoundError(
            f"jobs: {name!r} is not the name of a module", hint="write it as in an import: shop.jobs"
        )
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise  # the module is there, and something it imports is not
        raise JobsNotFoundError(
            f"jobs: there is no module {exc.name!r}",
            hint=f"{name!r} has to be importable from where this was started; write it as in an import: shop.jobs",
        ) from exc
