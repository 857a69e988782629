"""A processor that keeps what it takes."""

from __future__ import annotations

from undercroft.monitoring import FinishedSpan


class Taken:
    """Finished spans, in the order they ended."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []
        self.flushed = self.closed = 0

    def on_end(self, span: FinishedSpan) -> None:
        self.spans.append(span)

    async def flush(self) -> None:
        self.flushed += 1

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    @property
    def only(self) -> FinishedSpan:
        (span,) = self.spans
        return span

    def named(self, name: str) -> FinishedSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span
