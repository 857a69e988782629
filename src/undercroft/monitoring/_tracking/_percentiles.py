"""Percentiles of values that are all there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from undercroft.monitoring._tracking._errors import TrackingError


def percentiles(values: Iterable[float], quantiles: Iterable[float] = (0.5, 0.9, 0.95, 0.99)) -> dict[float, float]:
    """Return each quantile of `values`, exactly: the nearest rank, always one of the values.

    The quantile q of n values is the smallest that at least the share q of them does not exceed: the one at position
    ⌈q·n⌉ of the sorted values, counted from 1; the smallest for q = 0. Sorts a copy.

    Raises:
        TrackingError: There are no values, one is not a number, or a quantile is not between 0 and 1.
    """
    ordered = sorted(values)
    if not ordered:
        raise TrackingError("there are no values, and so no percentiles")
    if any(map(math.isnan, ordered)):
        raise TrackingError("a value is not a number (nan), so that the values have no order")
    return {quantile: ordered[rank(quantile, len(ordered)) - 1] for quantile in quantiles}


def rank(quantile: float, count: int) -> int:
    """Return the position, from 1, of a quantile among `count` sorted values.

    Raises:
        TrackingError: The quantile is not between 0 and 1.
    """
    if not 0 <= quantile <= 1:
        raise TrackingError(f"quantile {quantile!r} is not between 0 and 1", hint="the 95th percentile is 0.95")
    # By the decimal digits, as they were written: in binary 0.07 * 100 is a little more than 7, whose ceiling is 8.
    return max(1, math.ceil(Decimal(str(quantile)) * count))
