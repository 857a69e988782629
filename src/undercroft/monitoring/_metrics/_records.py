"""What a segment says about its cells: one line of JSON for each series, and for each declared metric.

    ["series", "counter", "http_requests", [["method", "GET"]], null]
    ["series", "gauge", "jobs_waiting", [], "sum"]
    ["series", "histogram", "http_request_seconds", [], [0.1, 1.0]]
    ["family", "counter", "http_requests", "Requests that were answered.", ""]

The last field of a series is what must agree before its cells can be added up: nothing, a gauge's way to become one
value, a histogram's bounds. A line of another first word is of a newer version, and takes no cells.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import get_args

from undercroft.monitoring._metrics._metric import Across, Metric
from undercroft.monitoring._metrics._names import LabelSet, MetricType, labels_text
from undercroft.monitoring._metrics._series import Series

CELLS_OF_A_GAUGE = 2
"""Its value, and when it was set, in seconds since the Unix epoch; 0: it is not set."""

_KINDS = get_args(MetricType)


@dataclass(frozen=True, slots=True)
class FamilyRecord:
    """What a declaration says for people."""

    kind: MetricType
    family: str
    help: str
    unit: str


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
    rule = {"counter": None, "gauge": metric.declaration.across, "histogram": metric.bounds}[metric.kind]
    return _line(["series", metric.kind, metric.family, series.labels, rule])


def family_record(metric: Metric) -> bytes:
    """Return the line for a metric that is declared, without its end."""
    return _line(["family", metric.kind, metric.family, metric.help, metric.declaration.unit])


def parse(line: bytes) -> SeriesRecord | FamilyRecord | None:
    """Read a line; `None` for one of a newer version.

    Raises:
        ValueError: It is not such a line.
    """
    fields = json.loads(line)
    if not isinstance(fields, list) or len(fields) < 5 or not all(isinstance(field, str) for field in fields[:3]):
        raise ValueError("a line is not a record")
    word, kind, family, *rest = fields
    if word not in ("series", "family"):
        return None
    if kind not in _KINDS:
        raise ValueError("a record is of no kind of metric")
    return _family(kind, family, *rest[:2]) if word == "family" else _series(kind, family, *rest[:2])


def _line(fields: list[object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def _family(kind: MetricType, family: str, described: object, unit: object) -> FamilyRecord:
    if not isinstance(described, str) or not isinstance(unit, str):
        raise ValueError("a family's record has no text")  # noqa: TRY004 - any fault of a record is the same one
    return FamilyRecord(kind, family, described, unit)


def _series(kind: MetricType, family: str, labels: object, rule: object) -> SeriesRecord:
    across: Across = "sum"
    bounds: tuple[float, ...] = ()
    width = 1
    if kind == "gauge":
        if rule not in get_args(Across):
            raise ValueError("a gauge's record has no way across processes")
        across, width = rule, CELLS_OF_A_GAUGE  # type: ignore[assignment] # it is one of them
    elif kind == "histogram":
        bounds = _bounds(rule)
        width = len(bounds) + 2
    read = _labels(labels)
    return SeriesRecord(kind, family, read, labels_text(read), across, bounds, width)


def _labels(labels: object) -> LabelSet:
    try:
        pairs = tuple((name, value) for name, value in labels)  # type: ignore[attr-defined] # checked by trying
    except (TypeError, ValueError) as exc:
        raise ValueError("a series has no labels") from exc
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise ValueError("a label is not text")
    return pairs


def _bounds(rule: object) -> tuple[float, ...]:
    if not isinstance(rule, list) or not all(isinstance(bound, float) and math.isfinite(bound) for bound in rule):
        raise ValueError("a histogram's record has no bounds")
    return tuple(rule)
