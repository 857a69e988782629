"""One metric: its declaration and its series, no more of them than its cap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from undercroft._core.errors import near_names
from undercroft.monitoring._errors import MetricDeclarationError
from undercroft.monitoring._metrics._names import (
    OVERFLOW,
    LabelSet,
    MetricType,
    check_declared,
    check_label_name,
    family_name,
    metric_name,
    valid_text,
)
from undercroft.monitoring._metrics._numbers import PLAIN
from undercroft.monitoring._metrics._series import Series

Across = Literal["sum", "max", "min", "last", "each"]
"""How a gauge's values of several processes become one; `each` keeps them apart, by the label `worker`."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Buckets of a histogram that declares none. Source: `http.server.request.duration` of OpenTelemetry's semantic
conventions (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/)."""

WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is said about a metric besides its name and kind."""

    help: str = ""
    unit: str = ""
    labels: tuple[str, ...] | None = None
    """`None`: whatever labels it is given."""
    bounds: tuple[float, ...] = SECONDS
    across: Across = "sum"
    max_series: int | None = None
    """`None`: the registry's."""

    def differences(self, other: Declaration) -> list[str]:
        """Say in which fields `other` is another one."""
        return [
            f"{name} was {getattr(self, name)!r}, now {getattr(other, name)!r}"
            for name in ("help", "unit", "labels", "bounds", "across", "max_series")
            if getattr(self, name) != getattr(other, name)
        ]


class Metric:
    """A family of series. Belongs to one registry, which locks around everything here that changes it."""

    __slots__ = ("declaration", "family", "is_declared", "kind", "name", "overflow", "series")

    def __init__(self, kind: MetricType, name: str, family: str, declaration: Declaration | None) -> None:
        self.kind: MetricType = kind
        self.name = name
        self.family = family
        self.is_declared = declaration is not None
        self.declaration = declaration or Declaration()
        self.series: dict[LabelSet, Series] = {}
        self.overflow: Series | None = None

    @property
    def help(self) -> str:
        """What the exposition says about it."""
        return self.declaration.help.strip() or f"The {self.kind} {self.name}."

    @property
    def bounds(self) -> tuple[float, ...]:
        """A histogram's upper bounds, without `inf`."""
        return self.declaration.bounds if self.kind == "histogram" else ()

    def check(self, labels: LabelSet) -> None:
        """Check labels against the declared ones, where there are any.

        Raises:
            MetricLabelError: They are others.
        """
        if self.declaration.labels is not None:
            check_declared(self.name, self.declaration.labels, labels)

    def overflow_labels(self, labels: LabelSet) -> LabelSet:
        """Return what the overflow series is called, when `labels` are the first that did not fit."""
        return tuple((name, OVERFLOW) for name, _ in labels)

    def redeclare(self, declaration: Declaration) -> None:
        """Take a declaration: the first one, or the same again.

        Raises:
            MetricDeclarationError: It differs from the one there is, or from how the metric was used before.
        """
        if self.is_declared:
            if differences := self.declaration.differences(declaration):
                raise MetricDeclarationError(
                    f"the metric {self.name!r} is declared already, and otherwise: {'; '.join(differences)}",
                    hint="declare it once and share it, or with the same words each time",
                )
            return
        self._check_use(declaration)
        self.declaration = declaration
        self.is_declared = True

    def _check_use(self, declaration: Declaration) -> None:
        used = {tuple(sorted(name for name, _ in labels)) for labels in self.series}
        others = used - {tuple(sorted(declaration.labels or ()))}
        if others:
            raise MetricDeclarationError(
                f"the metric {self.name!r} was used with the labels {', '.join(others.pop()) or 'none'} before it was"
                f" declared with {', '.join(declaration.labels or ()) or 'none'}",
                hint="declare it before it is first used",
            )
        if self.series and self.kind == "histogram" and declaration.bounds != self.declaration.bounds:
            raise MetricDeclarationError(
                f"the histogram {self.name!r} was used with its default buckets before it was declared with others",
                hint="declare it before it is first used",
            )


def declaration_of(
    kind: MetricType,
    name: str,
    *,
    help: str,  # noqa: A002 - what the format calls it
    labels: Iterable[str],
    unit: str,
    max_series: int | None,
    buckets: Iterable[float] | None = None,
    across: str = "sum",
) -> Declaration:
    """Return a checked declaration.

    Raises:
        MetricDeclarationError: Something in it is wrong.
        MetricLabelError: A label's name is not allowed.
        MetricNameError: The name is none.
    """
    if isinstance(labels, str):
        raise MetricDeclarationError(
            f"labels of the metric {name!r} are a sequence of names, not text", hint=f"labels=({labels!r},)"
        )
    names = tuple(check_label_name(label) for label in labels)
    _check_labels(name, names, across)
    _check_unit(kind, name, unit)
    if max_series is not None and max_series < 1:
        raise MetricDeclarationError(f"max_series of the metric {name!r} is at least 1, not {max_series!r}")
    return Declaration(
        help=valid_text(help),
        unit=unit,
        labels=names,
        bounds=SECONDS if buckets is None else _bounds(name, tuple(buckets)),
        across=_across(name, across),
        max_series=max_series,
    )


def _check_labels(name: str, labels: tuple[str, ...], across: str) -> None:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise MetricDeclarationError(f"the metric {name!r} declares the label {twice[0]!r} twice")
    if across == "each" and WORKER in labels:
        raise MetricDeclarationError(
            f"the gauge {name!r} cannot have the label {WORKER!r}, which across='each' adds",
            hint="give the label another name",
        )


def _check_unit(kind: MetricType, name: str, unit: str) -> None:
    if not unit:
        return
    family = family_name(metric_name(name), kind)
    if metric_name(unit) != unit or not family.endswith(f"_{unit}"):
        total = "_total" if kind == "counter" else ""
        raise MetricDeclarationError(
            f"the unit of the {kind} {name!r} is {unit!r}, which its name does not say",
            hint=f"OpenMetrics wants a name such as '{family}_{unit}{total}'",
        )


def _bounds(name: str, bounds: Sequence[float]) -> tuple[float, ...]:
    if any(bound.__class__ not in PLAIN for bound in bounds):
        raise MetricDeclarationError(f"buckets of the histogram {name!r} are numbers, not {bounds!r}")
    written = tuple(float(bound) for bound in bounds)
    written = written[:-1] if written and written[-1] == math.inf else written
    if not all(map(math.isfinite, written)) or any(low >= high for low, high in pairwise(written)):
        raise MetricDeclarationError(
            f"buckets of the histogram {name!r} do not rise: {bounds!r}",
            hint="finite upper bounds, each above the last",
        )
    return written


def _across(name: str, across: str) -> Across:
    known = get_args(Across)
    if across not in known:
        raise MetricDeclarationError(
            f"the gauge {name!r} cannot be taken across processes by {across!r}",
            near=near_names(str(across), known),
            hint=f"one of {', '.join(known)}",
        )
    return across  # type: ignore[return-value] # it is one of them
