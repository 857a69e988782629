"""The spans that end while a test looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from undercroft.monitoring import FinishedSpan, setup_tracing


class TakenSpans(list[FinishedSpan]):
    """A processor that keeps what it takes, in the order in which spans ended."""

    def on_end(self, span: FinishedSpan) -> None:
        self.append(span)

    async def flush(self) -> None: ...

    async def aclose(self) -> None: ...

    def named(self, name: str) -> list[FinishedSpan]:
        """Return those of this name."""
        return [span for span in self if span.name == name]


@contextmanager
def taken_spans() -> Iterator[TakenSpans]:
    """Take every span of the process for the block."""
    spans = TakenSpans()
    with setup_tracing(processors=[spans]):
        yield spans
