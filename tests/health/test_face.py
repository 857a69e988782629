"""The module's face, which loads what is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import undercroft.health


@pytest.mark.parametrize("name", undercroft.health.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    value = getattr(undercroft.health, name)
    assert getattr(value, "__name__", name) == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'HelthChecks'"):
        undercroft.health.HelthChecks  # type: ignore[attr-defined]  # noqa: B018


def test_the_reader_of_heartbeats_loads_nothing_else() -> None:
    code = "import sys; from undercroft.health import read_heartbeats; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & {"anyio", "asyncio", "logging", "msgspec", "pathlib", "undercroft.health._checks"} == set()
