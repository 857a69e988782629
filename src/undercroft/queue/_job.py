"""Job definitions: values that say what a job is called, what it takes and how it is retried. They register nowhere."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

import anyio

from undercroft._core.codec import Parameters, Schema
from undercroft._core.errors import InvalidDataError
from undercroft.queue._checks import check_name
from undercroft.queue._errors import JobArgumentsError, JobDefinitionError
from undercroft.queue._handle import JobHandle
from undercroft.queue._options import DefinitionOptions, JobOptions, ResolvedOptions
from undercroft.queue._steps import JobStep, bound_queue

P = ParamSpec("P")
T = TypeVar("T")


class Arguments(Protocol):
    """How a job's handler takes its data."""

    def stored(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Check call arguments and return the JSON object to store."""

    def stored_data(self, data: object) -> bytes:
        """Check data given as one value and return the JSON object to store."""

    def call(self, handler: Callable[..., Any], data: bytes) -> Callable[[], Any]:
        """Check stored data and return the call to make."""


@dataclass(frozen=True, slots=True)
class Job(Generic[P, T]):
    """A job's definition. Immutable, made by `job` or `define_job`; `await it(…)` just runs the handler."""

    name: str
    handler: Callable[P, Awaitable[T] | T]
    options: ResolvedOptions = field(repr=False)
    arguments: Arguments = field(repr=False)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the handler here and now: no queue, no retries. A plain function runs in a thread."""
        return cast("T", await run_handler(self.handler, partial(self.handler, *args, **kwargs)))

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]:
        """Put a run into the bound queue; the arguments are checked first. See `Queue.enqueue`."""
        return await bound_queue.require().add(self, self.store(args, kwargs), self.options)

    def step(self, *args: P.args, **kwargs: P.kwargs) -> JobStep[T]:
        """Return a run that is checked and not enqueued, for flows, chains, batches and groups.

        Raises:
            JobArgumentsError: The arguments do not fit.
        """
        return JobStep(self, self.store(args, kwargs), self.options)

    def with_(self, **options: Unpack[JobOptions]) -> JobCall[P, T]:
        """Return this job with other options: `await welcome.with_(delay="5m").enqueue(user_id=1)`.

        Keep what it returns where many are enqueued: the options are checked here, once.
        """
        return JobCall(self, self.options.with_(options))

    def store(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Return call arguments as the JSON object to store.

        Raises:
            JobArgumentsError: They do not fit.
        """
        try:
            return self.arguments.stored(args, kwargs)
        except InvalidDataError as exc:
            raise JobArgumentsError(exc.message, hint=exc.hint, near=exc.near) from exc

    def store_data(self, data: object) -> bytes:
        """As `store`, for data given as one mapping or one instance of the schema."""
        try:
            return self.arguments.stored_data(data)
        except InvalidDataError as exc:
            raise JobArgumentsError(exc.message, hint=exc.hint, near=exc.near) from exc

    def prepare(self, data: bytes) -> Callable[[], Any]:
        """Return the call of the handler with stored data.

        Raises:
            InvalidDataError: The stored data does not fit (any more).
        """
        return self.arguments.call(self.handler, data)


@dataclass(frozen=True, slots=True)
class JobCall(Generic[P, T]):
    """A job with options of its own. Immutable, reusable."""

    job: Job[P, T]
    options: ResolvedOptions = field(repr=False)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]:
        """Put a run into the bound queue, with these options."""
        return await bound_queue.require().add(self.job, self.job.store(args, kwargs), self.options)

    def step(self, *args: P.args, **kwargs: P.kwargs) -> JobStep[T]:
        """As `Job.step`, with these options."""
        return JobStep(self.job, self.job.store(args, kwargs), self.options)


