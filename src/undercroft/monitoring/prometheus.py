"""Metrics of the `prometheus-client` package beside undercroft's. Needs the extra `prometheus`.

from prometheus_client import REGISTRY
from undercroft.monitoring.prometheus import include_registry

include_registry(REGISTRY)             # what other libraries count with it is exposed too
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from undercroft._core.extras import require_module
from undercroft.monitoring._metrics._face import registry as process_registry
from undercroft.monitoring._metrics._registry import Registry
from undercroft.monitoring._metrics._warn import warn

__all__ = ["Collecting", "include_registry"]

_EOF = "# EOF\n"


class Collecting(Protocol):
    """What is used of a `prometheus_client.CollectorRegistry`."""

    def collect(self) -> Iterable[Any]:
        """Return its families, each a `prometheus_client.Metric`."""


def include_registry(theirs: Collecting, *, registry: Registry | None = None) -> None:
    """Expose the metrics of a `prometheus_client` registry in every rendering from now on.

    They are written by `prometheus_client` itself, after undercroft's. Its numbers are those of this process; over
    several processes, give it a registry with its own `MultiProcessCollector`. Including it twice is including it once.

    Args:
        registry: Where to include it; by default the registry of the process.

    Raises:
        MetricTypeError: One name is in both; both owners are named. A family that gets such a name later is left out
            of the rendering, and warned of once.
        MissingExtraError: `prometheus-client` is not installed.
    """
    ours = process_registry() if registry is None else registry
    ours.include(_Included(theirs))


class _Included:
    owner = "the included prometheus_client registry"

    def __init__(self, theirs: Collecting) -> None:
        needed_for = "including a prometheus_client registry"
        self._theirs = theirs
        self._text: Any = require_module("prometheus_client.exposition", extra="prometheus", needed_for=needed_for)
        self._openmetrics: Any = require_module(
            "prometheus_client.openmetrics.exposition", extra="prometheus", needed_for=needed_for
        )
        self._told: set[str] = set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Included) and other._theirs is self._theirs

    def __hash__(self) -> int:
        return id(self._theirs)

    def names(self) -> set[str]:
        """Return the names of all its families and samples."""
        return {name for family in self._theirs.collect() for name in _names(family)}

    def text(self, taken: AbstractSet[str]) -> str:
        """Return them in Prometheus' text format."""
        rendered: bytes = self._text.generate_latest(_Some(self._free(taken)))
        return rendered.decode()

    def openmetrics(self, taken: AbstractSet[str]) -> str:
        """Return them in OpenMetrics 1.0, without its end."""
        rendered: bytes = self._openmetrics.generate_latest(_Some(self._free(taken)))
        return rendered.decode().removesuffix(_EOF)

    def _free(self, taken: AbstractSet[str]) -> Iterator[Any]:
        for family in self._theirs.collect():
            if taken.isdisjoint(_names(family)):
                yield family
            elif family.name not in self._told:
                self._told.add(family.name)
                warn("the metric %s of %s is left out: a metric of undercroft has its name", family.name, self.owner)


class _Some:
    """Families, as what `generate_latest` takes for a registry."""

    def __init__(self, families: Iterator[Any]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        return self._families


def _names(family: Any) -> set[str]:
    return {family.name, *(sample.name for sample in family.samples)}
