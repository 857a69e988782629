"""Names and labels: what is accepted, and how it is written.

Sources: https://prometheus.io/docs/concepts/data_model/ and OpenMetrics 1.0.0
(https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from undercroft._core.errors import near_names
from undercroft.monitoring._errors import MetricLabelError, MetricNameError

MetricType = Literal["counter", "gauge", "histogram"]
LabelSet = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

OVERFLOW = "__overflow__"
"""Every label's value of the series that stands for all label sets beyond a metric's cap."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEPARATORS = str.maketrans(".-", "__")
_TOTAL = "_total"
_OF_THE_FORMAT = {"le", "quantile"}
_MOST_CHARACTERS = 1024

_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
}
"""What a metric of each kind puts behind its family's name, or reserves there."""


def is_name(text: str) -> bool:
    """Tell whether both formats accept `text` as a name, of a metric or of a label."""
    return _NAME.fullmatch(text) is not None


def metric_name(name: object) -> str:
    """Return the name as it is exposed: `.` and `-` become `_`.

    Raises:
        MetricNameError: It has other characters than letters, digits and `_`, or begins with a digit.
    """
    if not isinstance(name, str):
        raise MetricNameError(f"a metric's name is text, not {type(name).__name__}")
    written = name.translate(_SEPARATORS)
    if not _NAME.fullmatch(written):
        raise MetricNameError(
            f"{name!r} is not a metric's name",
            hint="ASCII letters, digits and '_' (or '.' and '-', which become '_'), not beginning with a digit;"
            " what varies belongs into labels",
        )
    return written


def family_name(name: str, kind: MetricType) -> str:
    """Return the name of the family that `name` belongs to: a counter's has no `_total`, which samples have.

    Raises:
        MetricNameError: Nothing would be left.
    """
    if kind != "counter":
        return name
    family = name
    while family.endswith(_TOTAL):
        family = family.removesuffix(_TOTAL)
    if not family:
        raise MetricNameError(f"{name!r} is not a counter's name: nothing is left without its _total")
    return family


def names_of(kind: MetricType, family: str) -> list[str]:
    """Return every name that a family has or reserves in the exposition, its own first."""
    return [family + suffix for suffix in _SUFFIXES[kind]]


def check_label_name(name: object) -> str:
    """Return a label's name.

    Raises:
        MetricLabelError: It has characters that are not allowed, begins with `__`, or belongs to the format.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        written = name.translate(_SEPARATORS) if isinstance(name, str) else ""
        raise MetricLabelError(
            f"{name!r} is not a label's name",
            near=[written] if _NAME.fullmatch(written) else (),
            hint="ASCII letters, digits and '_', not beginning with a digit",
        )
    if name.startswith("__") or name in _OF_THE_FORMAT:
        raise MetricLabelError(
            f"the label {name!r} is reserved by the Prometheus format", hint="'le', 'quantile' and '__…' are taken"
        )
    return name


def label_text(value: object) -> str:
    """Return a label's value as text.

    Any text is a value. Lone surrogates, which UTF-8 cannot say, become `\\ufffd`; what is longer than 1 024 characters
    is cut, and ends in `…` then.
    """
    # A str that is an enum's member too is its value.
    text = str.__str__(value) if isinstance(value, str) else str(value)
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS - 1]}…"
    return valid_text(text)


def valid_text(text: str) -> str:
    """Return `text` with `\ufffd` for lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def label_set(labels: object) -> LabelSet:
    """Return labels as they are compared and stored.

    Raises:
        MetricLabelError: They are no mapping, or a name is not allowed.
    """
    if labels is None:
        return ()
    if not isinstance(labels, Mapping):
        raise MetricLabelError(
            f"labels are a mapping of names to values, not {type(labels).__name__}", hint='{"method": "GET"}'
        )
    return tuple(sorted((check_label_name(name), label_text(value)) for name, value in labels.items()))


def check_declared(metric: str, declared: tuple[str, ...], labels: LabelSet) -> None:
    """Check that `labels` are the declared ones, no more and no fewer.

    Raises:
        MetricLabelError: They are not; says which, and which are declared.
    """
    given = {name for name, _ in labels}
    if given == set(declared):
        return
    unknown, missing = sorted(given - set(declared)), sorted(set(declared) - given)
    problems = [f"has no {', '.join(map(repr, unknown))}"] * bool(unknown)
    problems += [f"needs {', '.join(map(repr, missing))}"] * bool(missing)
    raise MetricLabelError(
        f"the metric {metric!r} {' and '.join(problems)}",
        near=[near for name in unknown for near in near_names(name, missing)],
        hint=f"its labels: {', '.join(declared) or 'none'}",
    )


def labels_text(labels: LabelSet) -> str:
    """Return labels as the exposition has them, without the braces."""
    return ",".join(f'{name}="{escape_label(value)}"' for name, value in labels)


def escape_label(value: str) -> str:
    """Escape what ends a label's value in the exposition."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
