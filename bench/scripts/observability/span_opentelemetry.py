"""What starting and ending a span costs, in microseconds: `start_as_current_span`, three attributes, one processor.

The SDK's defaults: parent-based always-on sampler, its limits, a processor whose methods do nothing. The tracer is made
once.
"""

import json
import os
import time
from importlib.metadata import version

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

SPANS = 2_000 if os.environ.get("BENCH_QUICK") else 200_000

provider = TracerProvider()
provider.add_span_processor(SpanProcessor())
tracer = provider.get_tracer("bench")


def one() -> None:
    with tracer.start_as_current_span("charge card", attributes={"order.id": "o-7", "items": 3, "is_gift": False}):
        pass


def microseconds() -> float:
    for _ in range(SPANS // 10):
        one()
    start = time.perf_counter()
    for _ in range(SPANS):
        one()
    return (time.perf_counter() - start) / SPANS * 1e6


settings = {
    "opentelemetry-sdk": f"{version('opentelemetry-sdk')}, parentbased_always_on, one processor that does nothing"
}
print(json.dumps({"value": microseconds(), "settings": settings}))
