"""The two text formats.

Sources: Prometheus 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/) and OpenMetrics 1.0.0
(https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from undercroft.monitoring._metrics._exemplars import Exemplar
from undercroft.monitoring._metrics._families import Family, Row, Source
from undercroft.monitoring._metrics._names import names_of

_ODD = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


def prometheus_text(families: Iterable[Family], sources: Sequence[Source]) -> str:
    """Return Prometheus' text format 0.0.4."""
    lines: list[str] = []
    names = set[str]()
    for family in families:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        names.update(names_of(family.kind, family.name))
        lines.append(f"# HELP {name} {_help(family.help)}\n# TYPE {name} {family.kind}\n")
        lines.extend(_samples(family, has_exemplars=False))
    lines.extend(source.text(names) for source in sources)
    return "".join(lines)


def openmetrics_text(families: Iterable[Family], sources: Sequence[Source]) -> str:
    """Return OpenMetrics 1.0."""
    lines: list[str] = []
    names = set[str]()
    for family in families:
        names.update(names_of(family.kind, family.name))
        escaped = _help(family.help).replace('"', '\\"')
        lines.append(f"# HELP {family.name} {escaped}\n# TYPE {family.name} {family.kind}\n")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}\n")
        lines.extend(_samples(family, has_exemplars=True))
    lines.extend(source.openmetrics(names) for source in sources)
    lines.append("# EOF\n")
    return "".join(lines)


def _samples(family: Family, *, has_exemplars: bool) -> Iterator[str]:
    if family.kind == "histogram":
        return _histogram(family, has_exemplars=has_exemplars)
    return _plain(f"{family.name}_total" if family.kind == "counter" else family.name, family.rows)


def _plain(name: str, rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        (value,) = row.numbers
        yield f"{name}{{{row.labels}}} {number_text(value)}\n" if row.labels else f"{name} {number_text(value)}\n"


def _histogram(family: Family, *, has_exemplars: bool) -> Iterator[str]:
    name = family.name
    bounds = [f'le="{_bound_text(bound)}"}} ' for bound in (*family.bounds, math.inf)]
    # OpenMetrics has no sum (and then no count) where values are negative: it would go down, as a counter must not.
    has_sum = not has_exemplars or not family.bounds or family.bounds[0] >= 0
    for row in family.rows:
        total, *counts = row.numbers
        opening = f"{name}_bucket{{{row.labels}," if row.labels else f"{name}_bucket{{"
        cumulative = 0.0
        for place, (bound, count) in enumerate(zip(bounds, counts, strict=True), start=1):
            cumulative += count
            exemplar = row.exemplars.get(place) if has_exemplars else None
            yield f"{opening}{bound}{cumulative!r}{_exemplar(exemplar)}\n"
        labels = f"{{{row.labels}}}" if row.labels else ""
        if has_sum and (total >= 0 or not has_exemplars):
            yield f"{name}_count{labels} {cumulative!r}\n{name}_sum{labels} {number_text(total)}\n"


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    names = f'trace_id="{exemplar.trace_id}",span_id="{exemplar.span_id}"'
    return f" # {{{names}}} {number_text(exemplar.value)} {exemplar.at_s:.3f}"


def number_text(value: float) -> str:
    """Return a number as both formats write it."""
    text = repr(value)
    return _ODD.get(text, text)


def _bound_text(bound: float) -> str:
    """Return a bound as Go writes it, which is how series of one bucket are known to be the same ones."""
    text = repr(bound)
    whole, dot, _ = text.partition(".")
    if bound > 0 and dot and len(whole) > 6 and "e" not in text:
        digits = text.replace(".", "")
        mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
        return f"{mantissa}e+{len(whole) - 1:02d}"
    return number_text(bound)


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
