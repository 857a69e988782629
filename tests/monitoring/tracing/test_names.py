"""The attribute names are those of the package that OpenTelemetry publishes them in."""

from __future__ import annotations

import importlib
import pkgutil

import opentelemetry.semconv.attributes as stable
from opentelemetry.semconv._incubating.attributes import messaging_attributes

from undercroft.monitoring import semconv

OURS = {name: value for name, value in vars(semconv).items() if name.isupper()}


def _constants(module: object) -> dict[str, str]:
    return {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_names_are_stable_but_for_messaging() -> None:
    published: dict[str, str] = {}
    for info in pkgutil.iter_modules(stable.__path__):
        published |= _constants(importlib.import_module(f"{stable.__name__}.{info.name}"))

    ours = {name: value for name, value in OURS.items() if not name.startswith("MESSAGING_")}
    assert ours
    assert {name: published.get(name) for name in ours} == ours


def test_messaging_names_are_incubating() -> None:
    published = _constants(messaging_attributes)

    ours = {name: value for name, value in OURS.items() if name.startswith("MESSAGING_")}
    assert ours
    assert {name: published.get(name) for name in ours} == ours
