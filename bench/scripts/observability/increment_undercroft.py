"""What one `increment` with two labels costs, in nanoseconds: `increment_undercroft.py memory|shared name|declared`.

`shared`: attached to a directory, so that each count is written to the memory-mapped file that other processes read.
"""

import json
import os
import sys
import tempfile
import time

from undercroft.monitoring import Counter, attach, increment

COUNT, ROUNDS = (2_000, 1) if os.environ.get("BENCH_QUICK") else (200_000, 7)
MODE, WAY = sys.argv[1:]


def by_name(count: int) -> None:
    for _ in range(count):
        increment("requests", 1, {"method": "GET", "status": "200"})


def declared(count: int) -> None:
    requests = Counter("declared", help="Requests.", labels=("method", "status"))
    for _ in range(count):
        requests.increment(method="GET", status="200")


def timed(count: int) -> float:
    start = time.perf_counter()
    {"name": by_name, "declared": declared}[WAY](count)
    return (time.perf_counter() - start) / count * 1e9


with tempfile.TemporaryDirectory() as directory:
    attachment = attach(directory) if MODE == "shared" else None
    timed(COUNT // 10)
    value = min(timed(COUNT) for _ in range(ROUNDS))
    if attachment is not None:
        attachment.detach()
print(json.dumps({"value": value, "settings": {"counts": COUNT, "rounds": ROUNDS, "of rounds": "the best"}}))
