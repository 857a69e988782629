"""What metrics raise. Tracing has a tree of its own, in `_tracing/_errors.py`.

UndercroftError
├── MetricNameError        (ValueError)  misuse       a name that Prometheus does not accept
├── MetricLabelError       (ValueError)  misuse       labels that are not allowed, or not the declared ones
├── MetricValueError       (ValueError)  misuse       a value that this kind of metric cannot take
├── MetricTypeError        (TypeError)   misuse       a name that is already a metric of another kind
├── MetricDeclarationError (ValueError)  misuse       a declaration that is wrong, or differs from an earlier one
└── MetricsDirectoryError  (OSError)     unavailable  the directory that processes share cannot be used
"""

from __future__ import annotations

from undercroft._core.errors import Kind, UndercroftError


class MetricNameError(UndercroftError, ValueError):
    """A metric's name is not letters, digits and `_`, where `.` and `-` count as `_`."""

    code = "UC1401"


class MetricTypeError(UndercroftError, TypeError):
    """A name is used as two kinds of metric, or two metrics would be exposed under one name."""

    code = "UC1402"


class MetricValueError(UndercroftError, ValueError):
    """A counter was given a negative value, or a metric something that is not a number it can take."""

    code = "UC1403"


class MetricLabelError(UndercroftError, ValueError):
    """A label's name is not allowed, or the labels are not those that the metric declares."""

    code = "UC1404"


class MetricDeclarationError(UndercroftError, ValueError):
    """A metric is declared wrongly, or otherwise than it was declared before."""

    code = "UC1405"


class MetricsDirectoryError(UndercroftError, OSError):
    """The directory that processes share their metrics in cannot be used, or another one is in use already."""

    code = "UC1406"
    kind = Kind.UNAVAILABLE
