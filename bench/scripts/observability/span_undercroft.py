"""What starting and ending a span costs, in microseconds: `with start_span(...)`, three attributes, one processor.

The processor does nothing, as its peer's does: what is measured is ids, context, clock, attributes, the decision to
sample, and making the finished span.
"""

import json
import os
import time

from undercroft.monitoring import FinishedSpan, setup_tracing, start_span

SPANS = 2_000 if os.environ.get("BENCH_QUICK") else 200_000


class Nothing:
    def on_end(self, span: FinishedSpan) -> None: ...
    async def flush(self) -> None: ...
    async def aclose(self) -> None: ...


def one() -> None:
    with start_span("charge card", attributes={"order.id": "o-7", "items": 3, "is_gift": False}):
        pass


def microseconds() -> float:
    for _ in range(SPANS // 10):
        one()
    start = time.perf_counter()
    for _ in range(SPANS):
        one()
    return (time.perf_counter() - start) / SPANS * 1e6


with setup_tracing(processors=[Nothing()]):
    value = microseconds()
settings = {"undercroft": "parent-based always_on, one processor that does nothing, no redaction"}
print(json.dumps({"value": value, "settings": settings}))
