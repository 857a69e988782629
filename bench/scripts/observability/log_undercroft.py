"""Microseconds for one JSON line of ours: `log_undercroft.py redacted|plain memory|distinct|caller`.

- `redacted`: as it is without any setting. `plain`: `redaction=NO_REDACTION`, as none of the peers looks for secrets.
- `memory`: until the line is written, into memory, in the thread that logs.
- `distinct`: the same, and two of the five texts are new in each line: what was seen before is known to be harmless.
- `caller`: what the thread that logs waits for, when another one writes; bursts of 1,000 lines into a file, the writing
  between them not counted.
"""

import io
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from undercroft.logging import NO_REDACTION, Logger, setup_logging

WHAT, WHERE = sys.argv[1:]
LINES = 2_000 if os.environ.get("BENCH_QUICK") else 100_000
BURST = 1_000  # after which the memory is used again, or the writer waited for
KEYS = {"timestamp", "level", "logger", "message", "order_id", "amount", "currency", "customer", "path"}
NEW = itertools.count()
log = Logger()
redaction = None if WHAT == "redacted" else NO_REDACTION


def write(count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        log.info(
            "order paid", order_id=number, amount=9.5, currency="EUR", customer="ada lovelace", path="/orders/7/payment"
        )
    return (time.perf_counter() - start) / count * 1e6


def write_distinct(count: int) -> float:
    customers = [f"customer {next(NEW)}" for _ in range(count)]
    paths = [f"/orders/{next(NEW)}/payment" for _ in range(count)]
    start = time.perf_counter()
    for number in range(count):
        log.info(
            "order paid", order_id=number, amount=9.5, currency="EUR", customer=customers[number], path=paths[number]
        )
    return (time.perf_counter() - start) / count * 1e6


def memory(write: Callable[[int], float]) -> float:
    stream = io.StringIO()
    with setup_logging(format="json", stream=stream, redaction=redaction):
        for warm in (True, False):
            values = []
            for _ in range(max(1, LINES // BURST // (10 if warm else 1))):
                stream.seek(0)
                values.append(write(BURST))
    assert json.loads(stream.getvalue().splitlines()[0]).keys() == KEYS
    return sum(values) / len(values)


def caller() -> float:
    values = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        with setup_logging(format="json", file=path, redaction=redaction) as setup:
            for _ in range(max(1, LINES // BURST)):
                values.append(write(BURST))
                assert setup.flush()
            assert setup.dropped_count == 0
        assert json.loads(path.read_text().splitlines()[-1]).keys() == KEYS
    return statistics.median(values)


value = {"memory": partial(memory, write), "distinct": partial(memory, write_distinct), "caller": caller}[WHERE]()
print(json.dumps({"value": value, "settings": {"lines": LINES, "redaction": WHAT, "output": WHERE}}))
