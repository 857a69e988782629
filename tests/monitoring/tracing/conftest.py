"""What several of these tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitoring.tracing._taken import Taken
from undercroft.monitoring import clear_spans, setup_tracing


@pytest.fixture
def taken() -> Iterator[Taken]:
    """A processor that keeps the spans that end during the test."""
    processor = Taken()
    with setup_tracing(processors=[processor]):
        yield processor
    clear_spans()
