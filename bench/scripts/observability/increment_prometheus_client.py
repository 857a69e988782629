"""What one `labels(…).inc()` with two labels costs, in nanoseconds: `… memory|shared name|declared`.

`shared`: in its multiprocess mode, where each count is written to a memory-mapped file of the process. `name` gives
label values by position (its faster way), `declared` by name.
"""

import json
import os
import sys
import tempfile
import time

COUNT, ROUNDS = (2_000, 1) if os.environ.get("BENCH_QUICK") else (200_000, 7)
MODE, WAY = sys.argv[1:]


def by_position(requests, count: int) -> None:
    for _ in range(count):
        requests.labels("GET", "200").inc()


def by_name(requests, count: int) -> None:
    for _ in range(count):
        requests.labels(method="GET", status="200").inc()


def timed(requests, count: int) -> float:
    start = time.perf_counter()
    {"name": by_position, "declared": by_name}[WAY](requests, count)
    return (time.perf_counter() - start) / count * 1e9


with tempfile.TemporaryDirectory() as directory:
    if MODE == "shared":
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory  # read when it is imported
    from prometheus_client import Counter

    requests = Counter("requests", "Requests.", ["method", "status"])
    timed(requests, COUNT // 10)
    value = min(timed(requests, COUNT) for _ in range(ROUNDS))
print(json.dumps({"value": value, "settings": {"counts": COUNT, "rounds": ROUNDS, "of rounds": "the best"}}))
