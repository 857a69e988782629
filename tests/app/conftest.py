"""What the tests of app share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def in_an_empty_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in its home, since the default home is relative to the working directory."""
    monkeypatch.chdir(home)
