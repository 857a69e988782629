"""Microseconds for one JSON line of python-json-logger on the standard library, with its fastest formatter: orjson."""

import io
import json
import logging
import os
import time
from datetime import UTC, datetime

from pythonjsonlogger.orjson import OrjsonFormatter

LINES = 2_000 if os.environ.get("BENCH_QUICK") else 100_000
PART = 1_000  # after which the memory is used again: what growing it costs is not the question


class Formatter(OrjsonFormatter):
    """The same timestamp and level word as the others'."""

    def formatTime(self, record, datefmt=None):  # type: ignore[no-untyped-def]  # noqa: N802
        return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")


stream = io.StringIO()
handler = logging.StreamHandler(stream)
names = {"asctime": "timestamp", "levelname": "level", "name": "logger"}
handler.setFormatter(Formatter("{asctime}{levelname}{name}{message}", style="{", rename_fields=names))
log = logging.getLogger("shop.http")
log.addHandler(handler)
log.setLevel("INFO")
log.propagate = False


def write(count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        log.info(
            "order paid",
            extra={
                "order_id": number,
                "amount": 9.5,
                "currency": "EUR",
                "customer": "ada lovelace",
                "path": "/orders/7/payment",
            },
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
}, line  # fmt: skip
print(json.dumps({"value": value, "settings": {"lines": LINES, "serializer": "orjson", "output": "text in memory"}}))
