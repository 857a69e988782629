"""What importing costs, and what is said when Google's client is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

FOREIGN = ("google", "grpc", "cryptography", "requests", "jwt")


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module", ["undercroft.connections", "undercroft.connections.pubsub", "undercroft.testing.pubsub_server"]
)
def test_import_loads_no_package_of_the_extra(module: str) -> None:
    loaded = fresh(f"import sys, {module}; print(*sys.modules)").split()
    assert {name.partition(".")[0] for name in loaded} & set(FOREIGN) == set()


def test_memory_engine_loads_no_package_of_the_extra() -> None:
    use = "from undercroft.connections import pubsub; pubsub.create_pubsub('memory://')"
    loaded = fresh(f"import sys; {use}; print(*sys.modules)").split()
    assert {name.partition(".")[0] for name in loaded} & set(FOREIGN) == set()


@pytest.mark.parametrize("missing", ["grpc", "google.pubsub_v1"])
def test_missing_package_is_an_error_with_the_pip_line(missing: str) -> None:
    said = fresh(f"""
import sys
sys.modules[{missing!r}] = None
from undercroft._core.errors import MissingExtraError
from undercroft.connections.pubsub import create_pubsub
try:
    create_pubsub("pubsub://project")
except MissingExtraError as exc:
    print(exc)
""")
    assert "undercroft[pubsub]" in said
