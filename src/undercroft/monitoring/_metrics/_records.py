"""What a segment says about its cells: one line of JSON for each series, and for each declared metric.

    ["series", "counter", "http_requests", [["method", "GET"]], null]
    ["series", "gauge", "jobs_waiting", [], "sum"]
    ["series", "histogram", "http_request_seconds", [], [0.1, 1.0]]
    ["family", "counter", "http_requests", "Requests that were answered.", ""]

The last field of a series is what must agree before its cells can be added up: nothing, a gauge's way to become one
value, a histogram's bounds. A line of another first word is of a newer version, and takes no cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from undercroft.monitoring._metrics._metric import Across, Metric
from undercroft.monitoring._metrics._names import LabelSet, MetricType, is_name, labels_text
from undercroft.monitoring._metrics._series import Series

CELLS_OF_A_GAUGE = 2
"""Its value, and when it was set, in seconds since the Unix epoch; 0: it is not set."""


class FamilyRecord(msgspec.Struct, frozen=True, array_like=True, tag="family"):
    """What a declaration says for people."""

    kind: MetricType
    family: str
    help: str
    unit: str


class _SeriesLine(msgspec.Struct, frozen=True, array_like=True, tag="series"):
    kind: MetricType
    family: str
    labels: LabelSet
    rule: Across | tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One series, and how many cells it has."""

    kind: MetricType
    family: str
    labels: LabelSet
    text: str
    """The labels as the exposition has them."""
    across: Across
    bounds: tuple[float, ...]
    width: int


def series_record(metric: Metric, series: Series) -> bytes:
    """Return the line for a series, without its end."""
    rules: dict[MetricType, Across | tuple[float, ...] | None] = {
        "counter": None,
        "gauge": metric.declaration.across,
        "histogram": metric.bounds,
    }
    return _encode(_SeriesLine(metric.kind, metric.family, series.labels, rules[metric.kind]))


def family_record(metric: Metric) -> bytes:
    """Return the line for a metric that is declared, without its end."""
    return _encode(FamilyRecord(metric.kind, metric.family, metric.help, metric.declaration.unit))


def parse(line: bytes) -> SeriesRecord | FamilyRecord | None:
    """Read a line; `None` for one of a newer version.

    Raises:
        ValueError: It is not such a line.
    """
    try:
        record = _decode(line)
    except msgspec.ValidationError:
        if _word(line) in ("series", "family"):
            raise
        return None
    labels = _label_names(record)
    if not all(map(is_name, (record.family, *labels))) or not _rises(labels):
        raise ValueError("a name in it is none, or not where it belongs")
    if isinstance(record, FamilyRecord) and record.unit and not record.family.endswith(f"_{record.unit}"):
        raise ValueError("its unit is not that of its name")
    return record if isinstance(record, FamilyRecord) else _series(record)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_SeriesLine | FamilyRecord).decode


def _word(line: bytes) -> str:
    fields = msgspec.json.decode(line)
    if not isinstance(fields, list) or not fields or not isinstance(fields[0], str):
        raise ValueError("a line is no record")
    return fields[0]


def _label_names(record: _SeriesLine | FamilyRecord) -> list[str]:
    return [name for name, _ in record.labels] if isinstance(record, _SeriesLine) else []


def _rises(values: Sequence[float] | Sequence[str]) -> bool:
    """Tell whether each value is above the last: what a file has otherwise is damage."""
    return all(low < high for low, high in pairwise(values))  # type: ignore[operator] # all alike


def _series(line: _SeriesLine) -> SeriesRecord:
    across: Across = "sum"
    bounds: tuple[float, ...] = ()
    width, rule = 1, line.rule
    if line.kind == "gauge" and isinstance(rule, str):
        across, width = rule, CELLS_OF_A_GAUGE
    elif line.kind == "histogram" and isinstance(rule, tuple) and _rises(rule) and all(map(math.isfinite, rule)):
        bounds, width = rule, len(rule) + 2
    elif line.kind != "counter" or rule is not None:
        raise ValueError(f"a {line.kind} cannot have {rule!r}")
    return SeriesRecord(line.kind, line.family, line.labels, labels_text(line.labels), across, bounds, width)
