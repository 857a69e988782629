"""The bound part: how the functions of a module's face find the object they act on.

An application binds one source of parts (its `Infra`) for the current context; the ASGI middleware does so for each
request, the worker for each job, `async with infra` for its block. A module's face declares what it needs:

    _queue = BoundPart[Queue]("queue")
    await _queue.require().enqueue(…)

Nothing creates a hidden default. Library code below the application's floor never looks here: it is given its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, Protocol, TypeVar, cast

from undercroft._core.errors import NotBoundError

T = TypeVar("T")


class PartSource(Protocol):
    """What can be bound: something that gives its parts by name."""

    def get_part(self, name: str) -> object:
        """Return the part called `name`."""


_source: ContextVar[PartSource] = ContextVar("undercroft_bound")


@contextmanager
def bind(source: PartSource) -> Iterator[None]:
    """Bind `source` for the block, in this context and in tasks and threads started from it."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def bound_source(wanted: str = "Infra") -> PartSource:
    """Return what is bound here.

    Raises:
        NotBoundError: Nothing is.
    """
    try:
        return _source.get()
    except LookupError:
        raise NotBoundError(
            f"no Infra is bound here, so {wanted!r} has nothing to act on",
            hint="in a request: wrap the application in InfraMiddleware(app, infra); in a job: run it by a worker of "
            "that Infra; in a script or test: `async with infra:` (or `with infra.bind():` once it is open); in a "
            "thread: start it with anyio.to_thread.run_sync, which keeps the context",
        ) from None


class BoundPart(Generic[T]):
    """A name in the bound source, with its type."""

    def __init__(self, name: str) -> None:
        self.name = name

    def require(self) -> T:
        """Return the part of the bound source.

        Raises:
            NotBoundError: No source is bound here.
        """
        return cast("T", bound_source(self.name).get_part(self.name))
