"""The mapping form of a saga, as other kits have it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.errors import near_names
from undercroft.resilience._saga._errors import SagaDefinitionError
from undercroft.resilience._saga._results import SagaResult
from undercroft.resilience._saga._saga import Saga

_OPTIONS = ("retry", "timeout", "compensate_retry", "compensate_timeout", "compensate_on_failure")
_KEYS = ("name", "execute", "compensate", *_OPTIONS)


class SagaOrchestrator:
    """Builds a saga of mappings, step by step: `SagaOrchestrator("order").add_step({"execute": …, "compensate": …})`.

    A mapping has `execute`, and may have `name`, `compensate` and the options of `Saga.step`. A step without a name is
    called `step-1`, `step-2`, … by its place: name the steps of a saga that is stored. A function without parameters is
    called without the context.

    Each `add_step` changes this object and returns it; `saga` is the definition so far, for `Infra(sagas=[…])`. Lives
    as long as its maker needs it.
    """

    def __init__(
        self,
        name: str = "saga",
        steps: Iterable[Mapping[str, Any]] = (),
        *,
        version: int = 1,
        deadline: Duration | None = None,
    ) -> None:
        self._saga: Saga[Any] = Saga(name, version=version, deadline=deadline)
        for step in steps:
            self.add_step(step)

    @property
    def saga(self) -> Saga[Any]:
        """The definition of the steps so far."""
        return self._saga

    def add_step(self, step: Mapping[str, Any], /) -> SagaOrchestrator:
        """Add a step.

        Raises:
            SagaDefinitionError: A key is unknown or missing, or a value is not valid.
        """
        for key in step:
            if key not in _KEYS:
                raise SagaDefinitionError(
                    f"add_step: unknown key {key!r}",
                    near=near_names(str(key), _KEYS),
                    hint=f"keys: {', '.join(_KEYS)}",
                )
        if "execute" not in step:
            raise SagaDefinitionError("add_step: there is no 'execute'", hint='write {"name": …, "execute": …}')
        compensate = step.get("compensate")
        self._saga = self._saga.step(
            step.get("name", f"step-{len(self._saga.steps) + 1}"),
            _taking_context(step["execute"]),
            compensate=None if compensate is None else _taking_context(compensate),
            **{key: step[key] for key in _OPTIONS if key in step},
        )
        return self

    async def run(
        self,
        data: object = None,
        *,
        id: str | None = None,  # noqa: A002
        check: bool = True,
        clock: Clock | None = None,
    ) -> SagaResult:
        """See `Saga.run`."""
        return await self._saga.run(data, id=id, check=check, clock=clock)


def _taking_context(function: Any) -> Any:
    if not inspect.iscoroutinefunction(function) or inspect.signature(function).parameters:
        return function
    return _without_context(function)


def _without_context(function: Callable[[], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def call(_ctx: Any) -> Any:
        return await function()

    return call
