"""Microseconds for one JSON line of structlog, as its performance page says: filtering logger, cached, orjson, bytes.

https://www.structlog.org/en/stable/performance.html
"""

import io
import json
import logging
import os
import time

import orjson
import structlog

LINES = 2_000 if os.environ.get("BENCH_QUICK") else 100_000
PART = 1_000  # after which the memory is used again: what growing it costs is not the question
stream = io.BytesIO()
structlog.configure(
    processors=[
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(serializer=orjson.dumps),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.BytesLoggerFactory(file=stream),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger().bind(logger="shop.http")


def write(count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        log.info(
            "order paid", order_id=number, amount=9.5, currency="EUR", customer="ada lovelace", path="/orders/7/payment"
        )
    return (time.perf_counter() - start) / count * 1e6


def write_parts(count: int) -> float:
    values = []
    for _ in range(count // PART):
        stream.seek(0)
        values.append(write(PART))
    return sum(values) / len(values)


write_parts(max(PART, LINES // 10))
value = write_parts(LINES)
line = json.loads(stream.getvalue().splitlines()[0])
assert line.keys() == {
    "timestamp", "level", "logger", "message", "order_id", "amount", "currency", "customer", "path"
}  # fmt: skip
print(json.dumps({"value": value, "settings": {"lines": LINES, "serializer": "orjson", "output": "bytes in memory"}}))
