"""Microseconds for one JSON line of loguru, its record made into the same keys by orjson in a patched formatter."""

import io
import json
import os
import time

import orjson
from loguru import logger

LINES = 2_000 if os.environ.get("BENCH_QUICK") else 100_000
PART = 1_000  # after which the memory is used again: what growing it costs is not the question
stream = io.StringIO()


def write_line(message):  # type: ignore[no-untyped-def]
    record = message.record
    extra = record["extra"]
    line = {
        "timestamp": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name.lower(),
        "message": record["message"],
        **extra,
    }
    stream.write(orjson.dumps(line).decode() + "\n")


# Not `serialize=True`: its line is nested, and three times as long.
logger.remove()
logger.add(write_line, level="INFO", format="{message}", catch=False, backtrace=False, diagnose=False)
log = logger.bind(logger="shop.http")


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
print(json.dumps({"value": value, "settings": {"lines": LINES, "serializer": "orjson", "output": "text in memory"}}))
