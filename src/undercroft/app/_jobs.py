"""From whatever names jobs, crons and sagas to the definitions themselves."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from undercroft.app._errors import JobsNotFoundError
from undercroft.queue import CronJob, Job

if TYPE_CHECKING:
    from undercroft.resilience import Saga, SagaOrchestrator


JobSource = Job[..., Any] | ModuleType | str
"""A job, a module that holds jobs, or the dotted name of one."""
CronSource = CronJob[..., Any] | ModuleType | str
"""A cron, a module that holds crons, or the dotted name of one."""
SagaSource: TypeAlias = "Saga[Any] | SagaOrchestrator | ModuleType | str"
"""A saga, a module that holds sagas, or the dotted name of one."""


def sources_of(given: Any) -> tuple[Any, ...]:
    """Return what `jobs=` or `crons=` was given, one source or several, as several."""
    return (given,) if isinstance(given, Job | CronJob | ModuleType | str) else tuple(given)


def saga_sources_of(given: Any) -> tuple[Any, ...]:
    """Return what `sagas=` was given, likewise. Without any, nothing of sagas is imported."""
    if given == ():
        return ()
    from undercroft.resilience import Saga, SagaOrchestrator

    return (given,) if isinstance(given, Saga | SagaOrchestrator | ModuleType | str) else tuple(given)


def jobs_of(source: JobSource) -> tuple[Job[..., Any], ...]:
    """Return the jobs that one source names, in order, each once.

    Raises:
        JobsNotFoundError: A module cannot be found, or holds no job.
    """
    return _definitions(source, Job, what="jobs", how='decorate its functions with @job("a.name")')


def crons_of(source: CronSource) -> tuple[CronJob[..., Any], ...]:
    """Return the crons that one source names, in order, each once.

    Raises:
        JobsNotFoundError: A module cannot be found, or holds no cron.
    """
    return _definitions(source, CronJob, what="crons", how='decorate its functions with @cron("a.name", "0 3 * * *")')


def sagas_of(source: Any) -> tuple[Saga[Any] | SagaOrchestrator, ...]:
    """Return the sagas that one source names, in order, each once.

    Raises:
        JobsNotFoundError: A module cannot be found, or holds no saga.
    """
    from undercroft.resilience import Saga, SagaOrchestrator

    return _definitions(source, (Saga, SagaOrchestrator), what="sagas", how='make them there: Saga("a.name").step(…)')


def _definitions(source: Any, kind: type | tuple[type, ...], *, what: str, how: str) -> tuple[Any, ...]:
    module = _imported(source, what) if isinstance(source, str) else source
    if not isinstance(module, ModuleType):
        return (module,)
    found = tuple({id(value): value for value in vars(module).values() if isinstance(value, kind)}.values())
    if not found:
        raise JobsNotFoundError(f"{what}: the module {module.__name__} holds no {what}", hint=how)
    return found


def _imported(name: str, what: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise JobsNotFoundError(
            f"{what}: {name!r} is not the name of a module", hint=f"write it as in an import: shop.{what}"
        )
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise  # the module is there, and something it imports is not
        raise JobsNotFoundError(
            f"{what}: there is no module {exc.name!r}",
            hint=f"{name!r} has to be importable from where this was started; write it as in an import: shop.{what}",
        ) from exc
