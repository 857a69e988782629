"""Which values a metric takes, and how they are added up."""

from __future__ import annotations

from math import inf, nextafter

from undercroft.monitoring._errors import MetricValueError

PLAIN = frozenset({int, float})
"""Numbers that are added without any Python code being run: see `_threads`."""

MOST = 1.7976931348623157e308
"""The largest double."""


def continued(stored: float, poured: float) -> float:
    """Return the base on which a cell goes on from `stored`, of which `poured` is this process's own already."""
    base = stored - poured
    while base + poured < stored:  # rounding must not take back what a scrape has seen
        base = nextafter(base, inf)
    return base


def counter_value(metric: str, value: object) -> float:
    """Return what to add to a counter.

    Raises:
        MetricValueError: It is negative, not finite, or no number.
    """
    added = finite(metric, value)
    if added < 0:
        raise MetricValueError(
            f"the counter {metric!r} cannot be incremented by {value!r}",
            hint="a counter only grows; for what goes up and down there are gauges",
        )
    return added


def finite(metric: str, value: object) -> float:
    """Return `value` as a finite `float`.

    Raises:
        MetricValueError: It is none.
    """
    taken = number(metric, value)
    if not -MOST <= taken <= MOST:
        raise MetricValueError(f"{taken!r} was given to the metric {metric!r}", hint="only a gauge may be inf or NaN")
    return taken


def number(metric: str, value: object) -> float:
    """Return `value` as a `float`, if it is a number: `int`, `float`, `Decimal`, numpy's.

    Raises:
        MetricValueError: It is none, or too large for one.
    """
    if isinstance(value, str | bytes | bytearray):
        raise MetricValueError(f"the metric {metric!r} takes numbers, not {type(value).__name__}")
    try:
        return float(value)  # type: ignore[arg-type] # whether it can be one is what is found out here
    except (TypeError, ValueError, OverflowError) as exc:
        raise MetricValueError(f"the metric {metric!r} takes numbers that fit a double: {exc}") from exc
