"""The definitions of sagas that are known here, by name and version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from undercroft._core.errors import near_names
from undercroft.resilience._saga._errors import SagaDefinitionError, SagaNotRegisteredError
from undercroft.resilience._saga._orchestrator import SagaOrchestrator
from undercroft.resilience._saga._records import SagaRecord
from undercroft.resilience._saga._saga import Saga


class Registry:
    """Immutable; lives as long as the `Sagas` it belongs to.

    Raises:
        SagaDefinitionError: Two have one name and version, or one has no steps.
    """

    def __init__(self, definitions: Iterable[Saga[Any] | SagaOrchestrator]) -> None:
        self._definitions: dict[tuple[str, int], Saga[Any]] = {}
        for given in definitions:
            self._add(given.saga if isinstance(given, SagaOrchestrator) else given)
        ordered = sorted(self._definitions.items(), key=lambda item: item[0])
        self._latest = {saga.name: saga for _, saga in ordered}

    @property
    def sagas(self) -> tuple[Saga[Any], ...]:
        """All of them."""
        return tuple(self._definitions.values())

    def of(self, record: SagaRecord) -> Saga[Any] | None:
        """Return the definition that a saga was started with."""
        return self._definitions.get((record.saga, record.version))

    def require(self, wanted: Saga[Any] | SagaOrchestrator | str) -> Saga[Any]:
        """Return the definition that is known here: of a name, the latest version.

        Raises:
            SagaNotRegisteredError: There is none.
        """
        saga = wanted.saga if isinstance(wanted, SagaOrchestrator) else wanted
        latest = self._latest.get(saga) if isinstance(saga, str) else None
        found = latest if isinstance(saga, str) else self._definitions.get((saga.name, saga.version))
        if found is not None:
            return found
        name, version = (saga, "") if isinstance(saga, str) else (saga.name, f" version {saga.version}")
        raise SagaNotRegisteredError(
            f"saga {name!r}{version} is not registered here",
            saga=name,
            near=near_names(name, set(self._latest) - {name}),
            hint="add it to Infra(sagas=[…]), or correct the name",
        )

    def lack(self, record: SagaRecord) -> str:
        """Say that the definition of a stored saga is not known here."""
        versions = sorted(version for name, version in self._definitions if name == record.saga)
        known = f"its versions here: {', '.join(map(str, versions))}" if versions else "no saga of this name is"
        return f"version {record.version} of saga {record.saga!r} is not registered; {known}"

    def _add(self, saga: Saga[Any]) -> None:
        if not isinstance(saga, Saga):
            raise SagaDefinitionError(f"{saga!r} is not a saga", hint='make one: Saga("order").step(…)')
        saga.require_steps()
        if self._definitions.setdefault((saga.name, saga.version), saga) is not saga:
            raise SagaDefinitionError(
                f"two sagas are called {saga.name!r} and have version {saga.version}",
                hint="rename one; or, if it is a new one of the same, give it a version of its own",
            )
