"""Renderings, read back by others: prometheus_client's parsers, and promtool."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from tests._services._provide import is_ci, skip_or_fail
from undercroft.monitoring import Registry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def openmetrics_families(registry: Registry) -> dict[str, Any]:
    """Return families by name, as the strict parser of OpenMetrics reads them."""
    return {family.name: family for family in parse_openmetrics(registry.render_openmetrics())}


def samples(registry: Registry) -> Samples:
    """Return every sample of the text format: by name and labels, no two the same."""
    found: Samples = {}
    for family in parse_prometheus(registry.render_prometheus()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(registry: Registry, name: str, **labels: str) -> float | None:
    """Return one sample of the text format; `None` when it is not there."""
    return samples(registry).get((name, frozenset(labels.items())))


def promtool_complaints(text: str) -> str:
    """Return what `promtool check metrics` says about a text."""
    promtool = shutil.which("promtool")
    if promtool is None:
        skip_or_fail("promtool is not installed", is_ci=is_ci())
    done = subprocess.run(
        [str(promtool), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr + (f"ended with {done.returncode}" if done.returncode else "")