@dataclass(frozen=True, slots=True)
class FunctionArguments:
    """The handler's own parameters are the schema; it is called with them."""

    parameters: Parameters

    def stored(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        if args:
            return self.stored_data(self.parameters.bind(args, kwargs))
        try:
            return self.stored_data(kwargs)
        except InvalidDataError:
            # Python's own rules for calls know what is missing or unknown, and say it better; they cost as much again.
            self.parameters.bind(args, kwargs)
            raise

    def stored_data(self, data: object) -> bytes:
        return self.parameters.encode(self.parameters.parse(data))

    def call(self, handler: Callable[..., Any], data: bytes) -> Callable[[], Any]:
        return partial(handler, **self.parameters.decode(data))


@dataclass(frozen=True, slots=True)
class ModelArguments:
    """A schema of the user's own; the handler gets one parsed argument."""

    schema: Schema[Any]
    what: str

    def stored(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        if len(args) + len(kwargs) != 1:
            raise InvalidDataError(
                f"{self.what} takes one argument, a {self.schema.what}; it got {len(args) + len(kwargs)}"
            )
        return self.stored_data(args[0] if args else next(iter(kwargs.values())))

    def stored_data(self, data: object) -> bytes:
        encoded = self.schema.encode(self.schema.parse(data))
        if not encoded.startswith(b"{"):
            raise JobDefinitionError(
                f"{self.what}: its schema does not encode to a JSON object, which job data must be"
            )
        return encoded

    def call(self, handler: Callable[..., Any], data: bytes) -> Callable[[], Any]:
        return partial(handler, self.schema.decode(data))


def is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether calling `handler` gives a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


async def run_handler(handler: Callable[..., Any], call: Callable[[], Any]) -> Any:
    """Make a call of `handler`: awaited when it is async, in a thread (with the context) when it is not.

    Cancellation of a plain function: its thread cannot be stopped; it is left to end by itself, and its result is
    dropped.
    """
    if is_async(handler):
        return await call()
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


def job(name: str, /, *, schema: type[Any] | None = None, **options: Unpack[DefinitionOptions]) -> JobDecorator:
    """Make a function a job: `@job("email.welcome", retries=3)`.

    Args:
        name: What the queue calls it, for good: jobs in the queue outlive a rename of the function, so the name is
            spelled out.
        schema: A dataclass, `msgspec.Struct`, `TypedDict` or pydantic model. The handler then takes one argument of
            it; without, the handler's own parameters are the schema.
        options: See `DefinitionOptions`.

    Raises:
        JobDefinitionError: The name, an option or a parameter is not valid.
    """
    if not isinstance(name, str):
        raise JobDefinitionError(
            f"@job needs a name: it got {name!r}", hint=f'write @job("{getattr(name, "__name__", "name")}")'
        )
    return JobDecorator(name, schema, options)


class JobDecorator:
    """What `job(name, …)` returns: give it the handler."""

    def __init__(self, name: str, schema: type[Any] | None, options: DefinitionOptions) -> None:
        self._name = name
        self._schema = schema
        self._options = options

    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, T]], /) -> Job[P, T]: ...

    @overload
    def __call__(self, handler: Callable[P, T], /) -> Job[P, T]: ...

    def __call__(self, handler: Callable[P, Any], /) -> Job[P, Any]:
        return define_job(name=self._name, handler=handler, schema=self._schema, options=self._options)


@overload
def define_job(
    *,
    name: str,
    handler: Callable[P, Coroutine[Any, Any, T]],
    schema: type[Any] | None = None,
    options: DefinitionOptions | None = None,
) -> Job[P, T]: ...


@overload
def define_job(
    *, name: str, handler: Callable[P, T], schema: type[Any] | None = None, options: DefinitionOptions | None = None
) -> Job[P, T]: ...


def define_job(
    *, name: str, handler: Callable[P, Any], schema: type[Any] | None = None, options: DefinitionOptions | None = None
) -> Job[P, Any]:
    """Make a job of a handler; the same as the decorator `job`, with the options in one mapping."""
    check_name(name, what="job name")
    if not callable(handler):
        raise JobDefinitionError(f"job {name!r}: the handler {handler!r} is not a function")
    what = f"job {name!r}"
    arguments: Arguments
    if schema is None:
        arguments = FunctionArguments(Parameters(handler, what=what))
    else:
        arguments = ModelArguments(Schema(schema), what)
    resolved = ResolvedOptions().with_(options or {}, is_definition=True)
    if resolved.run_in == "process" and is_async(handler):
        raise JobDefinitionError(
            f"{what}: run_in='process' is for plain functions, and its handler is async",
            hint="make it a plain function, or leave run_in out",
        )
    return Job(name, handler, resolved, arguments)
