"""The definition of a saga: a value that says which steps it has, and how each is undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock
from undercroft._core.codec import Schema, to_json
from undercroft._core.durations import Duration
from undercroft._core.errors import InvalidDataError
from undercroft.resilience._saga._checks import check_action, check_count, check_limit, check_name
from undercroft.resilience._saga._context import CompensationContext, SagaContext
from undercroft.resilience._saga._errors import SagaDataError, SagaDefinitionError
from undercroft.resilience._saga._retry import ONCE, PATIENT, RetryLike, StepRetry, to_retry

if TYPE_CHECKING:
    from undercroft.resilience._saga._handle import SagaHandle
    from undercroft.resilience._saga._results import SagaResult

D = TypeVar("D")


class Starter(Protocol):
    """What a saga needs in order to be started by itself: the bound `Sagas`."""

    async def start(self, saga: Saga[D], data: object = None, *, id: str | None = None) -> SagaHandle: ...  # noqa: A002


_sagas = BoundPart[Starter]("sagas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[D]):
    """One step of a saga. Immutable; made by `Saga.step`."""

    name: str
    action: Callable[[SagaContext[D]], Awaitable[Any]] = field(repr=False)
    compensate: Callable[[CompensationContext[D]], Awaitable[Any]] | None = field(repr=False)
    retry: StepRetry
    timeout_s: float | None
    compensate_retry: StepRetry
    compensate_timeout_s: float | None
    compensate_on_failure: bool


@dataclass(frozen=True, slots=True, init=False)
class Saga(Generic[D]):
    """Steps that are done in order, and undone in reverse when one of them fails. Immutable; registers nowhere.

        order = (
            Saga("order")
            .step("reserve", reserve, compensate=unreserve)
            .step("charge", charge, compensate=refund, retry=3, timeout="10s")
        )
        result = await order.run({"sku": "A-1"})                        # here and now, in memory
        handle = await infra.sagas.start(order, {"sku": "A-1"}, id="order-7")    # stored, run by a worker

    Args:
        name: What the store calls it, for good: sagas outlive a rename of their functions.
        version: Grows when steps change such that a saga that was started with the old ones cannot go on with the new:
            give `Infra` both then. Steps may be added at the end, and steps that have not begun be renamed, without.
        schema: A dataclass, `msgspec.Struct`, `TypedDict` or pydantic model that `ctx.data` is; anything that has a
            JSON form when `None`.
        deadline: How long all steps may take together, waits included; when it is over, the saga is compensated.
            Compensations have no deadline. Default none.

    Raises:
        SagaDefinitionError: An argument is not valid.
        SchemaError: The type cannot be a schema.
    """

    name: str
    version: int
    steps: tuple[Step[D], ...]
    deadline_s: float | None
    schema: Schema[D] | None = field(repr=False)

    @overload
    def __init__(
        self: Saga[Any], name: str, *, version: int = 1, schema: None = None, deadline: Duration | None = None
    ) -> None: ...

    @overload
    def __init__(self, name: str, *, version: int = 1, schema: type[D], deadline: Duration | None = None) -> None: ...

    def __init__(
        self, name: str, *, version: int = 1, schema: type[D] | None = None, deadline: Duration | None = None
    ) -> None:
        object.__setattr__(self, "name", check_name(name, what="saga name"))
        object.__setattr__(self, "version", check_count(version, what="version", high=2**31))
        object.__setattr__(self, "steps", ())
        object.__setattr__(self, "deadline_s", check_limit(deadline, what="deadline"))
        object.__setattr__(self, "schema", None if schema is None else Schema(schema, what=f"saga {name!r}"))

    def step(
        self,
        name: str,
        action: Callable[[SagaContext[D]], Awaitable[Any]],
        *,
        compensate: Callable[[CompensationContext[D]], Awaitable[Any]] | None = None,
        retry: RetryLike | None = None,
        timeout: Duration | None = "30s",
        compensate_retry: RetryLike | None = None,
        compensate_timeout: Duration | None = "30s",
        compensate_on_failure: bool = True,
    ) -> Saga[D]:
        """Return this saga with one more step.

        An action is run at least once, and again when its process died before its end was recorded, or by `retry`: give
        `ctx.idempotency_key` to whoever can tell a repeated request. What it returns must have a JSON form. To say that
        nothing was done, and that there is no use in trying again, it raises `StepRefusedError`.

        A compensation must be idempotent, and must also undo what may not have been done: the step that failed is
        compensated too, with `ctx.is_uncertain`, since a request whose answer got lost has had its effect.

        Args:
            name: Unique in this saga; part of the idempotency key.
            action: Async, takes a `SagaContext`.
            compensate: Async, takes a `CompensationContext`; `None`: there is nothing to undo.
            retry: A number of attempts, or a `StepRetry`. Default 1: no second try.
            timeout: How long one run may take; `None` is without limit.
            compensate_retry: As `retry`. Default 3 attempts, from 1 second up.
            compensate_timeout: As `timeout`.
            compensate_on_failure: `False` says that the action has had no effect when it raised, as a transaction has
                not. A run that ended by a timeout or with its process is uncertain nevertheless, and compensated.

        Raises:
            SagaDefinitionError: An argument is not valid, or there is a step of this name.
        """
        check_name(name, what="step name")
        what = f"saga {self.name!r}, step {name!r}"
        if any(step.name == name for step in self.steps):
            raise SagaDefinitionError(
                f"{what}: there is a step of this name already", hint="its results and its key would be the other's"
            )
        step = Step(
            name=name,
            action=check_action(action, what=f"{what}: the action"),
            compensate=None if compensate is None else check_action(compensate, what=f"{what}: the compensation"),
            retry=to_retry(retry, ONCE),
            timeout_s=check_limit(timeout, what="timeout"),
            compensate_retry=to_retry(compensate_retry, PATIENT),
            compensate_timeout_s=check_limit(compensate_timeout, what="compensate_timeout"),
            compensate_on_failure=compensate_on_failure,
        )
        return self._with((*self.steps, step))

    async def run(
        self,
        data: object = None,
        *,
        id: str | None = None,  # noqa: A002
        check: bool = True,
        clock: Clock | None = None,
    ) -> SagaResult:
        """Run the saga here and now, and return when it has come to its end.

        It is kept in memory: a process that dies takes it along. Waits between attempts are slept through. The outcome
        is the same as that of a saga that a worker runs.

        Cancellation: the step that runs is cancelled, and everything is compensated for up to 30 seconds, shielded,
        before the cancellation goes on. What could not be undone in that time is an error in the log.

        Args:
            id: For the idempotency keys. Default a new one.
            check: Raise when it does not complete; `False` returns every result, as `subprocess.run` does.

        Raises:
            SagaFailedError: It did not complete. `error.result` tells all; its cause is what the step raised.
            SagaDataError: The data does not fit; nothing was run.
            SagaDefinitionError: The saga has no steps.
        """
        from undercroft.resilience._saga._direct import run_here

        return await run_here(self, data, saga_id=id, check=check, clock=clock)

    async def start(self, data: object = None, *, id: str | None = None) -> SagaHandle:  # noqa: A002
        """Store the saga, to be run by a worker of the bound `Infra`. See `Sagas.start`."""
        return await _sagas.require().start(self, data, id=id)

    def stored_data(self, data: object) -> bytes:
        """Check what a saga is to be started with and return it as JSON.

        Raises:
            SagaDataError: It does not fit the schema, or has no JSON form.
        """
        try:
            return to_json(data) if self.schema is None else self.schema.encode(self.schema.parse(data))
        except InvalidDataError as exc:
            raise SagaDataError(exc.message, hint=exc.hint, near=exc.near) from exc
        except TypeError as exc:
            raise SagaDataError(f"saga {self.name!r}: its data has no JSON form: {exc}") from exc

    def read_data(self, data: bytes) -> D:
        """Return stored data as `ctx.data` is.

        Raises:
            InvalidDataError: It does not fit (any more).
        """
        return cast("D", _plain.decode(data)) if self.schema is None else self.schema.decode(data)

    def require_steps(self) -> None:
        """Raise if there are none.

        Raises:
            SagaDefinitionError: There are none.
        """
        if not self.steps:
            raise SagaDefinitionError(f"saga {self.name!r} has no steps", hint='add one: .step("reserve", reserve)')

    def _with(self, steps: tuple[Step[D], ...]) -> Saga[D]:
        made: Saga[D] = object.__new__(type(self))
        for name in ("name", "version", "deadline_s", "schema"):
            object.__setattr__(made, name, getattr(self, name))
        object.__setattr__(made, "steps", steps)
        return made


_plain: Schema[Any] = Schema(Any, what="saga data")
